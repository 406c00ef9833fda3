//! What a sink is: a destination that writes what it is given and says how that went.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use weir_model::source::Want;
use weir_model::{Batch, Classify, Dataset, NodeId};

/// Any failure of a sink, with its own word on whether a retry can help.
pub type SinkError = Box<dyn Classify + Send + Sync>;

/// What a sink is offered: a batch, or a fixed range of its rows.
///
/// A range is by `_row`, so each row keeps its name (`_node`, `_batch`, `_row`) wherever it goes.
/// A row may be missing from a range, since not every row goes to every sink, and then it is
/// missing each time. Once a range was offered it is never offered cut in another way, on no
/// restart: a sink may deduplicate by [`PartId`].
#[derive(Clone, Debug)]
pub struct Part {
    batch: Batch,
    rows: Range<i32>,
}

/// The name of a part, unique for ever. It prints as `<node>/<dataset>/<batch>/<start>-<end>`,
/// which is fit to be a deduplication token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId {
    /// The node that accepted the rows.
    pub node: NodeId,
    /// The kind of record.
    pub dataset: Dataset,
    /// The batch's number.
    pub batch: i64,
    /// The first row.
    pub start: i32,
    /// The row after the last.
    pub end: i32,
}

impl fmt::Display for PartId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            dataset,
            batch,
            start,
            end,
        } = self;
        write!(f, "{node}/{dataset}/{batch}/{start}-{end}")
    }
}

impl Part {
    /// The batch as it is.
    pub fn whole(batch: Batch) -> Self {
        let rows = 0..batch.end();
        Self { batch, rows }
    }

    /// The rows of `batch` whose `_row` lies in `rows`; `None` where the range goes beyond the
    /// batch, or is empty.
    pub fn piece(batch: Batch, rows: Range<i32>) -> Option<Self> {
        let sound = 0 <= rows.start && rows.start < rows.end && rows.end <= batch.end();
        sound.then_some(Self { batch, rows })
    }

    /// The part's name.
    pub fn id(&self) -> PartId {
        let id = self.batch.id();
        PartId {
            node: id.node.clone(),
            dataset: id.dataset,
            batch: id.number,
            start: self.rows.start,
            end: self.rows.end,
        }
    }

    /// The batch that it is of.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Which rows of the batch, by `_row`.
    pub fn range(&self) -> Range<i32> {
        self.rows.clone()
    }

    /// Whether it is all of its batch.
    pub fn is_whole(&self) -> bool {
        self.rows == (0..self.batch.end())
    }

    /// Whether its batch ends with it.
    pub fn is_last(&self) -> bool {
        self.rows.end == self.batch.end()
    }

    /// How many rows; fewer than the range is long where rows are missing.
    pub fn len(&self) -> usize {
        self.batch.places(self.rows.clone()).len()
    }

    /// Whether every row of the range is missing. A sink is never offered such a part.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The rows, in the dataset's sealed schema and the order of `_row`; nothing is copied.
    pub fn rows(&self) -> RecordBatch {
        let places = self.batch.places(self.rows.clone());
        self.batch.rows().slice(places.start, places.len())
    }

    /// The same rows in parts of at most `rows` rows, in order: always cut the same way.
    pub fn chunks(&self, rows: usize) -> Vec<Self> {
        let places = self.batch.places(self.rows.clone());
        let cuts = places.clone().step_by(rows.max(1)).skip(1);
        let cuts = cuts.filter_map(|place| self.batch.row_at(place));
        let mut chunks = Vec::new();
        let mut start = self.rows.start;
        for end in cuts.chain([self.rows.end]) {
            chunks.extend(Self::piece(self.batch.clone(), start..end));
            start = end;
        }
        chunks
    }

    /// The two halves, in order; `None` for a single row.
    pub(crate) fn halves(&self) -> Option<(Self, Self)> {
        let places = self.batch.places(self.rows.clone());
        if places.len() < 2 {
            return None;
        }
        let middle = self.batch.row_at(places.start + places.len() / 2)?;
        let first = Self::piece(self.batch.clone(), self.rows.start..middle)?;
        let second = Self::piece(self.batch.clone(), middle..self.rows.end)?;
        Some((first, second))
    }
}

/// A destination holds the rows, and its readers can see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Rows that this call stored; fewer than were given where an earlier call had stored some.
    pub rows: u64,
    /// Where to look: a table's version, a part's name, an offset.
    pub place: String,
}

/// What stands behind a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engine {
    /// Which software: `clickhouse`, `postgres`, `sqlite`.
    pub name: String,
    /// Its version, in its own words; empty where it tells none.
    pub version: String,
}

/// A destination.
///
/// Making one does not ask the destination for anything: what is not there at the start may come
/// later, and tables are made before the first write.
///
/// A sink does one thing: it writes a run of parts and says how that went. It neither retries, nor
/// waits for more, nor settles: the [delivery loop](crate::delivery) does all three, for every
/// sink the same way, so that none can forget to. A new sink is done when
/// [`contract::assert_holds`](crate::contract::assert_holds) passes.
#[async_trait]
pub trait Sink: Send + Sync + fmt::Debug {
    /// The name that configuration, metrics, cursors and dead letters use: `[a-z0-9_-]+`.
    fn name(&self) -> &str;

    /// How many batches it likes to get at once, and how long to wait for them.
    fn appetite(&self) -> Want;

    /// Asks the destination what it is, and finds out whether this sink can work there: that it
    /// answers, lets these credentials in and gives them the rights to write, has the database that
    /// was named, and is not too old. No row is written; tables may be made.
    ///
    /// # Errors
    ///
    /// Where it cannot; the message is for the person who wrote the configuration, names what to
    /// change, and quotes no secret.
    async fn probe(&self) -> Result<Engine, SinkError>;

    /// Writes every row of `run`, or none that a reader can see.
    ///
    /// A run is either one or more whole batches of one node and dataset in the order of their
    /// numbers, or a single part that is not whole. The parts of a batch come in the order of
    /// their rows; the rows between two of them were set aside.
    ///
    /// It is idempotent: rows that an earlier call stored, though its answer was lost or the
    /// process died, are not stored again, whichever way batches are grouped into runs this time.
    ///
    /// # Errors
    ///
    /// Each says by [`Classify::fault`] whether the same run may be offered again. It quotes no
    /// row. [`Permanent`](weir_model::Fault::Permanent) says that this run stored nothing and
    /// never will: the loop then offers smaller runs until it has found the rows at fault.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the outcome open; the run is then offered again.
    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError>;

    /// The number of the last batch of `node` that the destination holds; `None` where it holds
    /// none, or keeps no such account.
    ///
    /// # Errors
    ///
    /// Where the destination cannot be asked.
    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError>;

    /// How many rows of `node` a reader of the destination finds, counted there and now.
    ///
    /// # Errors
    ///
    /// Where the destination cannot be asked.
    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError>;
}

#[async_trait]
impl<S: Sink + ?Sized> Sink for Arc<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn appetite(&self) -> Want {
        (**self).appetite()
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        (**self).probe().await
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        (**self).write(run).await
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        (**self).last_batch(dataset, node).await
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        (**self).count(dataset, node).await
    }
}
