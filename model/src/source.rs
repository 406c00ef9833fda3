//! Where the delivery loop gets its batches: from a node's write-ahead log, or from the lake for
//! datasets that are derived there.

use std::time::Duration;

use async_trait::async_trait;

use crate::{Batch, Classify, Dataset, Fault, NodeId};

/// How much a reader wants at once.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    /// Stop adding batches at this many rows; one batch is always given, however large.
    pub rows_max: usize,
    /// Stop adding batches at this many bytes.
    pub bytes_max: usize,
    /// Gather at most this long once there is a first batch; zero takes what is there.
    pub gather: Duration,
}

/// The source could not give the batches.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A batch could not be read just now.
    #[error("batches of `{dataset}` could not be read")]
    Read {
        /// Which table's.
        dataset: Dataset,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The batch's rows are lost: the log was found damaged there. The loss is counted.
    #[error("batch {number} of `{dataset}` is lost to damage in the log")]
    Lost {
        /// Which table's.
        dataset: Dataset,
        /// The batch that cannot be had any more.
        number: i64,
    },
    /// The batches up to `through` are not for this reader: none of their rows is. It goes on
    /// behind them.
    #[error("batches of `{dataset}` up to {through} are not for this reader")]
    Skip {
        /// Which table's.
        dataset: Dataset,
        /// The last of them.
        through: i64,
    },
    /// The source is closing; nothing more will come.
    #[error("the source is closing")]
    Closed,
}

impl Classify for SourceError {
    fn fault(&self) -> Fault {
        match self {
            Self::Read { .. } => Fault::Transient { after: None },
            Self::Lost { .. } | Self::Skip { .. } | Self::Closed => Fault::Permanent,
        }
    }
}

/// Gives sealed batches in the order of their numbers, as often as asked.
#[async_trait]
pub trait BatchSource: Send + Sync + std::fmt::Debug {
    /// The node whose batches these are.
    fn node(&self) -> NodeId;

    /// The sealed batches of `dataset` with numbers above `after`, the oldest first and without a
    /// gap; waits until there is one.
    ///
    /// # Errors
    ///
    /// See [`SourceError`]; nothing is given then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the same call gives the same batches again.
    async fn next(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError>;

    /// The number of the last sealed batch of `dataset`; 0 where there is none.
    fn last_sealed(&self, dataset: Dataset) -> i64;

    /// The node whose batch `number` of `dataset` is: a node that took a new name goes on with its
    /// numbers, and what it sealed before keeps the old name.
    fn node_of(&self, _dataset: Dataset, _number: i64) -> NodeId {
        self.node()
    }
}

/// The cursor could not be made durable; the old one still holds.
#[derive(Debug, thiserror::Error)]
#[error("the cursor of sink `{sink}` could not be written")]
pub struct CursorError {
    /// Whose.
    pub sink: String,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// How far each sink has settled each dataset, kept beside the write-ahead log.
pub trait Cursors: Send + Sync + std::fmt::Debug {
    /// The last batch up to which every batch of `dataset` is settled at `sink`; 0 at first.
    fn get(&self, sink: &str, dataset: Dataset) -> i64;

    /// Moves the cursor up to `number`; durable when it returns, so it blocks for an fsync. A
    /// number at or below the present one changes nothing.
    ///
    /// # Errors
    ///
    /// [`CursorError`]: the cursor did not move, and the batches will be offered again.
    fn advance(&self, sink: &str, dataset: Dataset, number: i64) -> Result<(), CursorError>;
}
