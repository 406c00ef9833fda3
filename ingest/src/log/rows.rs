//! Accepted rows as the log keeps them: in memory while there is room, in a frame for good.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use parking_lot::Mutex;
use weir_model::{Batch, BatchId, Dataset, NodeId, RecentBlock, recent};

use crate::wal::{BlockEntry, FrameReader, Place, ReadError, Storage, concat_rows};

/// A segment file that is not deleted while anybody but the log's state holds this.
#[derive(Debug)]
pub(crate) struct SegmentLife;

/// The rows of one dataset in one frame.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) place: Place,
    pub(crate) entry: BlockEntry,
    memory: Mutex<Option<Vec<RecordBatch>>>,
    memory_bytes: usize,
}

impl Block {
    /// Rows that have just been written.
    pub(crate) fn fresh(
        place: Place,
        entry: BlockEntry,
        rows: Vec<RecordBatch>,
        memory_bytes: usize,
    ) -> Self {
        Self {
            place,
            entry,
            memory: Mutex::new(Some(rows)),
            memory_bytes,
        }
    }

    /// Rows that are on disk only.
    pub(crate) fn stored(place: Place, entry: BlockEntry) -> Self {
        Self {
            place,
            entry,
            memory: Mutex::new(None),
            memory_bytes: 0,
        }
    }

    /// Drops the rows from memory; gives the bytes that this frees.
    pub(crate) fn forget(&self) -> usize {
        self.memory.lock().take().map_or(0, |_| self.memory_bytes)
    }

    /// Whether the rows are in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.memory.lock().is_some()
    }

    fn rows(&self, reader: &mut FrameReader) -> Result<Vec<RecordBatch>, ReadError> {
        let held = self.memory.lock().clone();
        match held {
            Some(rows) => Ok(rows),
            None => reader.rows(&self.place, &self.entry),
        }
    }
}

/// The rows of one batch, held fast: the segments that they are in stay while this lives.
#[derive(Debug)]
pub(crate) struct PinnedBatch {
    pub(crate) id: BatchId,
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) _segments: Vec<Arc<SegmentLife>>,
}

/// Rows could not be put together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssembleError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the rows of a batch do not fit together")]
    Arrow(#[from] ArrowError),
}

impl PinnedBatch {
    /// The sealed batch, its rows in one piece. Where damage took some of its frames, the rows
    /// that are left keep their places.
    pub(crate) fn assemble(&self) -> Result<Batch, AssembleError> {
        let mut reader = FrameReader::new(Arc::clone(&self.storage));
        let mut parts = Vec::new();
        let mut places = Vec::new();
        for block in &self.blocks {
            places.push((block.entry.first_row, block.entry.rows));
            parts.extend(block.rows(&mut reader)?);
        }
        let accepted = match parts.as_slice() {
            [one] => one.clone(),
            several => concat_rows(&self.id.dataset.accepted_schema(), several)?,
        };
        if is_dense(&places) {
            return Ok(Batch::seal(self.id.clone(), &accepted)?);
        }
        let rows = places
            .iter()
            .flat_map(|(first, rows)| *first..first.saturating_add(*rows));
        let rows = Int32Array::from_iter_values(rows.map(|row| i32::try_from(row).unwrap_or(0)));
        let sealed = seal_columns(&self.id, &accepted, Arc::new(rows))?;
        Ok(Batch::from_sealed(self.id.clone(), sealed))
    }

    fn read_pieces(&self) -> Result<Vec<RecordBatch>, AssembleError> {
        let mut reader = FrameReader::new(Arc::clone(&self.storage));
        let mut out = Vec::new();
        for block in &self.blocks {
            let mut row = i32::try_from(block.entry.first_row).unwrap_or(i32::MAX);
            for part in block.rows(&mut reader)? {
                let rows = i32::try_from(part.num_rows()).unwrap_or(i32::MAX);
                let next = row.saturating_add(rows);
                let places = Arc::new(Int32Array::from_iter_values(row..next));
                out.push(seal_columns(&self.id, &part, places)?);
                row = next;
            }
        }
        Ok(out)
    }
}

/// Whether the pieces follow each other from row 0 on.
fn is_dense(places: &[(u32, u32)]) -> bool {
    let mut next = 0_u32;
    places.iter().all(|(first, rows)| {
        let fits = *first == next;
        next = first.saturating_add(*rows);
        fits
    })
}

/// Appends `_node`, `_batch` and `_row`.
fn seal_columns(
    id: &BatchId,
    accepted: &RecordBatch,
    places: ArrayRef,
) -> Result<RecordBatch, ArrowError> {
    let rows = accepted.num_rows();
    let node = StringArray::from_iter_values(std::iter::repeat_n(id.node.as_str(), rows));
    let mut columns: Vec<ArrayRef> = accepted.columns().to_vec();
    columns.push(Arc::new(node));
    columns.push(Arc::new(Int64Array::from(vec![id.number; rows])));
    columns.push(places);
    RecordBatch::try_new(id.dataset.schema(), columns)
}

impl RecentBlock for PinnedBatch {
    fn batch(&self) -> i64 {
        self.id.number
    }

    fn rows(&self) -> usize {
        let rows = self
            .blocks
            .iter()
            .map(|b| usize::try_from(b.entry.rows).unwrap_or(0));
        rows.sum()
    }

    fn read(&self) -> Result<Vec<RecordBatch>, recent::ReadError> {
        Ok(self.read_pieces()?)
    }
}

/// A node's name from some batch numbers on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Era {
    pub(crate) node: NodeId,
    /// The first number of each dataset under this name; 1 where it is not named.
    pub(crate) from: std::collections::BTreeMap<Dataset, i64>,
}

impl Era {
    pub(crate) fn first(&self, dataset: Dataset) -> i64 {
        self.from.get(&dataset).copied().unwrap_or(1)
    }
}
