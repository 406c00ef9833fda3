//! One version of a table: its files, and how far each node's batches are in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_model::{Dataset, NodeId, TenantId};

use crate::stats::ColumnStats;

/// A data file of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct LakeFile {
    /// Its path, relative to the table's root, as the object store knows it (not URL-encoded).
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// How many rows it holds.
    pub rows: u64,
    /// The one tenant whose rows it holds; `None` in a table that is partitioned by date alone.
    pub tenant: Option<TenantId>,
    /// Days since 1970-01-01 of the one `part_date` that its rows have.
    pub part_date: Option<i32>,
    /// No row's time (the dataset's time column) lies before this, in microseconds.
    pub time_min_us: Option<i64>,
    /// No row's time lies after this, in microseconds; up to 1 ms later than the last one.
    pub time_max_us: Option<i64>,
    /// What is known of its columns, by column name; a column that is absent may hold anything.
    pub stats: BTreeMap<String, ColumnStats>,
}

/// The end of what is settled of a batch that is written in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partial {
    /// The batch's number.
    pub batch: i64,
    /// Rows with a `_row` below this are settled: in the table, or set aside for good.
    pub rows_end: i32,
}

/// One version of a table, immutable and cheap to share.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) dataset: Dataset,
    pub(crate) version: Option<u64>,
    pub(crate) files: Vec<Arc<LakeFile>>,
    pub(crate) committed: BTreeMap<NodeId, i64>,
    pub(crate) partial: BTreeMap<NodeId, Partial>,
    pub(crate) progress: BTreeMap<String, i64>,
    pub(crate) columns: Arc<[String]>,
}

impl Snapshot {
    /// A table that is not there yet.
    pub(crate) fn missing(dataset: Dataset) -> Self {
        Self {
            dataset,
            version: None,
            files: Vec::new(),
            committed: BTreeMap::new(),
            partial: BTreeMap::new(),
            progress: BTreeMap::new(),
            columns: Arc::from([]),
        }
    }

    /// The kind of record.
    pub fn dataset(&self) -> Dataset {
        self.dataset
    }

    /// The table's version; `None` where there is no table yet.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The files that make up this version, in the order of their paths.
    pub fn files(&self) -> &[Arc<LakeFile>] {
        &self.files
    }

    /// The names of the table's columns; files that are older may lack some of them.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The number up to which every batch of `node` is in this version; 0 where none is.
    pub fn committed(&self, node: &NodeId) -> i64 {
        self.committed.get(node).copied().unwrap_or(0)
    }

    /// The batch of `node` that is being written in pieces, where that batch lies above
    /// [`committed`](Self::committed): a query that adds recent rows leaves out the settled ones.
    pub fn partial(&self, node: &NodeId) -> Option<Partial> {
        let partial = self.partial.get(node).copied()?;
        (partial.batch > self.committed(node)).then_some(partial)
    }

    /// Rows of batch `number` of `node` with a `_row` below this are in this version, or were set
    /// aside for good; 0 where the batch is not begun. What [`committed`](Self::committed) covers
    /// is settled whole.
    pub fn settled_rows(&self, node: &NodeId, number: i64) -> i32 {
        if number <= self.committed(node) {
            return i32::MAX;
        }
        let partial = self.partial(node).filter(|p| p.batch == number);
        partial.map_or(0, |p| p.rows_end)
    }

    /// Every node that has batches in this version, with the number of the last.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, i64)> {
        self.committed.iter().map(|(node, batch)| (node, *batch))
    }

    /// The number that a writer of derived rows has set under `name`; 0 where none was set.
    pub fn progress(&self, name: &str) -> i64 {
        self.progress.get(name).copied().unwrap_or(0)
    }

    /// All numbers that writers of derived rows have set, by name.
    pub fn all_progress(&self) -> impl Iterator<Item = (&str, i64)> {
        self.progress.iter().map(|(name, to)| (name.as_str(), *to))
    }

    /// How many rows all files hold together.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|f| f.rows).sum()
    }
}
