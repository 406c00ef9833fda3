//! A sink with a watch beside it: how long its commits take.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};
use weir_sinks::{Part, Receipt, Sink, SinkError};

use crate::app::histogram::{Histogram, SECONDS};
use crate::telemetry::Telemetry;

/// Passes every call on, and times those that store.
#[derive(Debug)]
pub(crate) struct Metered {
    sink: Arc<dyn Sink>,
    commits: Arc<Histogram>,
    telemetry: Telemetry,
}

impl Metered {
    /// Watches `sink`.
    pub(crate) fn new(sink: Arc<dyn Sink>, telemetry: Telemetry) -> Self {
        Self {
            sink,
            commits: Arc::new(Histogram::new(SECONDS)),
            telemetry,
        }
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
        let written = self.sink.write(run).await;
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
