use std::sync::atomic::{AtomicBool, Ordering};

use object_store::ObjectStoreExt;

use super::*;

/// Writes down every fsync, and what could be seen under the final name at that moment.
#[derive(Debug, Default)]
struct Watched {
    log: Mutex<Vec<String>>,
    fail: AtomicBool,
}

impl Watched {
    fn note(&self, what: &str, path: &FsPath) -> std::io::Result<()> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = name.split('#').next().unwrap_or_default().to_owned();
        let there = path.with_file_name(&plain).try_exists()?;
        let seen = if what == "file" && there {
            " (already seen)"
        } else {
            ""
        };
        self.log.lock().push(format!("{what} {plain}{seen}"));
        if self.fail.load(Ordering::SeqCst) {
            return Err(std::io::Error::other("planned"));
        }
        Ok(())
    }
}

impl Disk for Watched {
    fn sync_file(&self, file: &File, path: &FsPath) -> std::io::Result<()> {
        assert!(file.metadata()?.len() > 0, "bytes are written before fsync");
        self.note("file", path)
    }

    fn sync_folder(&self, path: &FsPath) -> std::io::Result<()> {
        self.note("folder", path)
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    root: PathBuf,
    disk: Arc<Watched>,
    store: LocalStore,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap().join("root");
    std::fs::create_dir(&root).unwrap();
    let disk = Arc::new(Watched::default());
    Fixture {
        _dir: dir,
        root,
        store: LocalStore::on(Arc::clone(&disk) as Arc<dyn Disk>),
        disk,
    }
}

impl Fixture {
    fn at(&self, name: &str) -> Path {
        Path::from_absolute_path(self.root.join(name)).unwrap()
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.disk.log.lock())
    }

    async fn put(&self, name: &str, mode: PutMode) -> Result<PutResult> {
        let payload = PutPayload::from_static(b"bytes");
        self.store
            .put_opts(&self.at(name), payload, mode.into())
            .await
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.root).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn a_put_syncs_the_bytes_before_the_name_and_the_folder_after_it() {
    let f = fixture();
    f.put("a", PutMode::Create).await.unwrap();
    assert_eq!(f.log(), ["file a", "folder root"]);
    f.put("b", PutMode::Overwrite).await.unwrap();
    assert_eq!(f.log(), ["file b", "folder root"]);
    assert_eq!(f.files(), ["a", "b"], "nothing staged is left");
}

#[tokio::test]
async fn folders_that_are_made_are_synced_where_they_are_named() {
    let f = fixture();
    f.put("x/y/a", PutMode::Create).await.unwrap();
    assert_eq!(f.log(), ["folder root", "folder x", "file a", "folder y"]);
}

#[tokio::test]
async fn a_create_has_one_winner_and_an_overwrite_replaces() {
    let f = fixture();
    f.put("a", PutMode::Create).await.unwrap();
    let again = f.put("a", PutMode::Create).await;
    assert!(matches!(
        again,
        Err(object_store::Error::AlreadyExists { .. })
    ));
    f.put("a", PutMode::Overwrite).await.unwrap();
    let racing = (0..16).map(|_| f.put("b", PutMode::Create));
    let won = futures::future::join_all(racing).await;
    assert_eq!(won.iter().filter(|r| r.is_ok()).count(), 1);
    assert_eq!(f.files(), ["a", "b"]);
}

#[tokio::test]
async fn a_failed_sync_is_a_failed_put_and_the_name_is_not_there() {
    let f = fixture();
    f.disk.fail.store(true, Ordering::SeqCst);
    assert!(f.put("a", PutMode::Create).await.is_err());
    assert_eq!(f.files(), Vec::<String>::new());
}

#[tokio::test]
async fn an_upload_in_parts_is_synced_before_it_is_named() {
    let f = fixture();
    let at = f.at("big");
    let mut upload = f.store.put_multipart(&at).await.unwrap();
    let parts = [
        upload.put_part(PutPayload::from_static(b"one ")),
        upload.put_part(PutPayload::from_static(b"two")),
    ];
    let [one, two] = parts;
    two.await.unwrap();
    one.await.unwrap();
    assert!(f.store.head(&at).await.is_err());
    upload.complete().await.unwrap();
    assert_eq!(f.log(), ["file big", "folder root"]);
    let bytes = f.store.get(&at).await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, "one two");

    let mut given_up = f.store.put_multipart(&f.at("other")).await.unwrap();
    given_up
        .put_part(PutPayload::from_static(b"x"))
        .await
        .unwrap();
    given_up.abort().await.unwrap();
    assert_eq!(f.files(), ["big"]);
}

#[tokio::test]
async fn copies_renames_and_deletes_sync_their_folders() {
    let f = fixture();
    f.put("a", PutMode::Create).await.unwrap();
    f.log();
    f.store.copy(&f.at("a"), &f.at("b")).await.unwrap();
    assert_eq!(f.log(), ["file b", "folder root"]);
    let taken = f.store.copy_if_not_exists(&f.at("a"), &f.at("b")).await;
    assert!(taken.is_err());
    f.log();
    f.store.rename(&f.at("b"), &f.at("sub/c")).await.unwrap();
    assert_eq!(
        f.log(),
        [
            "file b (already seen)",
            "folder root",
            "folder sub",
            "folder root"
        ]
    );
    f.store.delete(&f.at("a")).await.unwrap();
    assert_eq!(f.log(), ["folder root"]);
    assert_eq!(f.files(), ["sub"]);
}
