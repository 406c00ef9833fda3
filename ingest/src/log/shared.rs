//! What the writer and the readers of the log have in common.
//!
//! The writer alone changes it, after its frame is durable; readers take what they need under a
//! short lock and read rows without it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use weir_model::{Batch, BatchId, Cursors, Dataset, NodeId, PinnedRows, RecentBlock, SourceError};

use super::cursors::CursorFiles;
use super::rows::{Block, Era, PinnedBatch, SegmentLife};
use super::{DatasetStatus, LogConfig, LogStatus};
use crate::wal::{Counters, Spare, Storage};

/// One batch, open or sealed.
#[derive(Debug, Default)]
pub(crate) struct BatchRows {
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) sealed: bool,
}

impl BatchRows {
    fn rows(&self) -> u64 {
        self.blocks.iter().map(|b| u64::from(b.entry.rows)).sum()
    }
}

/// One dataset.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) batches: BTreeMap<i64, BatchRows>,
    pub(crate) last_sealed: i64,
    pub(crate) accepted_rows: u64,
    pub(crate) lost_rows: u64,
}

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) life: Arc<SegmentLife>,
    /// What it takes on disk.
    pub(crate) file_bytes: u64,
    pub(crate) last_time_us: i64,
    /// Its last frame.
    pub(crate) last_seq: Option<u64>,
    /// The highest batch of each dataset that has rows here.
    pub(crate) batches: BTreeMap<Dataset, i64>,
}

impl Segment {
    /// A segment without rows.
    pub(crate) fn new(file_bytes: u64, now_us: i64) -> Self {
        Self {
            life: Arc::new(SegmentLife),
            file_bytes,
            last_time_us: now_us,
            last_seq: None,
            batches: BTreeMap::new(),
        }
    }

    /// Notes that rows of a batch are here.
    pub(crate) fn holds(&mut self, dataset: Dataset, batch: i64) {
        let highest = self.batches.entry(dataset).or_insert(batch);
        *highest = batch.max(*highest);
    }
}

/// All that the log knows about its rows.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) eras: Vec<Era>,
    pub(crate) tables: BTreeMap<Dataset, Table>,
    pub(crate) segments: BTreeMap<u64, Segment>,
    /// Blocks whose rows are in memory, the oldest first.
    pub(crate) in_memory: VecDeque<Arc<Block>>,
    pub(crate) memory_bytes: usize,
    pub(crate) counters: Counters,
    pub(crate) full: bool,
}

impl State {
    /// The node that numbers a batch.
    pub(crate) fn node_of(&self, dataset: Dataset, number: i64) -> Option<NodeId> {
        let era = self
            .eras
            .iter()
            .rev()
            .find(|era| era.first(dataset) <= number);
        era.or(self.eras.first()).map(|era| era.node.clone())
    }

    /// Adds accepted rows.
    pub(crate) fn add_block(&mut self, block: Arc<Block>, memory_bytes: usize) {
        let entry = block.entry;
        if let Some(segment) = self.segments.get_mut(&block.place.segment) {
            segment.holds(entry.dataset, entry.batch);
        }
        if block.is_in_memory() {
            self.memory_bytes += memory_bytes;
            self.in_memory.push_back(Arc::clone(&block));
        }
        let table = self.tables.entry(entry.dataset).or_default();
        table.accepted_rows += u64::from(entry.rows);
        table
            .batches
            .entry(entry.batch)
            .or_default()
            .blocks
            .push(block);
    }

    /// What the segments take on disk.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segments.values().map(|s| s.file_bytes).sum()
    }

    /// Drops rows from memory, the oldest first, until the rest is within the limit.
    pub(crate) fn shrink_memory(&mut self, bytes_max: usize) {
        while self.memory_bytes > bytes_max {
            let Some(block) = self.in_memory.pop_front() else {
                return;
            };
            self.memory_bytes = self.memory_bytes.saturating_sub(block.forget());
        }
    }

    /// Drops rows from memory that every required sink has settled.
    pub(crate) fn forget_settled(&mut self, settled: &BTreeMap<Dataset, i64>) {
        let State {
            in_memory,
            memory_bytes,
            ..
        } = self;
        in_memory.retain(|block| {
            let number = settled.get(&block.entry.dataset).copied().unwrap_or(0);
            if block.entry.batch <= number {
                *memory_bytes = memory_bytes.saturating_sub(block.forget());
            }
            block.is_in_memory()
        });
    }

    fn pin(&self, storage: &Arc<dyn Storage>, id: BatchId, batch: &BatchRows) -> PinnedBatch {
        let mut segments = Vec::new();
        let mut last = None;
        for block in &batch.blocks {
            if last != Some(block.place.segment) {
                last = Some(block.place.segment);
                let segment = self.segments.get(&block.place.segment);
                segments.extend(segment.map(|s| Arc::clone(&s.life)));
            }
        }
        PinnedBatch {
            id,
            blocks: batch.blocks.clone(),
            storage: Arc::clone(storage),
            _segments: segments,
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) config: LogConfig,
    pub(crate) spare: Arc<Spare>,
    pub(crate) state: Mutex<State>,
    pub(crate) cursors: Arc<CursorFiles>,
    /// Sinks that hold frames back for now, each with a dataset.
    pub(crate) held: Mutex<BTreeSet<(String, Dataset)>>,
    /// The last sealed batch of each received dataset, for those who wait.
    pub(crate) sealed: BTreeMap<Dataset, watch::Sender<i64>>,
    pub(crate) broken: watch::Sender<bool>,
    pub(crate) closing: watch::Sender<bool>,
}

impl Shared {
    /// The cursors of all sinks.
    pub fn cursors(&self) -> Arc<dyn Cursors> {
        Arc::clone(&self.cursors) as Arc<dyn Cursors>
    }

    /// All ids of the node, the present one last.
    pub fn nodes(&self) -> Vec<NodeId> {
        let state = self.state.lock();
        state.eras.iter().map(|era| era.node.clone()).collect()
    }

    /// The node's present id.
    pub fn node(&self) -> NodeId {
        let state = self.state.lock();
        let era = state.eras.last().map(|era| era.node.clone());
        era.unwrap_or_else(|| NodeId::from_bits(0))
    }

    /// The last sealed batch.
    pub fn last_sealed(&self, dataset: Dataset) -> i64 {
        self.sealed
            .get(&dataset)
            .map_or(0, |sealed| *sealed.borrow())
    }

    /// The lowest cursor of all required sinks, for each dataset.
    pub(crate) fn settled(&self) -> BTreeMap<Dataset, i64> {
        let required = self.config.required();
        let held = self.held.lock().clone();
        let lowest = |dataset| {
            let cursors = required.iter().map(|sink| self.cursors.get(sink, dataset));
            let held = held.iter().filter(|(_, of)| *of == dataset);
            let cursors = cursors.chain(held.map(|(sink, _)| self.cursors.get(sink, dataset)));
            (dataset, cursors.min().unwrap_or(0))
        };
        Dataset::RECEIVED.into_iter().map(lowest).collect()
    }

    /// The sealed batches that are there now, as [`weir_model::BatchSource::next`] gives them;
    /// it blocks where rows must be read from disk.
    ///
    /// # Errors
    ///
    /// Where the first of them cannot be read or is lost.
    pub fn take(
        &self,
        dataset: Dataset,
        after: i64,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<Batch>, SourceError> {
        let mut out = Vec::new();
        for pinned in self.plan(dataset, after, rows_max, bytes_max)? {
            match pinned.assemble() {
                Ok(batch) => out.push(batch),
                Err(_) if !out.is_empty() => break,
                Err(e) => {
                    let source = Box::new(e);
                    return Err(SourceError::Read { dataset, source });
                }
            }
        }
        Ok(out)
    }

    fn plan(
        &self,
        dataset: Dataset,
        after: i64,
        rows_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<PinnedBatch>, SourceError> {
        let state = self.state.lock();
        let mut out: Vec<PinnedBatch> = Vec::new();
        let Some(table) = state.tables.get(&dataset) else {
            return Ok(out);
        };
        let (mut rows, mut bytes) = (0, 0_u64);
        let mut number = after;
        while number < table.last_sealed {
            number += 1;
            let found = table.batches.get(&number).filter(|b| !b.blocks.is_empty());
            let Some(batch) = found.filter(|b| b.sealed) else {
                if out.is_empty() {
                    return Err(SourceError::Lost { dataset, number });
                }
                break;
            };
            let Some(node) = state.node_of(dataset, number) else {
                break;
            };
            let full = rows >= rows_max || bytes >= u64::try_from(bytes_max).unwrap_or(u64::MAX);
            // A run is of one node, since a sink settles by the last batch of a node.
            let other = out.last().is_some_and(|last| last.id.node != node);
            if !out.is_empty() && (full || other) {
                break;
            }
            rows += usize::try_from(batch.rows()).unwrap_or(usize::MAX);
            bytes += batch
                .blocks
                .iter()
                .map(|b| u64::from(b.entry.raw_bytes))
                .sum::<u64>();
            out.push(state.pin(
                &self.storage,
                BatchId {
                    node,
                    dataset,
                    number,
                },
                batch,
            ));
        }
        Ok(out)
    }

    /// How many rows and bytes wait behind `after`, sealed.
    pub(crate) fn waiting(&self, dataset: Dataset, after: i64) -> (usize, usize) {
        let state = self.state.lock();
        let Some(table) = state.tables.get(&dataset) else {
            return (0, 0);
        };
        let (mut rows, mut bytes) = (0_u64, 0_u64);
        for (_, batch) in table
            .batches
            .range(after.saturating_add(1)..=table.last_sealed)
        {
            rows += batch.rows();
            bytes += batch
                .blocks
                .iter()
                .map(|b| u64::from(b.entry.raw_bytes))
                .sum::<u64>();
        }
        let size = |n| usize::try_from(n).unwrap_or(usize::MAX);
        (size(rows), size(bytes))
    }

    /// How many rows above `after` there are, and when the oldest was accepted.
    pub(crate) fn behind(&self, dataset: Dataset, after: i64) -> (u64, Option<i64>) {
        let state = self.state.lock();
        let Some(table) = state.tables.get(&dataset) else {
            return (0, None);
        };
        let batches = table.batches.range(after.saturating_add(1)..);
        let oldest = batches.clone().find_map(|(_, batch)| batch.blocks.first());
        let rows = batches.map(|(_, batch)| batch.rows()).sum();
        (rows, oldest.map(|block| block.place.time_us))
    }

    /// Pins the rows that no lake commit is known to hold.
    ///
    /// Rows under a former name of this node are left out: a snapshot could not tell them apart.
    pub fn pin(&self, dataset: Dataset) -> PinnedRows {
        self.pin_of(dataset, self.node())
    }

    /// The same, of rows that were accepted under the name `node`.
    pub fn pin_of(&self, dataset: Dataset, node: NodeId) -> PinnedRows {
        let after = self.cursors.get(&self.config.lake_sink, dataset);
        let state = self.state.lock();
        let mut blocks: Vec<Arc<dyn RecentBlock>> = Vec::new();
        if let Some(table) = state.tables.get(&dataset) {
            for (number, batch) in table.batches.range(after.saturating_add(1)..) {
                let of = state.node_of(dataset, *number).filter(|of| *of == node);
                if let (Some(node), false) = (of, batch.blocks.is_empty()) {
                    let id = BatchId {
                        node,
                        dataset,
                        number: *number,
                    };
                    blocks.push(Arc::new(state.pin(&self.storage, id, batch)));
                }
            }
        }
        PinnedRows { node, blocks }
    }

    /// How the log stands.
    pub fn status(&self) -> LogStatus {
        let node = self.node();
        let broken = *self.broken.borrow();
        let state = self.state.lock();
        let datasets = Dataset::RECEIVED.into_iter().map(|dataset| {
            let lake = self.cursors.get(&self.config.lake_sink, dataset);
            state.tables.get(&dataset).map_or(
                DatasetStatus {
                    dataset,
                    accepted_rows: 0,
                    last_sealed: 0,
                    unsealed_rows: 0,
                    recent_rows: 0,
                    lost_rows: 0,
                    oldest_recent_us: None,
                },
                |table| table.status(dataset, lake),
            )
        });
        let spare = if self.spare.is_ready() {
            self.config.segment_bytes
        } else {
            0
        };
        LogStatus {
            node,
            datasets: datasets.collect(),
            segments: state.segments.len(),
            disk_bytes: state.segment_bytes() + spare,
            budget_bytes: self.config.budget_bytes,
            recent_bytes: state.memory_bytes,
            full: state.full,
            broken,
            counters: state.counters,
        }
    }
}

impl Table {
    fn status(&self, dataset: Dataset, lake: i64) -> DatasetStatus {
        let open = self.batches.values().filter(|b| !b.sealed);
        let recent = self.batches.range(lake.saturating_add(1)..);
        let oldest = recent.clone().find_map(|(_, batch)| batch.blocks.first());
        DatasetStatus {
            dataset,
            accepted_rows: self.accepted_rows,
            last_sealed: self.last_sealed,
            unsealed_rows: open.map(BatchRows::rows).sum(),
            recent_rows: recent.map(|(_, b)| b.rows()).sum(),
            lost_rows: self.lost_rows,
            oldest_recent_us: oldest.map(|block| block.place.time_us),
        }
    }
}
