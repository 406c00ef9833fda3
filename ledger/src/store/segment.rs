//! A segment: entries of many traces in one file that is written once.
//!
//! ```text
//! magic | entries by hash: length, crc, bytes | index: hash, offset, length | buckets | filter | tail
//! ```
//!
//! A trace is found by a look into the filter, one read of its bucket of the index, and one read of
//! its entry. Every part has a checksum, so that a file that a power cut has spoilt is noticed and
//! the store is made anew.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Error, ErrorKind, Result, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::entry::Entry;
use super::filter::{self, BLOCK};
use super::key::TraceKey;

const MAGIC: &[u8; 8] = b"WEIRFCT1";
/// Bytes of an index row: hash, offset, length.
const ROW: usize = 20;
/// Index rows of a bucket, about: one small read.
const BUCKET_ROWS: usize = 64;
/// Bytes of a bucket's row: where it begins in the index, and its checksum.
const BUCKET: usize = 8;
/// Bits of the filter for a trace: one in some hundred is a wrong maybe.
const FILTER_BITS: usize = 12;
/// Bytes of the tail.
const TAIL: usize = 80;

/// What the tail says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Entries.
    pub(crate) traces: u64,
    /// Facts in them.
    pub(crate) facts: u64,
    /// When the first of the rows that first came into the store here was accepted, in microseconds.
    pub(crate) received_min_us: i64,
    /// And the last.
    pub(crate) received_max_us: i64,
    /// When the segment was written, in microseconds.
    pub(crate) written_us: i64,
}

/// A segment that is there.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) summary: Summary,
    pub(crate) bytes: u64,
    path: PathBuf,
    file: File,
    index_at: u64,
    buckets: Vec<u8>,
    filter_at: u64,
    filter_bytes: usize,
    /// The filter, where there is memory for it.
    filter: Option<Vec<u8>>,
}

fn damaged(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} is damaged"))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn bucket_bits(traces: u64) -> u32 {
    let buckets = traces / BUCKET_ROWS as u64;
    64 - buckets.leading_zeros()
}

fn bucket_of(hash: u64, bits: u32) -> usize {
    let bucket = hash.checked_shr(64 - bits).unwrap_or(0);
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

pub(crate) fn path(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id:012}.facts"))
}

/// What the index is made of while entries are written.
struct Index {
    rows: Vec<u8>,
    hashes: Vec<u64>,
}

impl Index {
    /// The buckets' rows: where each begins, with its checksum; and one that ends the last.
    fn buckets(&self) -> Vec<u8> {
        let bits = bucket_bits(self.hashes.len() as u64);
        let mut out = Vec::new();
        let mut from = 0;
        for bucket in 0..=(1_usize << bits) {
            let end = self
                .hashes
                .partition_point(|h| bucket_of(*h, bits) < bucket);
            if bucket > 0 {
                let rows = self.rows.get(from * ROW..end * ROW).unwrap_or_default();
                out.extend_from_slice(&u32::try_from(from).unwrap_or(u32::MAX).to_le_bytes());
                out.extend_from_slice(&crc32c::crc32c(rows).to_le_bytes());
            }
            from = end;
        }
        out.extend_from_slice(&u32::try_from(from).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out
    }

    fn filter(&self) -> Vec<u8> {
        let mut filter = vec![0; filter::bytes_for(self.hashes.len(), FILTER_BITS)];
        self.hashes
            .iter()
            .for_each(|h| filter::insert(&mut filter, *h));
        filter
    }
}

impl Segment {
    /// Writes `entries` as segment `id`; durable when it returns, but for the folder's entry.
    pub(crate) fn write(
        folder: &Path,
        id: u64,
        entries: &HashMap<TraceKey, Entry>,
        summary: Summary,
    ) -> Result<Self> {
        let target = path(folder, id);
        let staged = target.with_extension("tmp");
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&staged)?);
        out.write_all(MAGIC)?;
        let mut order: Vec<(u64, &TraceKey, &Entry)> =
            entries.iter().map(|(k, e)| (k.hash(), k, e)).collect();
        order.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        let mut index = Index {
            rows: Vec::with_capacity(order.len() * ROW),
            hashes: Vec::with_capacity(order.len()),
        };
        let mut at = MAGIC.len() as u64;
        let mut bytes = Vec::new();
        for (hash, key, entry) in order {
            bytes.clear();
            entry.write(key, &mut bytes);
            let length = u32::try_from(bytes.len()).map_err(|_| damaged("an entry"))?;
            out.write_all(&crc32c::crc32c(&bytes).to_le_bytes())?;
            out.write_all(&bytes)?;
            index.rows.extend_from_slice(&hash.to_le_bytes());
            index.rows.extend_from_slice(&at.to_le_bytes());
            index.rows.extend_from_slice(&length.to_le_bytes());
            index.hashes.push(hash);
            at += 4 + u64::from(length);
        }
        let (buckets, filter) = (index.buckets(), index.filter());
        out.write_all(&index.rows)?;
        out.write_all(&buckets)?;
        out.write_all(&filter)?;
        let tail = Tail {
            index_at: at,
            filter_bytes: filter.len() as u64,
            summary: Summary {
                traces: index.hashes.len() as u64,
                ..summary
            },
            crc: crc32c::crc32c_append(crc32c::crc32c(&buckets), &filter),
        };
        out.write_all(&tail.bytes())?;
        let file = out.into_inner().map_err(|e| e.into_error())?;
        file.sync_all()?;
        std::fs::rename(&staged, &target)?;
        drop(file);
        Self::open(folder, id, true)
    }

    /// Opens segment `id` and checks what it keeps in memory; `load` keeps the filter there too.
    pub(crate) fn open(folder: &Path, id: u64, load: bool) -> Result<Self> {
        let path = path(folder, id);
        let file = File::open(&path)?;
        let bytes = file.metadata()?.len();
        let tail_at = bytes.checked_sub(TAIL as u64);
        let tail_at = tail_at.ok_or_else(|| damaged("the tail"))?;
        let mut tail = [0; TAIL];
        file.read_exact_at(&mut tail, tail_at)?;
        let tail = Tail::read(&tail).ok_or_else(|| damaged("the tail"))?;
        let rows = tail.summary.traces.checked_mul(ROW as u64);
        let buckets_at = rows.and_then(|rows| rows.checked_add(tail.index_at));
        let buckets_at = buckets_at.ok_or_else(|| damaged("the tail"))?;
        let behind = tail_at.checked_sub(buckets_at);
        let behind = behind.and_then(|b| usize::try_from(b).ok());
        let filter_bytes = usize::try_from(tail.filter_bytes).map_err(|_| damaged("the tail"))?;
        let behind = behind.filter(|b| *b >= filter_bytes);
        let mut both = vec![0; behind.ok_or_else(|| damaged("the tail"))?];
        file.read_exact_at(&mut both, buckets_at)?;
        if crc32c::crc32c(&both) != tail.crc {
            return Err(damaged("the index"));
        }
        let filter = both.split_off(both.len() - filter_bytes);
        Ok(Self {
            id,
            summary: tail.summary,
            bytes,
            path,
            file,
            index_at: tail.index_at,
            filter_at: buckets_at + both.len() as u64,
            buckets: both,
            filter_bytes,
            filter: load.then_some(filter),
        })
    }

    /// The memory that it takes.
    pub(crate) fn memory(&self) -> usize {
        self.buckets.len() + self.filter.as_ref().map_or(0, Vec::len)
    }

    /// Leaves the filter on disk from now on.
    pub(crate) fn unload(&mut self) {
        self.filter = None;
    }

    /// Whether the filter is in memory.
    pub(crate) fn is_loaded(&self) -> bool {
        self.filter.is_some()
    }

    /// The entry of a trace, if it has one here.
    pub(crate) fn get(&self, key: &TraceKey, hash: u64) -> Result<Option<Entry>> {
        if !self.may_hold(hash)? {
            return Ok(None);
        }
        for row in self
            .bucket(bucket_of(hash, bucket_bits(self.summary.traces)))?
            .chunks_exact(ROW)
        {
            if number(row, 0) != Some(hash) {
                continue;
            }
            let (at, length) = (number(row, 8), short(row, 16));
            let (Some(at), Some(length)) = (at, length) else {
                return Err(damaged("the index"));
            };
            let (found, entry) = self.entry(at, length)?;
            if found == *key {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn may_hold(&self, hash: u64) -> Result<bool> {
        if let Some(filter) = &self.filter {
            return Ok(filter::may_hold(filter, hash));
        }
        let at = filter::block_at(self.filter_bytes, hash) as u64;
        let mut block = [0; BLOCK];
        self.file.read_exact_at(&mut block, self.filter_at + at)?;
        Ok(filter::block_may_hold(&block, hash))
    }

    fn bucket(&self, bucket: usize) -> Result<Vec<u8>> {
        let from = short(&self.buckets, bucket * BUCKET);
        let crc = short(&self.buckets, bucket * BUCKET + 4);
        let end = short(&self.buckets, (bucket + 1) * BUCKET);
        let (Some(from), Some(crc), Some(end)) = (from, crc, end) else {
            return Err(damaged("the index"));
        };
        let rows = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; rows * ROW];
        let at = self.index_at + u64::from(from) * ROW as u64;
        self.file.read_exact_at(&mut bytes, at)?;
        if crc32c::crc32c(&bytes) != crc {
            return Err(damaged("the index"));
        }
        Ok(bytes)
    }

    fn entry(&self, at: u64, length: u32) -> Result<(TraceKey, Entry)> {
        let length = usize::try_from(length).map_err(|_| damaged("an entry"))?;
        let mut bytes = vec![0; length + 4];
        self.file.read_exact_at(&mut bytes, at)?;
        let (crc, bytes) = bytes
            .split_first_chunk::<4>()
            .ok_or_else(|| damaged("an entry"))?;
        if crc32c::crc32c(bytes) != u32::from_le_bytes(*crc) {
            return Err(damaged("an entry"));
        }
        Entry::read(bytes).ok_or_else(|| damaged("an entry"))
    }

    /// The hashes of all its traces, some of which may stand for two.
    pub(crate) fn hashes(&self) -> Result<Vec<u64>> {
        let mut hashes = Vec::new();
        let buckets = self.buckets.len() / BUCKET;
        for bucket in 0..buckets.saturating_sub(1) {
            let rows = self.bucket(bucket)?;
            hashes.extend(rows.chunks_exact(ROW).filter_map(|row| number(row, 0)));
        }
        Ok(hashes)
    }

    /// Takes the file away.
    pub(crate) fn remove(self) -> Result<()> {
        std::fs::remove_file(&self.path)
    }
}

struct Tail {
    index_at: u64,
    filter_bytes: u64,
    summary: Summary,
    crc: u32,
}

impl Tail {
    fn bytes(&self) -> Vec<u8> {
        let of = &self.summary;
        let mut out = Vec::with_capacity(TAIL);
        out.extend_from_slice(MAGIC);
        for n in [self.index_at, self.filter_bytes, of.traces, of.facts] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in [of.received_min_us, of.received_max_us, of.written_us] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&u64::from(self.crc).to_le_bytes());
        let own = crc32c::crc32c(&out);
        out.extend_from_slice(&u64::from(own).to_le_bytes());
        out
    }

    fn read(bytes: &[u8; TAIL]) -> Option<Self> {
        let (body, own) = bytes.split_at(TAIL - 8);
        let intact = number(own, 0) == Some(u64::from(crc32c::crc32c(body)));
        let ours = body.starts_with(MAGIC) && intact;
        let at = |n: usize| number(body, 8 + n * 8).filter(|_| ours);
        let time = |n: usize| at(n).map(u64::cast_signed);
        Some(Self {
            index_at: at(0)?,
            filter_bytes: at(1)?,
            summary: Summary {
                traces: at(2)?,
                facts: at(3)?,
                received_min_us: time(4)?,
                received_max_us: time(5)?,
                written_us: time(6)?,
            },
            crc: u32::try_from(at(7)?).ok()?,
        })
    }
}
