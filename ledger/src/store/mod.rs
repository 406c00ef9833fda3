//! The store of facts and bookings of recent traces, on the node's own disk.
//!
//! It is a cache: everything in it can be read again from the lake. So it has no log of its own;
//! what a crash takes is what the lake holds behind the store's last position, and it is read again
//! from there.
//!
//! ```text
//! entries by trace in memory --full, or after a while--> segments (written once, oldest first)
//!                                                             |  too old, or too much disk
//!                                                             v
//!                                                        dropped; filters remember which traces
//! ```
//!
//! # Invariants
//!
//! * The manifest names a position and the files that make up exactly the state at that position.
//! * A trace is new only if neither memory nor a segment nor a filter of dropped ones knows it.
//! * Segments are dropped from the oldest on, so that what is left of a trace is its latest part.

pub(crate) mod entry;
mod filter;
pub(crate) mod key;
mod seen;
mod segment;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use entry::Entry;
use entry::WHOLE;
pub use key::TraceKey;
use seen::Seen;
use segment::{Segment, Summary};

const MANIFEST: &str = "manifest.json";
const LAYOUT: u32 = 1;
/// Below this, what is in memory stays there when it is written: few traces make no segment of
/// their own every minute.
const SEAL_BYTES: usize = 16 << 20;
/// But after this long they do, so that segments can be dropped by their age.
const SEAL_AFTER_US: i64 = 3_600_000_000;
/// In parts of the time that facts are kept, so that the oldest are not kept for much longer.
const SEAL_PARTS: i64 = 8;
/// What an entry in memory takes beside its bytes, about.
const ENTRY_BYTES: usize = 192;

/// What the store may take.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Its own folder.
    pub folder: PathBuf,
    /// Bytes of memory.
    pub memory_bytes: usize,
    /// Bytes of disk; above it the oldest traces are dropped.
    pub disk_bytes: u64,
    /// For how long facts are kept after they came.
    pub kept: Duration,
    /// For how long a dropped trace is known as one that was there.
    pub known: Duration,
    /// How often what is in memory is written; a restart reads from the lake what came since.
    pub every: Duration,
}

/// How far the store has come in the lake's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The number of the ledger's commit.
    pub round: i64,
    /// The last batch of the ledger.
    pub batch: i64,
    /// The last batch of spans of each node.
    pub cursors: BTreeMap<String, i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    layout: u32,
    position: Position,
    next_id: u64,
    segments: Vec<u64>,
    seen: Vec<u64>,
}

/// What the store takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Facts, in memory and on disk.
    pub facts: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// What changes in the store with a commit of the ledger, or by reading the lake again.
#[derive(Debug, Default)]
pub struct Change {
    /// By trace, what comes to it.
    pub entries: Vec<(TraceKey, Entry)>,
    /// How many facts these are.
    pub facts: u64,
    /// When the rows were accepted that were read for the first time; `None` where there were none.
    pub received: Option<(i64, i64)>,
}

/// The store; see the [module](self).
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    position: Position,
    memory: HashMap<TraceKey, Entry>,
    memory_bytes: usize,
    summary: Summary,
    began_us: Option<i64>,
    written_us: i64,
    /// Whether anything changed since the last writing.
    changed: bool,
    segments: Vec<Segment>,
    /// What is in memory, as it was last written; replaced by the next writing.
    shadow: Option<Segment>,
    seen: Seen,
    next_id: u64,
}

/// Writes a file so that its name never stands for a part of it.
fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let staged = path.with_extension("tmp");
    let mut file = File::create(&staged)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&staged, path)
}

impl Store {
    /// Opens the store at its folder; one that cannot be read is made anew, empty, and the reason is
    /// given beside it.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be written.
    pub fn open(config: StoreConfig) -> Result<(Self, Option<Error>)> {
        std::fs::create_dir_all(&config.folder)?;
        let manifest = match std::fs::read(config.folder.join(MANIFEST)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let fault = match manifest.map(|bytes| Self::load(&config, &bytes)) {
            Some(Ok(store)) => {
                store.remove_strangers()?;
                return Ok((store, None));
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        let seen = Seen::open(&config.folder, &[])?;
        let mut store = Self::with(config, Position::default(), 1, (Vec::new(), seen));
        store.clear()?;
        Ok((store, fault))
    }

    fn with(
        config: StoreConfig,
        position: Position,
        next_id: u64,
        (segments, seen): (Vec<Segment>, Seen),
    ) -> Self {
        Self {
            config,
            position,
            memory: HashMap::new(),
            memory_bytes: 0,
            summary: Summary::default(),
            began_us: None,
            written_us: i64::MIN,
            changed: false,
            segments,
            shadow: None,
            seen,
            next_id,
        }
    }

    fn load(config: &StoreConfig, manifest: &[u8]) -> Result<Self> {
        let manifest: Manifest = serde_json::from_slice(manifest)?;
        if manifest.layout != LAYOUT {
            let text = format!("its layout is {}", manifest.layout);
            return Err(Error::new(ErrorKind::InvalidData, text));
        }
        let folder = &config.folder;
        let segments = manifest
            .segments
            .iter()
            .map(|id| Segment::open(folder, *id, true));
        let segments = segments.collect::<Result<Vec<_>>>()?;
        let seen = Seen::open(folder, &manifest.seen)?;
        let parts = (segments, seen);
        let mut store = Self::with(config.clone(), manifest.position, manifest.next_id, parts);
        store.keep_to_memory();
        Ok(store)
    }

    /// Empties the store; what it knew has to be read again from the lake.
    ///
    /// # Errors
    ///
    /// Where a file cannot be removed or the manifest not be written.
    pub fn clear(&mut self) -> Result<()> {
        let seen = Seen::open(&self.config.folder, &[])?;
        let config = self.config.clone();
        *self = Self::with(
            config,
            Position::default(),
            self.next_id,
            (Vec::new(), seen),
        );
        self.write_manifest()?;
        self.remove_strangers()
    }

    /// Removes files that the manifest does not name: of an unfinished writing, or left by a crash.
    fn remove_strangers(&self) -> Result<()> {
        let segments = self.segments.iter().chain(&self.shadow).map(|s| s.id);
        let seen = self.seen.ids();
        let mut known: Vec<PathBuf> = segments
            .map(|id| segment::path(&self.config.folder, id))
            .collect();
        known.extend(
            seen.iter()
                .map(|id| self.config.folder.join(format!("{id:012}.seen"))),
        );
        known.push(self.config.folder.join(MANIFEST));
        for file in std::fs::read_dir(&self.config.folder)? {
            let path = file?.path();
            if !known.contains(&path) && path.is_file() {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// How far it has come.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// What the store has of a trace; empty where it has nothing.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or is damaged; the store is to be cleared then.
    pub fn get_one(&self, key: &TraceKey) -> Result<Entry> {
        let hash = key.hash();
        let mut found = Entry::default();
        for segment in &self.segments {
            if let Some(entry) = segment.get(key, hash)? {
                found.join(&entry);
            }
        }
        if let Some(entry) = self.memory.get(key) {
            found.join(entry);
        }
        Ok(found)
    }

    /// When rows of the trace may have been accepted that the store has dropped, as microseconds
    /// from and to; empty where the store has all that ever came.
    ///
    /// # Errors
    ///
    /// As [`Store::get_one`].
    pub fn dropped(&self, key: &TraceKey) -> Result<Vec<(i64, i64)>> {
        let periods = self.seen.periods(key.hash())?;
        if periods.is_empty() || self.get_one(key)?.flags & WHOLE != 0 {
            return Ok(Vec::new());
        }
        Ok(periods)
    }

    /// Takes what has changed, and the position at which it holds; in memory only.
    pub fn apply(&mut self, change: Change, position: Position, now_us: i64) {
        for (key, entry) in change.entries {
            let known = self.memory.entry(key).or_insert_with(|| {
                self.memory_bytes += ENTRY_BYTES;
                Entry::default()
            });
            let before = known.bytes();
            known.join(&entry);
            self.memory_bytes = (self.memory_bytes + known.bytes()).saturating_sub(before);
        }
        self.summary.facts += change.facts;
        if let Some((from, to)) = change.received {
            let of = &mut self.summary;
            let first = self.began_us.is_none();
            of.received_min_us = if first {
                from
            } else {
                of.received_min_us.min(from)
            };
            of.received_max_us = if first {
                to
            } else {
                of.received_max_us.max(to)
            };
            self.began_us.get_or_insert(now_us);
        }
        self.changed |= self.position != position || change.facts > 0;
        self.position = position;
    }

    /// Remembers traces as dropped whose rows were accepted in `period` and are not in the store.
    ///
    /// # Errors
    ///
    /// Where that cannot be written.
    pub fn remember(&mut self, keys: &[TraceKey], period: (i64, i64)) -> Result<()> {
        let hashes: Vec<u64> = keys.iter().map(TraceKey::hash).collect();
        let next = &mut self.next_id;
        self.seen.insert(&hashes, period, || take(next))
    }

    /// Writes what is in memory where it is time, and drops what is too old or too much.
    ///
    /// # Errors
    ///
    /// Where the disk fails; the state on disk is the one before, whole.
    pub fn keep(&mut self, now_us: i64) -> Result<()> {
        let full = self.memory_bytes > self.config.memory_bytes / 2;
        let due = now_us.saturating_sub(self.written_us) >= micros(self.config.every);
        if full || (due && self.changed) {
            self.write(now_us)?;
        }
        Ok(())
    }

    /// Writes what is in memory, so that a restart goes on from here.
    ///
    /// # Errors
    ///
    /// As [`Store::keep`].
    pub fn write(&mut self, now_us: i64) -> Result<()> {
        let old = self.shadow.take();
        if !self.memory.is_empty() {
            let id = take(&mut self.next_id);
            self.summary.written_us = now_us;
            let folder = &self.config.folder;
            let written = Segment::write(folder, id, &self.memory, self.summary)?;
            let began = self.began_us.unwrap_or(now_us);
            let age = now_us.saturating_sub(began);
            let limit = SEAL_BYTES.min(self.config.memory_bytes / 4);
            if self.memory_bytes >= limit
                || age >= SEAL_AFTER_US.min(micros(self.config.kept) / SEAL_PARTS)
            {
                self.segments.push(written);
                self.memory = HashMap::new();
                self.memory_bytes = 0;
                self.summary = Summary::default();
                self.began_us = None;
            } else {
                self.shadow = Some(written);
            }
        }
        let mut gone = self.drop_old(now_us)?;
        gone.extend(old);
        self.write_manifest()?;
        self.seen.sweep();
        for segment in gone {
            segment.remove()?;
        }
        self.keep_to_memory();
        self.written_us = now_us;
        self.changed = false;
        Ok(())
    }

    /// Takes segments out that are too old or too much; they are to be removed once the manifest
    /// names them no more.
    fn drop_old(&mut self, now_us: i64) -> Result<Vec<Segment>> {
        let before = now_us.saturating_sub(micros(self.config.kept));
        let mut gone = Vec::new();
        loop {
            let disk: u64 = self.segments.iter().map(|s| s.bytes).sum();
            let old = self
                .segments
                .first()
                .is_some_and(|s| s.summary.written_us < before || disk > self.config.disk_bytes);
            if !old {
                break;
            }
            let segment = self.segments.remove(0);
            let period = (
                segment.summary.received_min_us,
                segment.summary.received_max_us,
            );
            let next = &mut self.next_id;
            self.seen
                .insert(&segment.hashes()?, period, || take(next))?;
            gone.push(segment);
        }
        let known = now_us.saturating_sub(micros(self.config.known));
        self.seen.expire(known);
        Ok(gone)
    }

    fn write_manifest(&self) -> Result<()> {
        let segments = self.segments.iter().chain(&self.shadow).map(|s| s.id);
        let manifest = Manifest {
            layout: LAYOUT,
            position: self.position.clone(),
            next_id: self.next_id,
            segments: segments.collect(),
            seen: self.seen.ids(),
        };
        let path = self.config.folder.join(MANIFEST);
        write_file(&path, &serde_json::to_vec_pretty(&manifest)?)?;
        File::open(&self.config.folder)?.sync_all()
    }

    /// Leaves filters on disk where they take too much memory, the oldest first.
    fn keep_to_memory(&mut self) {
        let limit = self.config.memory_bytes / 4;
        let mut taken: usize = self.segments.iter().map(Segment::memory).sum();
        taken += self.seen.memory();
        while taken > limit {
            let before = self.seen.memory();
            if self.seen.unload_one() {
                taken -= before - self.seen.memory();
                continue;
            }
            let Some(segment) = self.segments.iter_mut().find(|s| s.is_loaded()) else {
                return;
            };
            let before = segment.memory();
            segment.unload();
            taken -= before - segment.memory();
        }
    }

    /// What it takes.
    pub fn size(&self) -> Size {
        let segments = self.segments.iter();
        let on_disk: u64 = segments.clone().map(|s| s.summary.facts).sum();
        let disk: u64 = segments.clone().chain(&self.shadow).map(|s| s.bytes).sum();
        let memory: usize = segments.map(Segment::memory).sum();
        Size {
            facts: on_disk + self.summary.facts,
            disk_bytes: disk + self.seen.disk(),
            memory_bytes: (memory + self.seen.memory() + self.memory_bytes) as u64,
        }
    }
}

fn take(next: &mut u64) -> u64 {
    let id = *next;
    *next += 1;
    id
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
