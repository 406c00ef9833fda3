//! The batch: sealed, immutable rows of one dataset; what is delivered and settled.
//!
//! # Invariants
//!
//! * A batch has at least one row, all of one [`Dataset`]; the tenant is a column.
//! * Its rows and their order never change once it is sealed, on no retry and no restart.
//! * Its number counts up by one per (node, dataset), from 1; sinks deduplicate by it.
//! * Its last three columns say so in each row: `_node`, `_batch`, and `_row` from 0.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
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

/// Sealed rows that share one fate; see the [module](self) for what holds.
#[derive(Clone, Debug)]
pub struct Batch {
    id: BatchId,
    rows: RecordBatch,
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
        Ok(Self { id, rows })
    }

    /// Takes rows that already carry their last three columns, as read back from a table.
    pub fn from_sealed(id: BatchId, rows: RecordBatch) -> Self {
        Self { id, rows }
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
