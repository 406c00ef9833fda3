//! What the log needs of a file system, so that tests can put a lying one beneath it.
//!
//! Paths are relative to the data directory, with `/` between parts.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;

use super::bytes::size64;

/// Zeros are written in steps of this.
pub(super) const FILL_BYTES: usize = 1024 * 1024;

/// What the system's page cache is made of; writes past it start and end at its multiples.
pub(super) const PAGE_BYTES: usize = 4096;

/// An exclusive hold on the data directory, given up when dropped.
pub trait Hold: Send + Sync + Debug {}

/// A folder that holds the log.
pub trait Storage: Send + Sync + Debug {
    /// Makes a folder, unless it is there already.
    ///
    /// # Errors
    ///
    /// As the system says; the folder is not there.
    fn create_dir(&self, path: &str) -> io::Result<()>;

    /// Makes an empty file for reading and writing; one of that name loses its content.
    ///
    /// # Errors
    ///
    /// As the system says; no file was made.
    fn create(&self, path: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    ///
    /// As the system says, `NotFound` where there is none.
    fn open(&self, path: &str) -> io::Result<Arc<dyn StorageFile>>;

    /// Gives a file another name, in place of a file that had it.
    ///
    /// # Errors
    ///
    /// As the system says; the file has its old name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a file's name away.
    ///
    /// # Errors
    ///
    /// As the system says; the file is still there.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// The names of the files in a folder, sorted; none where there is no such folder.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes the names in a folder durable; `""` is the data directory itself.
    ///
    /// # Errors
    ///
    /// As the system says; it is then unknown which names survive a power cut.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// Takes hold of the data directory by a lock file.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where another process has it.
    fn hold(&self, path: &str) -> io::Result<Box<dyn Hold>>;

    /// Random bits for names and salts. They are asked for here so that a simulated disk makes a
    /// whole run repeatable.
    fn random(&self) -> u128 {
        rand::random()
    }
}

/// Writes zeros by plain writes.
pub(super) fn fill_zeros_cached<F: StorageFile + ?Sized>(
    file: &F,
    from: u64,
    to: u64,
) -> io::Result<()> {
    let zeros = vec![0; FILL_BYTES];
    let mut at = from;
    while at < to {
        let step = usize::try_from(to - at).map_or(FILL_BYTES, |left| left.min(FILL_BYTES));
        file.write_all_at(zeros.get(..step).unwrap_or_default(), at)?;
        at += size64(step);
    }
    Ok(())
}

/// An open file.
pub trait StorageFile: Send + Sync + Debug {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// As the system says; any part of the bytes may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Writes zeros from the start of the file up to `bytes`.
    ///
    /// # Errors
    ///
    /// As the system says; any part of the zeros may have been written.
    fn fill_zeros(&self, bytes: u64) -> io::Result<()> {
        fill_zeros_cached(self, 0, bytes)
    }

    /// Reads at `offset` until `into` is full or the file ends; gives the number of bytes.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes what was written durable, the file's length too.
    ///
    /// # Errors
    ///
    /// As the system says. It is then unknown what is durable, and a second call that succeeds
    /// proves nothing.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file, or extends it by zeros.
    ///
    /// # Errors
    ///
    /// As the system says; the length is as before.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    ///
    /// As the system says.
    fn size(&self) -> io::Result<u64>;
}

/// Whether the disk is full, rather than broken.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The most that a small file (cursors, `node.json`) may hold.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// Reads a small file whole; `None` where there is none.
pub(crate) fn read_small(storage: &dyn Storage, path: &str) -> io::Result<Option<Vec<u8>>> {
    let file = match storage.open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let len = usize::try_from(file.size()?.min(SMALL_BYTES_MAX)).unwrap_or(0);
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// A small file was not put in place.
#[derive(Debug)]
pub(crate) enum ReplaceError {
    /// A write or rename was refused; the former file stands.
    Refused(io::Error),
    /// A sync failed: it is unknown which file a power cut leaves, and no later sync can tell.
    Unsynced(io::Error),
}

impl ReplaceError {
    /// What the system said.
    pub(crate) fn into_source(self) -> io::Error {
        match self {
            Self::Refused(e) | Self::Unsynced(e) => e,
        }
    }
}

/// Puts a small file in place of its former self: whole and durable, or not at all.
pub(crate) fn replace_small(
    storage: &dyn Storage,
    dir: &str,
    name: &str,
    bytes: &[u8],
) -> Result<(), ReplaceError> {
    let path = join(dir, name);
    let tmp = format!("{path}.tmp");
    let file = storage.create(&tmp).map_err(ReplaceError::Refused)?;
    file.write_all_at(bytes, 0).map_err(ReplaceError::Refused)?;
    file.sync_data().map_err(ReplaceError::Unsynced)?;
    storage.rename(&tmp, &path).map_err(ReplaceError::Refused)?;
    storage.sync_dir(dir).map_err(ReplaceError::Unsynced)
}

/// Joins a folder and a name; the empty folder is the data directory.
pub(crate) fn join(dir: &str, name: &str) -> String {
    if dir.is_empty() {
        name.to_owned()
    } else {
        format!("{dir}/{name}")
    }
}
