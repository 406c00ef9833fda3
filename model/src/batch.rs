//! The batch: sealed, immutable rows of one dataset; what is delivered and settled.
//!
//! # Invariants
//!
//! * A batch has at least one row, all of one [`Dataset`]; the tenant is a column.
//! * Its rows and their order never change once it is sealed, on no retry and no restart.
//! * Its number counts up by one per (node, dataset), from 1; sinks deduplicate by it.
//! * Its last three columns say so in each row: `_node`, `_batch`, and `_row` from 0, ascending.
//! * A reader may hold a batch without some of its rows: those that are left keep their names.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;

use crate::{Dataset, NodeId};

/// A batch's name, unique for ever.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId {
    /// The node that accepted the rows.
    pub node: NodeId,
    /// The kind of record.
    pub dataset: Dataset,
    /// The number, dense from 1 for each node and dataset.
    pub number: i64,
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.node, self.dataset, self.number)
    }
}

/// The column `_row`.
fn row_numbers(rows: &RecordBatch) -> Option<&Int32Array> {
    rows.column_by_name("_row")?.as_any().downcast_ref()
}

/// Sealed rows that share one fate; see the [module](self) for what holds.
#[derive(Clone, Debug)]
pub struct Batch {
    id: BatchId,
    rows: RecordBatch,
    end: i32,
}

impl Batch {
    /// Seals `accepted` under `id`: appends `_node`, `_batch` and `_row`.
    ///
    /// # Errors
    ///
    /// Where the rows are not of the dataset's accepted schema, or are none: an empty batch has
    /// no fate.
    pub fn seal(id: BatchId, accepted: &RecordBatch) -> Result<Self, ArrowError> {
        let rows = accepted.num_rows();
        let count = i32::try_from(rows)
            .map_err(|_| ArrowError::InvalidArgumentError("more than 2^31 rows".into()))?;
        if count == 0 {
            return Err(ArrowError::InvalidArgumentError("no rows to seal".into()));
        }
        let node = StringArray::from_iter_values(std::iter::repeat_n(id.node.as_str(), rows));
        let mut columns: Vec<ArrayRef> = accepted.columns().to_vec();
        columns.push(Arc::new(node));
        columns.push(Arc::new(Int64Array::from(vec![id.number; rows])));
        columns.push(Arc::new(Int32Array::from_iter_values(0..count)));
        let rows = RecordBatch::try_new(id.dataset.schema(), columns)?;
        let end = count;
        Ok(Self { id, rows, end })
    }

    /// Takes rows that already carry their last three columns, as read back from a table, in the
    /// order of `_row`. The batch ends with the last of them.
    pub fn from_sealed(id: BatchId, rows: RecordBatch) -> Self {
        let last = rows.num_rows().checked_sub(1);
        let named = last.and_then(|last| Some(row_numbers(&rows)?.value(last)));
        let counted = i32::try_from(rows.num_rows()).unwrap_or(i32::MAX);
        let end = named.map_or(counted, |last| last.saturating_add(1));
        Self { id, rows, end }
    }

    /// The same batch with `rows` in place of its own: fewer of them, with the names that they
    /// had, or with other values in columns.
    #[must_use]
    pub fn with_rows(&self, rows: RecordBatch) -> Self {
        Self {
            id: self.id.clone(),
            rows,
            end: self.end,
        }
    }

    /// The `_row` after the last one that the batch was sealed with.
    pub fn end(&self) -> i32 {
        self.end
    }

    /// Where the rows whose `_row` lies in `range` stand in [`rows`](Self::rows).
    pub fn places(&self, range: Range<i32>) -> Range<usize> {
        let count = self.rows.num_rows();
        let dense = usize::try_from(self.end).is_ok_and(|end| end == count);
        match row_numbers(&self.rows).filter(|_| !dense) {
            Some(numbers) => {
                let numbers: &[i32] = numbers.values();
                let before = |bound: i32| numbers.partition_point(|row| *row < bound);
                before(range.start)..before(range.end)
            }
            None => {
                let at = |bound: i32| usize::try_from(bound).unwrap_or(0).min(count);
                at(range.start)..at(range.end)
            }
        }
    }

    /// The `_row` of the row at `place`; `None` beyond the last.
    pub fn row_at(&self, place: usize) -> Option<i32> {
        let numbers = row_numbers(&self.rows)?;
        (place < self.rows.num_rows()).then(|| numbers.value(place))
    }

    /// The batch's name.
    pub fn id(&self) -> &BatchId {
        &self.id
    }

    /// The kind of record.
    pub fn dataset(&self) -> Dataset {
        self.id.dataset
    }

    /// The rows, in the dataset's sealed schema.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// The memory that the rows hold, in bytes.
    pub fn bytes(&self) -> usize {
        self.rows.get_array_memory_size()
    }
}
