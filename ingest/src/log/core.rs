//! The log as a state machine without threads: groups of requests in, one durable frame each.
//!
//! The program runs it on one thread ([`Log`](super::Log)); simulations run it on a disk that
//! lies, with a time of their own. `now` is time since any fixed moment, and never goes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_model::{Clock, Dataset, schema};

use super::group::Group;
use super::rows::Block;
use super::shared::{Segment, Shared, State};
use super::{AppendError, Committed, LogConfig, Submission};
use crate::wal::{
    BlockEncoder, BlockEntry, Bug, FrameHeader, Hold, KIND_COMMIT, ReplaceError,
    SEGMENT_HEADER_BYTES, Seal, WAL_DIR, WriteError, Writer, Written, join, segment_name, size64,
};

/// The batch that new rows of a dataset join.
#[derive(Clone, Debug)]
pub(crate) struct OpenBatch {
    pub(crate) number: i64,
    pub(crate) rows: u64,
    pub(crate) bytes: usize,
    pub(crate) since: Duration,
    pub(crate) frames: Vec<(u64, u32)>,
}

/// A left-over that a new segment makes void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tidy {
    /// A segment without a frame.
    Remove(u64),
    /// What lies behind this place in a segment: a torn write, or zeros.
    Cut(u64, u64),
}

/// See the module documentation.
#[derive(Debug)]
pub struct Core {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) writer: Writer,
    pub(crate) encoder: BlockEncoder,
    pub(crate) frame: Vec<u8>,
    pub(crate) open: BTreeMap<Dataset, OpenBatch>,
    /// Batches of an earlier run that still lack their seal.
    pub(crate) owed: Vec<Seal>,
    pub(crate) next_batch: BTreeMap<Dataset, i64>,
    pub(crate) incarnation: u128,
    /// All frames below this number are deleted, or about to be.
    pub(crate) kept_from: u64,
    /// The disk was full: nothing is tried before this.
    pub(crate) full_until: Option<Duration>,
    /// Seals could not be written: nothing but a request makes them tried again before this.
    pub(crate) seal_after: Option<Duration>,
    /// What an earlier run left and the next new segment makes void.
    pub(crate) tidy: Vec<Tidy>,
    /// A segment was begun since `node.json` was written.
    pub(crate) note_due: bool,
    pub(crate) _hold: Box<dyn Hold>,
}

impl Core {
    /// What readers use.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    pub(crate) fn config(&self) -> &LogConfig {
        &self.shared.config
    }

    /// Makes a group durable in one frame, together with the seals that are due; answers each
    /// submission.
    pub fn commit(
        &mut self,
        group: &[Submission],
        now: Duration,
    ) -> Vec<Result<Committed, AppendError>> {
        match self.commit_group(group, now, false) {
            Ok(committed) => group.iter().map(|_| Ok(committed)).collect(),
            // One that is too large must not take its neighbours with it.
            Err(AppendError::TooLarge { .. } | AppendError::Rows { .. }) if group.len() > 1 => {
                let singly = group.chunks(1);
                singly
                    .map(|one| self.commit_group(one, now, false))
                    .collect()
            }
            Err(e) => {
                let mut out: Vec<_> = group.iter().skip(1).map(|_| Err(again(&e))).collect();
                out.push(Err(e));
                out
            }
        }
    }

    /// Seals what is due by its age; with `all`, every open batch.
    ///
    /// # Errors
    ///
    /// Nothing was sealed then; it is tried again at the next commit.
    pub fn seal(&mut self, now: Duration, all: bool) -> Result<(), AppendError> {
        if self.plan_seals(now, &[], all).is_empty() {
            return Ok(());
        }
        let sealed = self.commit_group(&[], now, all);
        self.seal_after = match sealed {
            Ok(_) => None,
            Err(_) => Some(now.saturating_add(self.config().retry_after)),
        };
        sealed.map(|_| ())
    }

    /// When something is to be done though nobody asks.
    pub fn deadline(&self) -> Option<Duration> {
        let age = self.config().batch_age;
        let seals = self
            .open
            .values()
            .map(|open| open.since.saturating_add(age))
            .min();
        let owed = (!self.owed.is_empty()).then_some(Duration::ZERO);
        let due = seals.into_iter().chain(owed).min()?;
        Some(self.seal_after.map_or(due, |after| due.max(after)))
    }

    fn commit_group(
        &mut self,
        submissions: &[Submission],
        now: Duration,
        seal_all: bool,
    ) -> Result<Committed, AppendError> {
        let requests = submissions.iter().map(|s| s.entries.len()).sum();
        if *self.shared.broken.borrow() {
            return Err(AppendError::Broken);
        }
        if self.full_until.is_some_and(|until| now < until) && requests > 0 {
            return Err(self.refuse(requests));
        }
        let started = Instant::now();
        let group = self.encode(submissions, now, seal_all)?;
        let encode_seconds = started.elapsed().as_secs_f64();
        let needed = size64(self.frame.len());
        let limit = self.config().frame_bytes_max;
        if self.frame.len() > limit {
            let bytes = self.frame.len();
            return Err(AppendError::TooLarge {
                bytes,
                bytes_max: limit,
            });
        }
        if requests > 0 && !self.has_budget(needed) {
            return Err(self.refuse(requests));
        }
        if self.config().planted.has(Bug::ShowBeforeSeal) {
            self.show(&group.manifest.seals);
        }
        let time_us = self.clock.now_us();
        let written = match self.write(&group, time_us) {
            Err(WriteError::Full)
                if requests == 0 && self.shared.spare.release_reserve(&*self.shared.storage) =>
            {
                // Seals let sinks go on, which is what frees the disk.
                self.write(&group, time_us)
            }
            other => other,
        };
        let written = match written {
            Ok(written) => written,
            Err(e) => return Err(self.fail(e, requests, now)),
        };
        self.full_until = None;
        self.publish(&group, &written, now, encode_seconds);
        if std::mem::take(&mut self.note_due)
            && let Err(ReplaceError::Unsynced(_)) = self.save_node()
        {
            self.shared.broken.send_replace(true);
        }
        Ok(Committed {
            seq: written.place.seq,
            committed_at_us: time_us,
        })
    }

    fn write(&mut self, group: &Group, time_us: i64) -> Result<Written, WriteError> {
        let header = FrameHeader {
            payload_bytes: 0,
            crc: 0,
            salt: 0,
            seq: 0,
            kind: KIND_COMMIT,
            schema_version: schema::VERSION,
            manifest_bytes: group.manifest_bytes,
            time_us,
        };
        let node = u64::from_str_radix(self.shared.node().as_str(), 16).unwrap_or(0);
        let written = self.writer.write(&mut self.frame, &header, node);
        self.register_begun();
        written
    }

    /// Notes new segments, whether or not the frame that they were begun for was written.
    fn register_begun(&mut self) {
        let begun = self.writer.take_begun();
        if begun.is_empty() {
            return;
        }
        self.note_due = true;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        self.tidy_up(&mut state);
        state.counters.rotations += size64(begun.len());
        let time_us = self.clock.now_us();
        for new in begun {
            if let (Some(end), Some(mut old)) = (new.closed_at, state.segments.last_entry()) {
                old.get_mut().file_bytes = end;
            }
            state
                .segments
                .insert(new.id, Segment::new(new.file_bytes, time_us));
        }
    }

    fn refuse(&self, requests: usize) -> AppendError {
        let mut state = self.shared.state.lock();
        state.full = true;
        state.counters.refused_full += size64(requests);
        AppendError::Full {
            retry_after: self.config().retry_after,
        }
    }

    fn fail(&mut self, error: WriteError, requests: usize, now: Duration) -> AppendError {
        match error {
            WriteError::Full => {
                self.full_until = Some(now.saturating_add(self.config().retry_after));
                self.refuse(requests)
            }
            WriteError::Refused(source) => {
                self.shared.state.lock().counters.refused_writes += 1;
                AppendError::Refused { source }
            }
            WriteError::Broken => {
                self.shared.broken.send_replace(true);
                AppendError::Broken
            }
        }
    }

    /// Whether the frame, and a segment if one must be begun, is within the budget.
    fn has_budget(&self, frame_bytes: u64) -> bool {
        let state = self.shared.state.lock();
        let mut bytes = state.segment_bytes();
        drop(state);
        if self.writer.must_begin(frame_bytes) {
            let wanted = frame_bytes + size64(SEGMENT_HEADER_BYTES);
            bytes += self.config().segment_bytes.max(wanted);
        }
        bytes <= self.config().budget_bytes
    }

    /// Makes what is durable visible, before anybody is answered.
    fn publish(&mut self, group: &Group, written: &Written, now: Duration, encode_seconds: f64) {
        let place = written.place;
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state.lock();
        state.full = false;
        for seal in &group.manifest.seals {
            self.open.remove(&seal.dataset);
            let table = state.tables.entry(seal.dataset).or_default();
            table.batches.entry(seal.number).or_default().sealed = true;
            table.last_sealed = table.last_sealed.max(seal.number);
        }
        self.owed.clear();
        for (entry, part) in group.manifest.blocks.iter().zip(&group.parts) {
            self.join(entry, part.bytes, place.seq, now);
            let block = Block::fresh(place, *entry, part.rows.clone(), part.bytes);
            state.add_block(Arc::new(block), part.bytes);
        }
        if let Some(segment) = state.segments.get_mut(&place.segment) {
            segment.last_time_us = self.clock.now_us();
            segment.last_seq = Some(place.seq);
        }
        state.shrink_memory(self.shared.config.recent_bytes());
        let counters = &mut state.counters;
        counters.frames += 1;
        counters.bytes += u64::from(place.bytes);
        counters.requests += size64(group.manifest.requests.len());
        counters.group(group.manifest.requests.len());
        counters.seals += size64(group.manifest.seals.len());
        counters.rows += group
            .manifest
            .blocks
            .iter()
            .map(|b| u64::from(b.rows))
            .sum::<u64>();
        counters.raw_bytes += group
            .manifest
            .blocks
            .iter()
            .map(|b| u64::from(b.raw_bytes))
            .sum::<u64>();
        counters.synced(written.fsync_seconds);
        counters.encode_seconds += encode_seconds;
        drop(state);
        self.show(&group.manifest.seals);
    }

    /// Clears away what an earlier run left behind its last frame. Nothing depends on it: the new
    /// segment is durable and says from which number on older ones do not count.
    fn tidy_up(&mut self, state: &mut State) {
        for tidy in self.tidy.drain(..) {
            let storage = &self.shared.storage;
            match tidy {
                Tidy::Remove(id) => {
                    drop(storage.remove(&join(WAL_DIR, &segment_name(id))));
                    state.segments.remove(&id);
                }
                Tidy::Cut(id, end) => {
                    let file = storage.open(&join(WAL_DIR, &segment_name(id)));
                    let cut = file.and_then(|file| file.set_len(end));
                    if let (Ok(()), Some(segment)) = (cut, state.segments.get_mut(&id)) {
                        segment.file_bytes = end;
                    }
                }
            }
        }
    }

    /// Notes that rows joined a batch.
    fn join(&mut self, entry: &BlockEntry, bytes: usize, seq: u64, now: Duration) {
        let open = self.open.entry(entry.dataset).or_insert_with(|| OpenBatch {
            number: entry.batch,
            rows: 0,
            bytes: 0,
            since: now,
            frames: Vec::new(),
        });
        open.rows += u64::from(entry.rows);
        open.bytes += bytes;
        open.frames.push((seq, entry.rows));
        self.next_batch.insert(entry.dataset, entry.batch + 1);
    }

    /// Tells those who wait for sealed batches.
    fn show(&self, seals: &[Seal]) {
        if self.config().planted.has(Bug::ShowBeforeSeal) {
            let mut state = self.shared.state.lock();
            for seal in seals {
                let table = state.tables.entry(seal.dataset).or_default();
                table.batches.entry(seal.number).or_default().sealed = true;
                table.last_sealed = table.last_sealed.max(seal.number);
            }
        }
        for seal in seals {
            if let Some(sealed) = self.shared.sealed.get(&seal.dataset) {
                sealed.send_if_modified(|last| {
                    let moved = seal.number > *last;
                    *last = seal.number.max(*last);
                    moved
                });
            }
        }
    }

    /// Makes a spare segment and the reserve ready, if they are wanted; the program does this on
    /// a helper thread.
    pub fn prepare(&self) {
        prepare(&self.shared);
    }

    /// Seals what is open and writes the numbers down; the next start has nothing to repair.
    ///
    /// # Errors
    ///
    /// Nothing is lost then; the next start seals what was open.
    pub fn close(&mut self, now: Duration) -> Result<(), AppendError> {
        self.seal(now, true)?;
        self.save_node().map_err(|e| AppendError::Refused {
            source: e.into_source(),
        })
    }
}

/// A full disk is no failure here: there is just no spare.
pub(crate) fn prepare(shared: &Shared) {
    let config = &shared.config;
    let bytes = shared.state.lock().segment_bytes();
    if bytes + config.segment_bytes <= config.budget_bytes
        && let Err(error) = shared.spare.prepare(&*shared.storage, config.segment_bytes)
    {
        tracing::warn!(%error, "wal.spare.not_made");
        return;
    }
    if let Err(error) = shared
        .spare
        .prepare_reserve(&*shared.storage, config.reserve_bytes)
    {
        tracing::warn!(%error, "wal.reserve.not_made");
    }
}

fn again(e: &AppendError) -> AppendError {
    match e {
        AppendError::Full { retry_after } => AppendError::Full {
            retry_after: *retry_after,
        },
        AppendError::Broken => AppendError::Broken,
        AppendError::Refused { source } => AppendError::Refused {
            source: source.kind().into(),
        },
        AppendError::Closed | AppendError::TooLarge { .. } | AppendError::Rows { .. } => {
            AppendError::Closed
        }
    }
}
