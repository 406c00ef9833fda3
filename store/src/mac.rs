//! What is stored instead of a key: HMAC-SHA256 of it, under a secret that lies in another file.
//!
//! A copy of the database alone lets nobody try keys against it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use rand::RngCore;
use sha2::Sha256;

use crate::StoreError;

/// The secret's file in a data directory, where no other is named.
pub(crate) const FILE: &str = "pepper";

/// What the fingerprint of a pepper is the MAC of; no key begins like this.
const FINGERPRINT: &str = "fingerprint of the pepper";

/// How many bytes the secret has.
const BYTES: usize = 32;

/// The secret under which keys are stored.
pub(crate) struct Pepper([u8; BYTES]);

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(***)")
    }
}

impl Pepper {
    /// Reads the secret in `path`, or makes it: readable by its owner only, on disk before it is
    /// used.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or made, or is not 32 bytes; nothing is overwritten then.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::File {
            path: path.to_owned(),
            source,
        };
        match File::open(path) {
            Ok(file) => read(file, path),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match create(path) {
                    Ok(()) => {}
                    // Another process was first; its secret is the one.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    Err(error) => return Err(failed(error)),
                }
                read(File::open(path).map_err(failed)?, path)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// What is stored instead of `key`.
    pub(crate) fn mac(&self, key: &str) -> [u8; 32] {
        self.keyed(key)
            .map_or([0; 32], |mac| mac.finalize().into_bytes().into())
    }

    /// What tells this pepper from another one, without telling anything of it.
    pub(crate) fn fingerprint(&self) -> String {
        hex::encode(self.mac(FINGERPRINT))
    }

    /// Whether `stored` is what is stored instead of `key`; the time taken tells nothing.
    pub(crate) fn verify(&self, key: &str, stored: &[u8]) -> bool {
        self.keyed(key)
            .is_some_and(|mac| mac.verify_slice(stored).is_ok())
    }

    fn keyed(&self, key: &str) -> Option<Hmac<Sha256>> {
        // HMAC takes a key of any length, so this cannot fail.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(key.as_bytes());
        Some(mac)
    }
}

fn read(file: File, path: &Path) -> Result<Pepper, StoreError> {
    let mut bytes = Vec::with_capacity(BYTES + 1);
    let limit = u64::try_from(BYTES + 1).unwrap_or(u64::MAX);
    let path: PathBuf = path.to_owned();
    match file.take(limit).read_to_end(&mut bytes) {
        Ok(_) => {}
        Err(source) => return Err(StoreError::File { path, source }),
    }
    let bytes = bytes.try_into().map_err(|_| StoreError::Pepper { path })?;
    Ok(Pepper(bytes))
}

/// Makes the file whole under another name and links it in, so that no reader sees half of it.
fn create(path: &Path) -> std::io::Result<()> {
    let mut secret = [0; BYTES];
    rand::rng().fill_bytes(&mut secret);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let draft = folder.join(format!("{FILE}.{}", hex::encode(random_id())));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    let written = file
        .write_all(&secret)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&draft, path));
    let removed = std::fs::remove_file(&draft);
    written.and(removed)?;
    File::open(folder)?.sync_all()
}

/// Eight random bytes.
pub(crate) fn random_id() -> [u8; 8] {
    let mut id = [0; 8];
    rand::rng().fill_bytes(&mut id);
    id
}

/// Thirty-two random bytes.
pub(crate) fn random_secret() -> [u8; 32] {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    secret
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pepper_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let first = Pepper::open(&path).unwrap();
        let second = Pepper::open(&path).unwrap();
        assert_eq!(first.0, second.0);
        assert_ne!(first.0, [0; BYTES]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = dir
                .path()
                .join(FILE)
                .metadata()
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let left: Vec<_> = dir.path().read_dir().unwrap().collect();
        assert_eq!(left.len(), 1, "no draft stays: {left:?}");
    }

    #[test]
    fn a_damaged_pepper_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        for damaged in [&b""[..], &[1; BYTES - 1], &[1; BYTES + 1]] {
            std::fs::write(dir.path().join(FILE), damaged).unwrap();
            let error = Pepper::open(&dir.path().join(FILE)).unwrap_err();
            assert!(matches!(error, StoreError::Pepper { .. }), "{error}");
            assert_eq!(std::fs::read(dir.path().join(FILE)).unwrap(), damaged);
        }
    }

    #[test]
    fn another_pepper_gives_another_mac() {
        let (a, b) = (Pepper([1; BYTES]), Pepper([2; BYTES]));
        assert!(a.verify("key", &a.mac("key")));
        assert!(!a.verify("kez", &a.mac("key")));
        assert!(!b.verify("key", &a.mac("key")));
        assert!(!a.verify("key", &[]));
    }
}
