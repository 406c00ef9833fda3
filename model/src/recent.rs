//! Accepted rows that are not known to be in the lake yet, as queries see them.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::{Dataset, NodeId};

/// A failure to read recent rows back from disk.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Rows that share a batch number.
pub trait RecentBlock: Send + Sync + std::fmt::Debug {
    /// The number under which these rows are sealed, or will be: a row's number is fixed when the
    /// row is accepted, so that a snapshot taken later can tell whether it holds the row already.
    fn batch(&self) -> i64;

    /// How many rows.
    fn rows(&self) -> usize;

    /// The rows in the dataset's sealed schema, in memory or read back from the log; it may block.
    ///
    /// # Errors
    ///
    /// Where the log cannot be read; the query fails then, since it would miss rows.
    fn read(&self) -> Result<Vec<RecordBatch>, ReadError>;
}

/// Recent rows held fast while a query runs: what is pinned stays readable until this is dropped.
#[derive(Debug)]
pub struct PinnedRows {
    /// The node that accepted them.
    pub node: NodeId,
    /// Ascending by batch number.
    pub blocks: Vec<Arc<dyn RecentBlock>>,
}

/// Gives queries the rows that are accepted but perhaps not yet in the lake.
pub trait RecentRows: Send + Sync + std::fmt::Debug {
    /// Pins all rows of `dataset` that no lake commit is known to hold, of all tenants.
    ///
    /// Pin first, take the lake's snapshot second, and keep the blocks whose batch is above the
    /// snapshot's last batch of this node: then no row is missed and none is seen twice.
    fn pin(&self, dataset: Dataset) -> PinnedRows;
}
