//! The local disk as an object store whose writes are durable when they return.
//!
//! `object_store`'s own local store renames or links a file into place without any fsync, so that
//! a power cut can leave a name with no bytes behind it, or take the name away again. Here
//!
//! ```text
//! put:   folders made -> file#N written -> fsync file -> link or rename to its name -> fsync folder
//! parts: file#N written in pieces        -> fsync file -> rename to its name         -> fsync folder
//! ```
//!
//! # Invariants
//!
//! * A name is never seen before the bytes behind it are on the disk.
//! * When a call returns `Ok`, the name is on the disk too, with every folder above it that this
//!   store made.
//! * A put that must create the name ([`PutMode::Create`]) has exactly one winner, across
//!   processes (`link(2)`).
//!
//! Reading and listing are `object_store`'s own; it hides names that end in `#` and digits, which
//! are writes under way or left over from a crash.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    RenameTargetMode, Result, UploadPart,
};
use parking_lot::Mutex;

/// What this store asks of the disk; a test counts and fails it.
pub(crate) trait Disk: Send + Sync + std::fmt::Debug {
    /// Makes the bytes of `file`, found under `path`, durable.
    fn sync_file(&self, file: &File, path: &FsPath) -> std::io::Result<()>;
    /// Makes the entries of the folder `path` durable.
    fn sync_folder(&self, path: &FsPath) -> std::io::Result<()>;
}

/// The machine's own disk.
#[derive(Debug)]
struct RealDisk;

impl Disk for RealDisk {
    fn sync_file(&self, file: &File, _: &FsPath) -> std::io::Result<()> {
        file.sync_all()
    }

    fn sync_folder(&self, path: &FsPath) -> std::io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// The local disk, with the root of the machine as its root. What a call wrote is durable when the
/// call returns, name and bytes, and a name is never seen before its bytes are on the disk.
#[derive(Clone, Debug)]
pub struct LocalStore {
    inner: Arc<LocalFileSystem>,
    disk: Arc<dyn Disk>,
}

impl Default for LocalStore {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for LocalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalStore")
    }
}

impl LocalStore {
    /// The disk of this machine, from its root.
    pub fn new() -> Self {
        Self::on(Arc::new(RealDisk))
    }

    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self {
            inner: Arc::new(LocalFileSystem::new()),
            disk,
        }
    }

    /// Makes the folder `path` and every folder above it that is missing, durably.
    pub(crate) fn make_folder(path: &FsPath) -> std::io::Result<()> {
        make_folders(&RealDisk, path)
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Disk) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let disk = Arc::clone(&self.disk);
        tokio::task::spawn_blocking(move || work(disk.as_ref())).await?
    }
}

/// Makes `path` and what is missing above it; each new name is fsynced in the folder that has it.
fn make_folders(disk: &dyn Disk, path: &FsPath) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    make_folders(disk, parent)?;
    match std::fs::create_dir(path) {
        Ok(()) => {}
        // Another writer made it just now, and may not have come to its fsync yet.
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        Err(e) => return Err(e),
    }
    disk.sync_folder(parent)
}

/// A file that is written beside its later name.
#[derive(Debug)]
struct Staged {
    file: File,
    path: PathBuf,
    /// Whether `path` still names the file, so that it has to go if nothing comes of it.
    named: bool,
}

impl Staged {
    fn beside(disk: &dyn Disk, target: &FsPath) -> std::io::Result<Self> {
        if let Some(folder) = target.parent() {
            make_folders(disk, folder)?;
        }
        for n in std::process::id()..u32::MAX {
            let mut name = target.as_os_str().to_owned();
            name.push(format!("#{n}"));
            let path = PathBuf::from(name);
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok(Self {
                        file,
                        path,
                        named: true,
                    });
                }
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(std::io::Error::other("no free name for a staged file"))
    }

    /// Gives the durable bytes their name, durably.
    fn publish(mut self, disk: &dyn Disk, target: &FsPath, mode: &PutMode) -> std::io::Result<()> {
        disk.sync_file(&self.file, &self.path)?;
        match mode {
            PutMode::Create => std::fs::hard_link(&self.path, target)?,
            PutMode::Overwrite | PutMode::Update(_) => {
                std::fs::rename(&self.path, target)?;
                self.named = false;
            }
        }
        sync_parent(disk, target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if self.named {
            // Nothing depends on it: the name is hidden from lists, and only takes space.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn sync_parent(disk: &dyn Disk, path: &FsPath) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |p| disk.sync_folder(p))
}

fn failed(source: std::io::Error, path: &FsPath) -> object_store::Error {
    let path = path.display().to_string();
    let kind = source.kind();
    let source = source.into();
    if kind == ErrorKind::AlreadyExists {
        object_store::Error::AlreadyExists { path, source }
    } else if kind == ErrorKind::NotFound {
        object_store::Error::NotFound { path, source }
    } else {
        object_store::Error::Generic {
            store: "LocalStore",
            source,
        }
    }
}

fn not_done(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "LocalStore".to_owned(),
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if matches!(opts.mode, PutMode::Update(_)) {
            return Err(not_done("`put_opts` with mode `PutMode::Update`"));
        }
        let target = self.inner.path_to_filesystem(location)?;
        self.blocking(move |disk| {
            let write = || -> std::io::Result<()> {
                let mut staged = Staged::beside(disk, &target)?;
                for piece in &payload {
                    staged.file.write_all(piece)?;
                }
                staged.publish(disk, &target, &opts.mode)
            };
            write().map_err(|e| failed(e, &target))
        })
        .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        let at = target.clone();
        let staged = self
            .blocking(move |disk| Staged::beside(disk, &at).map_err(|e| failed(e, &at)))
            .await?;
        Ok(Box::new(Upload {
            store: self.clone(),
            target,
            offset: 0,
            staged: Arc::new(Mutex::new(Some(staged))),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        self.inner
            .delete_stream(locations)
            .then(move |deleted| {
                let store = store.clone();
                async move {
                    let location = deleted?;
                    let path = store.inner.path_to_filesystem(&location)?;
                    store
                        .blocking(move |disk| {
                            sync_parent(disk, &path).map_err(|e| failed(e, &path))
                        })
                        .await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let source = self.inner.path_to_filesystem(from)?;
        let target = self.inner.path_to_filesystem(to)?;
        let mode = match options.mode {
            CopyMode::Create => PutMode::Create,
            CopyMode::Overwrite => PutMode::Overwrite,
        };
        self.blocking(move |disk| {
            let mut from = File::open(&source).map_err(|e| failed(e, &source))?;
            let mut copy = || -> std::io::Result<()> {
                let mut staged = Staged::beside(disk, &target)?;
                std::io::copy(&mut from, &mut staged.file)?;
                staged.publish(disk, &target, &mode)
            };
            copy().map_err(|e| failed(e, &target))
        })
        .await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let source = self.inner.path_to_filesystem(from)?;
        let target = self.inner.path_to_filesystem(to)?;
        let create = matches!(options.target_mode, RenameTargetMode::Create);
        self.blocking(move |disk| {
            let file = File::open(&source).map_err(|e| failed(e, &source))?;
            let rename = || -> std::io::Result<()> {
                disk.sync_file(&file, &source)?;
                if let Some(folder) = target.parent() {
                    make_folders(disk, folder)?;
                }
                if create {
                    std::fs::hard_link(&source, &target)?;
                    sync_parent(disk, &target)?;
                    std::fs::remove_file(&source)?;
                } else {
                    std::fs::rename(&source, &target)?;
                    sync_parent(disk, &target)?;
                }
                sync_parent(disk, &source)
            };
            rename().map_err(|e| failed(e, &target))
        })
        .await
    }
}

/// A file that arrives in parts.
#[derive(Debug)]
struct Upload {
    store: LocalStore,
    target: PathBuf,
    offset: u64,
    staged: Arc<Mutex<Option<Staged>>>,
}

fn aborted() -> object_store::Error {
    not_done("a part after the upload has ended")
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        use std::os::unix::fs::FileExt;
        let (store, target) = (self.store.clone(), self.target.clone());
        let staged = Arc::clone(&self.staged);
        let mut offset = self.offset;
        self.offset += data.content_length() as u64;
        Box::pin(async move {
            store
                .blocking(move |_| {
                    let staged = staged.lock();
                    let staged = staged.as_ref().ok_or_else(aborted)?;
                    for piece in &data {
                        let write = staged.file.write_all_at(piece, offset);
                        write.map_err(|e| failed(e, &target))?;
                        offset += piece.len() as u64;
                    }
                    Ok(())
                })
                .await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (staged, target) = (Arc::clone(&self.staged), self.target.clone());
        self.store
            .blocking(move |disk| {
                let staged = staged.lock().take().ok_or_else(aborted)?;
                let done = staged.publish(disk, &target, &PutMode::Overwrite);
                done.map_err(|e| failed(e, &target))
            })
            .await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = Arc::clone(&self.staged);
        self.store
            .blocking(move |_| {
                drop(staged.lock().take());
                Ok(())
            })
            .await
    }
}

#[cfg(test)]
mod tests;
