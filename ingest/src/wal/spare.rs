//! The spare segment: filled with zeros ahead of time by a helper thread, so that the writer's
//! syncs have neither blocks to allocate nor lengths to record.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::storage::Storage;

/// Where the spare segment waits.
pub(crate) const SPARE_PATH: &str = "wal/spare";
const SPARE_TMP: &str = "wal/spare.tmp";
/// The file that is given up when the disk is full.
pub(crate) const RESERVE_PATH: &str = "wal/reserve";
const RESERVE_TMP: &str = "wal/reserve.tmp";

/// Whether a spare segment is ready.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    ready: AtomicBool,
    reserved: AtomicBool,
}

impl Spare {
    /// Takes the spare segment, if there is one; the caller renames it.
    pub(crate) fn take(&self) -> bool {
        self.ready.swap(false, Ordering::AcqRel)
    }

    /// Whether one is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether the reserve is in place.
    pub(crate) fn is_reserved(&self) -> bool {
        self.reserved.load(Ordering::Acquire)
    }

    /// Makes a spare segment, unless there is one; blocks while zeros are written and synced.
    pub(crate) fn prepare(&self, storage: &dyn Storage, bytes: u64) -> io::Result<()> {
        if self.is_ready() {
            return Ok(());
        }
        fill(storage, SPARE_TMP, SPARE_PATH, bytes)?;
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Puts the reserve in place, unless it is.
    pub(crate) fn prepare_reserve(&self, storage: &dyn Storage, bytes: u64) -> io::Result<()> {
        if bytes == 0 || self.is_reserved() {
            return Ok(());
        }
        fill(storage, RESERVE_TMP, RESERVE_PATH, bytes)?;
        self.reserved.store(true, Ordering::Release);
        Ok(())
    }

    /// Gives the reserve's room to whoever needs it now; says whether there was any.
    pub(crate) fn release_reserve(&self, storage: &dyn Storage) -> bool {
        self.reserved.swap(false, Ordering::AcqRel) && storage.remove(RESERVE_PATH).is_ok()
    }

    /// Takes over what an earlier run left ready: a file has its final name only after its zeros
    /// were synced, and what a crash may have put there instead fails the checks of frames.
    pub(crate) fn adopt(storage: &dyn Storage, segment_bytes: u64, reserve_bytes: u64) -> Self {
        let whole = |path: &str, bytes: u64| {
            let len = storage.open(path).and_then(|file| file.size());
            let whole = len.as_ref().is_ok_and(|len| *len == bytes);
            if len.is_ok() && !whole {
                drop(storage.remove(path));
            }
            whole
        };
        for tmp in [SPARE_TMP, RESERVE_TMP] {
            drop(storage.remove(tmp));
        }
        Self {
            ready: whole(SPARE_PATH, segment_bytes).into(),
            reserved: whole(RESERVE_PATH, reserve_bytes).into(),
        }
    }
}

fn fill(storage: &dyn Storage, tmp: &str, path: &str, bytes: u64) -> io::Result<()> {
    let filled = storage.create(tmp).and_then(|file| {
        file.fill_zeros(bytes)?;
        file.sync_data()?;
        storage.rename(tmp, path)
    });
    if filled.is_err() {
        drop(storage.remove(tmp));
    }
    filled
}
