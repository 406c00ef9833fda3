//! What stands before a sink: how much it gets at once, and whether it gets anything now.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};
use weir_sinks::{Engine, Part, Receipt, RouteBook, Sink, SinkError};

use crate::app::parts::size;
use crate::config::sinks::Shared;

/// A sink with the appetite that was configured, which takes nothing while it is paused.
#[derive(Debug)]
pub(crate) struct Valve {
    inner: Arc<dyn Sink>,
    want: Want,
    places: Semaphore,
    book: Arc<RouteBook>,
}

impl Valve {
    /// Stands before `inner`.
    pub(crate) fn new(inner: Arc<dyn Sink>, shared: &Shared, book: Arc<RouteBook>) -> Self {
        let places = size(shared.concurrency).min(Semaphore::MAX_PERMITS);
        Self {
            inner,
            want: Want {
                rows_max: size(shared.batch_rows),
                bytes_max: size(shared.batch_size),
                gather: shared.batch_wait,
            },
            places: Semaphore::new(places),
            book,
        }
    }

    /// Waits while an operator has paused the sink.
    async fn unpaused(&self) {
        let mut changed = self.book.changed();
        loop {
            changed.mark_unchanged();
            if !self.book.is_paused() || changed.changed().await.is_err() {
                return;
            }
        }
    }
}

#[async_trait]
impl Sink for Valve {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn appetite(&self) -> Want {
        self.want
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        self.inner.probe().await
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        self.unpaused().await;
        // The semaphore is never closed; without it the write would go on all the same.
        let _place = self.places.acquire().await;
        self.inner.write(run).await
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        self.inner.last_batch(dataset, node).await
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        self.inner.count(dataset, node).await
    }
}
