//! Which traces the store once knew and has dropped: hashes in filters, with the time when the rows
//! that were dropped had been accepted.
//!
//! A trace that no filter knows is new. One that a filter may know has to be read again from the
//! lake, from the files of that time. A wrong maybe costs that look and nothing else.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::filter::{self, BLOCK};
use super::write_file;

const MAGIC: &[u8; 8] = b"WEIRSEEN";
/// Bytes before the filter: magic, period, keys, checksum.
const HEAD: usize = 40;
/// Bits for a trace: there may be hundreds of filters, and each is asked.
const BITS: usize = 24;
/// Bytes of the first filter; each next one is twice as large, up to the greatest.
const BYTES_MIN: usize = 64 << 10;
const BYTES_MAX: usize = 4 << 20;

/// From when to when rows were accepted, in microseconds, both included.
pub(crate) type Period = (i64, i64);

/// A filter of dropped traces.
#[derive(Debug)]
struct Dropped {
    id: u64,
    period: Period,
    keys: u64,
    bytes: usize,
    file: Option<File>,
    /// The filter; the one that is being filled is always in memory.
    filter: Option<Vec<u8>>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Seen {
    folder: PathBuf,
    all: Vec<Dropped>,
    /// Files that are to go once the manifest names them no more.
    gone: Vec<PathBuf>,
}

fn path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id:012}.seen"))
}

fn damaged() -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "a filter of dropped traces is damaged",
    )
}

impl Dropped {
    fn empty(id: u64, bytes: usize) -> Self {
        Self {
            id,
            period: (i64::MAX, i64::MIN),
            keys: 0,
            bytes,
            file: None,
            filter: Some(vec![0; bytes]),
        }
    }

    fn open(folder: &Path, id: u64) -> Result<Self> {
        let path = path(folder, id);
        let bytes = std::fs::read(&path)?;
        let (head, filter) = bytes.split_at_checked(HEAD).ok_or_else(damaged)?;
        let at = |n: usize| {
            let bytes = head.get(8 + n * 8..16 + n * 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        let crc = u64::from(crc32c::crc32c(filter));
        if !head.starts_with(MAGIC) || at(3) != Some(crc) || filter.is_empty() {
            return Err(damaged());
        }
        let time = |n: usize| at(n).map(u64::cast_signed).ok_or_else(damaged);
        Ok(Self {
            id,
            period: (time(0)?, time(1)?),
            keys: at(2).ok_or_else(damaged)?,
            bytes: filter.len(),
            file: Some(File::open(&path)?),
            filter: Some(filter.to_vec()),
        })
    }

    fn save(&mut self, folder: &Path) -> Result<()> {
        let filter = self.filter.as_deref().unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEAD + filter.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.period.0.to_le_bytes());
        bytes.extend_from_slice(&self.period.1.to_le_bytes());
        bytes.extend_from_slice(&self.keys.to_le_bytes());
        bytes.extend_from_slice(&u64::from(crc32c::crc32c(filter)).to_le_bytes());
        bytes.extend_from_slice(filter);
        let path = path(folder, self.id);
        write_file(&path, &bytes)?;
        self.file = Some(File::open(&path)?);
        Ok(())
    }

    fn may_hold(&self, hash: u64) -> Result<bool> {
        if let Some(filter) = &self.filter {
            return Ok(filter::may_hold(filter, hash));
        }
        let Some(file) = &self.file else {
            return Ok(true);
        };
        let at = HEAD + filter::block_at(self.bytes, hash);
        let mut block = [0; BLOCK];
        file.read_exact_at(&mut block, at as u64)?;
        Ok(filter::block_may_hold(&block, hash))
    }

    fn is_full(&self) -> bool {
        self.keys.saturating_mul(BITS as u64) >= (self.bytes as u64).saturating_mul(8)
    }
}

impl Seen {
    /// Opens the filters of these ids.
    pub(crate) fn open(folder: &Path, ids: &[u64]) -> Result<Self> {
        let all = ids.iter().map(|id| Dropped::open(folder, *id));
        Ok(Self {
            folder: folder.to_owned(),
            all: all.collect::<Result<_>>()?,
            gone: Vec::new(),
        })
    }

    /// Those that the manifest has to name.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.all.iter().map(|d| d.id).collect()
    }

    /// Remembers traces that are dropped, whose rows were accepted in `period`; durable when it
    /// returns, but for the folder's entry. `next_id` names a new file.
    pub(crate) fn insert(
        &mut self,
        hashes: &[u64],
        period: Period,
        mut next_id: impl FnMut() -> u64,
    ) -> Result<()> {
        for hash in hashes {
            if self
                .all
                .last()
                .is_none_or(|d| d.is_full() || d.filter.is_none())
            {
                let before = self.all.last().map_or(BYTES_MIN / 2, |d| d.bytes);
                if let Some(full) = self.all.last_mut() {
                    full.save(&self.folder)?;
                }
                let bytes = (before * 2).clamp(BYTES_MIN, BYTES_MAX);
                self.all.push(Dropped::empty(next_id(), bytes));
            }
            let Some(last) = self.all.last_mut() else {
                continue;
            };
            last.period = (last.period.0.min(period.0), last.period.1.max(period.1));
            last.keys += 1;
            if let Some(filter) = &mut last.filter {
                filter::insert(filter, *hash);
            }
        }
        match self.all.last_mut() {
            Some(last) if !hashes.is_empty() => last.save(&self.folder),
            Some(_) | None => Ok(()),
        }
    }

    /// When rows of the trace may have been accepted that were dropped.
    pub(crate) fn periods(&self, hash: u64) -> Result<Vec<Period>> {
        let mut periods = Vec::new();
        for dropped in &self.all {
            if dropped.may_hold(hash)? {
                periods.push(dropped.period);
            }
        }
        Ok(periods)
    }

    /// Forgets traces whose rows were all accepted before `before_us`.
    pub(crate) fn expire(&mut self, before_us: i64) {
        let (old, kept) = std::mem::take(&mut self.all)
            .into_iter()
            .partition(|d| d.period.1 < before_us);
        self.all = kept;
        let old: Vec<Dropped> = old;
        self.gone
            .extend(old.iter().map(|d| path(&self.folder, d.id)));
    }

    /// Takes files away that the manifest names no more.
    pub(crate) fn sweep(&mut self) {
        for path in self.gone.drain(..) {
            // What stays is swept away with the store.
            let _ = std::fs::remove_file(path);
        }
    }

    /// The memory that the filters take.
    pub(crate) fn memory(&self) -> usize {
        self.all
            .iter()
            .filter_map(|d| d.filter.as_ref())
            .map(Vec::len)
            .sum()
    }

    /// Leaves the oldest filter on disk that is in memory; not the one that is being filled.
    pub(crate) fn unload_one(&mut self) -> bool {
        let last = self.all.len().saturating_sub(1);
        let loaded = self.all.iter_mut().take(last).find(|d| d.filter.is_some());
        loaded.is_some_and(|d| d.filter.take().is_some())
    }

    /// Bytes on disk.
    pub(crate) fn disk(&self) -> u64 {
        self.all.iter().map(|d| (d.bytes + HEAD) as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn what_was_dropped_is_known_after_a_restart_until_it_expires() {
        let dir = tempfile::tempdir().unwrap();
        let hash = |n: u64| xxh3_64(&n.to_le_bytes());
        let mut seen = Seen::open(dir.path(), &[]).unwrap();
        let mut ids = 0;
        let mut next = || {
            ids += 1;
            ids
        };
        let (early, late): (Vec<u64>, Vec<u64>) = (
            (0..30_000).map(hash).collect(),
            (30_000..40_000).map(hash).collect(),
        );
        seen.insert(&early, (10, 20), &mut next).unwrap();
        seen.insert(&late, (21, 30), &mut next).unwrap();
        let ids = seen.ids();
        assert!(ids.len() > 1, "a full filter is followed by another");
        let mut seen = Seen::open(dir.path(), &ids).unwrap();
        while seen.unload_one() {}
        for n in 0..40_000 {
            assert!(!seen.periods(hash(n)).unwrap().is_empty(), "{n}");
        }
        let unknown = (50_000..60_000).filter(|n| !seen.periods(hash(*n)).unwrap().is_empty());
        assert!(unknown.count() < 20);
        seen.expire(21);
        assert!(seen.ids().len() < ids.len());
        assert!(!seen.periods(hash(35_000)).unwrap().is_empty());
    }
}
