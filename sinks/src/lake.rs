//! The lake as a sink: several batches a commit, once by the commit's transaction number; each row
//! in its tenant's lake.

use std::time::Duration;

use async_trait::async_trait;
use weir_lake::{Appended, LakeError, Lakes};
use weir_model::source::Want;
use weir_model::{Batch, Dataset, NodeId};

use crate::{Engine, Part, Receipt, Sink, SinkError};

/// The lake's name among the sinks.
pub const NAME: &str = "lake";

/// Rows after which a commit is made without waiting for more.
const FLUSH_ROWS: usize = 128 * 1024;
/// Bytes in memory for each of those rows; more makes a commit without waiting for more.
const FLUSH_ROW_BYTES: usize = 512;
/// How long the first row of a commit waits for others by default.
const FLUSH_INTERVAL: Duration = Duration::from_secs(10);

/// Writes batches to the lake, and rows of tenants that have a lake of their own to that one.
#[derive(Clone, Debug)]
pub struct LakeSink {
    lakes: Lakes,
    flush: Duration,
    flush_rows: usize,
}

impl LakeSink {
    /// A sink that commits about every 10 seconds, or every 128k rows or 64 MiB.
    pub fn new(lakes: impl Into<Lakes>) -> Self {
        Self {
            lakes: lakes.into(),
            flush: FLUSH_INTERVAL,
            flush_rows: FLUSH_ROWS,
        }
    }

    /// The same with another wait for more rows: each commit makes at least one file and one
    /// object-store request more, so seconds are better than milliseconds.
    #[must_use]
    pub fn with_flush_interval(mut self, flush: Duration) -> Self {
        self.flush = flush;
        self
    }

    /// The same with another number of rows after which a commit waits for no more, or as many
    /// times 512 bytes of them.
    #[must_use]
    pub fn with_flush_rows(mut self, rows: usize) -> Self {
        self.flush_rows = rows.max(1);
        self
    }
}

fn boxed(error: LakeError) -> SinkError {
    Box::new(error)
}

#[async_trait]
impl Sink for LakeSink {
    fn name(&self) -> &str {
        NAME
    }

    fn appetite(&self) -> Want {
        Want {
            rows_max: self.flush_rows,
            bytes_max: self.flush_rows.saturating_mul(FLUSH_ROW_BYTES),
            gather: self.flush,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        self.lakes.layouts().await.map_err(boxed)?;
        Ok(Engine {
            name: "delta".to_owned(),
            version: String::new(),
        })
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let done = match run {
            [part] if !part.is_whole() => self.lakes.append_part(part.batch(), part.range()).await,
            whole => {
                let batches: Vec<Batch> = whole.iter().map(|p| p.batch().clone()).collect();
                let Some(first) = batches.first() else {
                    return Ok(Receipt {
                        rows: 0,
                        place: String::new(),
                    });
                };
                self.lakes.append(first.dataset(), &batches).await
            }
        };
        let Appended { version, rows, .. } = done.map_err(boxed)?;
        Ok(Receipt {
            rows,
            place: format!("version {version}"),
        })
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        self.lakes.last_batch(dataset, node).await.map_err(boxed)
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        let counts = self.lakes.count_rows(dataset, node, 1, i64::MAX).await;
        Ok(counts.map_err(boxed)?.values().sum())
    }
}
