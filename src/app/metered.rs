//! A sink with a watch beside it: how long its commits take, and what they hold in memory.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use weir_ingest::admission::Budget;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};
use weir_sinks::{Part, Receipt, Sink, SinkError};

use crate::app::histogram::{Histogram, SECONDS};
use crate::telemetry::Telemetry;

/// How many times its rows a commit takes: as they are, and as files that are put together.
const IN_MEMORY_TIMES: usize = 2;

/// Passes every call on, times those that store, and counts the memory that they take.
#[derive(Debug)]
pub(crate) struct Metered {
    budget: Budget,
    sink: Arc<dyn Sink>,
    commits: Arc<Histogram>,
    telemetry: Telemetry,
}

impl Metered {
    /// Watches `sink`, whose memory is part of `budget`.
    pub(crate) fn new(sink: Arc<dyn Sink>, telemetry: Telemetry, budget: Budget) -> Self {
        Self {
            budget,
            sink,
            commits: Arc::new(Histogram::new(SECONDS)),
            telemetry,
        }
    }

    /// What a commit of `run` takes, as far as it counts: requests must go on meanwhile, so that it
    /// takes no more than half of the budget from them.
    fn bytes(&self, run: &[Part]) -> usize {
        let rows = run.iter().map(|part| part.batch().rows());
        let bytes: usize = rows.map(RecordBatch::get_array_memory_size).sum();
        let bytes = bytes.saturating_mul(IN_MEMORY_TIMES);
        bytes.min(self.budget.limit() / 2)
    }

    /// How long commits took, those that failed left out.
    pub(crate) fn commits(&self) -> Arc<Histogram> {
        Arc::clone(&self.commits)
    }
}

#[async_trait]
impl Sink for Metered {
    fn name(&self) -> &str {
        self.sink.name()
    }

    fn appetite(&self) -> Want {
        self.sink.appetite()
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let began = Instant::now();
        let span = self.telemetry.commit(self.sink.name(), run);
        let held = self.budget.hold(self.bytes(run));
        let written = self.sink.write(run).await;
        drop(held);
        if written.is_ok() {
            self.commits.took(began.elapsed());
        }
        span.end(written.is_ok());
        written
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        self.sink.last_batch(dataset, node).await
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        self.sink.count(dataset, node).await
    }
}
