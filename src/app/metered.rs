//! A sink with a watch beside it: how long its commits take, and what they hold in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use arrow_array::{Array as _, RecordBatch};
use async_trait::async_trait;
use weir_ingest::admission::{Budget, Reservation};
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};
use weir_sinks::{Engine, Part, Receipt, Sink, SinkError};

use crate::app::histogram::{Histogram, SECONDS};
use crate::telemetry::Telemetry;

/// How many times its rows a commit takes: as they are, and as files that are put together.
const IN_MEMORY_TIMES: usize = 2;

/// Passes every call on, times those that store, and counts the memory that they take.
#[derive(Debug)]
pub(crate) struct Metered {
    budget: Budget,
    /// What all writes under way take, to any sink, counted or not.
    taken: Arc<AtomicUsize>,
    sink: Arc<dyn Sink>,
    commits: Arc<Histogram>,
    telemetry: Telemetry,
}

impl Metered {
    /// Watches `sink`, whose memory is part of `budget`; `taken` is what the writes of all sinks
    /// take together.
    pub(crate) fn new(
        sink: Arc<dyn Sink>,
        telemetry: Telemetry,
        (budget, taken): (Budget, Arc<AtomicUsize>),
    ) -> Self {
        Self {
            budget,
            taken,
            sink,
            commits: Arc::new(Histogram::new(SECONDS)),
            telemetry,
        }
    }

    /// Counts what a commit of `run` takes. Requests must go on meanwhile, also while silent sinks
    /// keep commits of all datasets waiting: together they take no more than half of the budget.
    fn claim(&self, run: &[Part]) -> Claim<'_> {
        let rows = run.iter().map(|part| bytes_of(part.batch().rows()));
        let bytes = rows.sum::<usize>().saturating_mul(IN_MEMORY_TIMES);
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let room = (self.budget.limit() / 2).saturating_sub(before);
        Claim {
            taken: &self.taken,
            bytes,
            _held: self.budget.hold(bytes.min(room)),
        }
    }

    /// How long commits took, those that failed left out.
    pub(crate) fn commits(&self) -> Arc<Histogram> {
        Arc::clone(&self.commits)
    }
}

/// The memory of a commit; given back on drop.
#[derive(Debug)]
struct Claim<'a> {
    taken: &'a AtomicUsize,
    bytes: usize,
    _held: Reservation,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What the rows take, each once: rows that were read from the log share one buffer, of which each
/// column is a part.
fn bytes_of(rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter();
    let sizes = columns.filter_map(|column| column.to_data().get_slice_memory_size().ok());
    sizes.sum()
}

#[async_trait]
impl Sink for Metered {
    fn name(&self) -> &str {
        self.sink.name()
    }

    fn appetite(&self) -> Want {
        self.sink.appetite()
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        self.sink.probe().await
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let began = Instant::now();
        let span = self.telemetry.commit(self.sink.name(), run);
        let claim = self.claim(run);
        let written = self.sink.write(run).await;
        drop(claim);
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

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::Dataset;
    use weir_sinks::contract::sample_batch;
    use weir_sinks::memory::MemorySink;

    #[test]
    fn commits_take_their_rows_and_never_more_than_half_of_the_budget() {
        let batch = sample_batch(Dataset::RejectedEvents, &NodeId::from_bits(7), 100);
        let run = [Part::whole(batch)];
        let rows = bytes_of(run[0].batch().rows());
        assert!(rows > 1_000, "{rows}");
        let budget = Budget::new(rows * 10);
        let telemetry = Telemetry::default();
        let sink = Metered::new(
            Arc::new(MemorySink::new("memory")),
            telemetry,
            (budget.clone(), Arc::default()),
        );
        let first = sink.claim(&run);
        assert_eq!(budget.used(), rows * IN_MEMORY_TIMES);
        let more = [sink.claim(&run), sink.claim(&run), sink.claim(&run)];
        assert_eq!(budget.used(), budget.limit() / 2);
        drop(first);
        drop(more);
        assert_eq!((budget.used(), sink.taken.load(Ordering::Relaxed)), (0, 0));
    }
}
