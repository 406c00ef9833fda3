//! What stands before a sink: how much it gets at once, and whether it gets anything now.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use weir_model::source::Want;
use weir_model::{BatchSource, Classify, Dataset, Fault, NodeId};
use weir_sinks::{Engine, Part, Receipt, RouteBook, Sink, SinkError};

use crate::app::parts::size;
use crate::config::sinks::Shared;

/// The sink has batches of this node that the node has not: its directory is an older copy, and
/// what it accepts now would have names that the sink takes for stored.
#[derive(Debug, thiserror::Error)]
#[error(
    "it holds batch {held} of `{dataset}` of this node, which has come to {sealed} only: the data \
     directory is an older copy; restart the node, which then takes a new name"
)]
struct Ahead {
    dataset: Dataset,
    held: i64,
    sealed: i64,
}

impl Classify for Ahead {
    fn fault(&self) -> Fault {
        Fault::Transient { after: None }
    }
}

/// A sink with the appetite that was configured, which takes nothing while it is paused.
#[derive(Debug)]
pub(crate) struct Valve {
    inner: Arc<dyn Sink>,
    want: Want,
    places: Semaphore,
    book: Arc<RouteBook>,
    source: Arc<dyn BatchSource>,
    /// Datasets of which the sink was found not to be ahead.
    sound: Mutex<BTreeSet<Dataset>>,
}

impl Valve {
    /// Stands before `inner`, which gets the batches of `source`.
    pub(crate) fn new(
        inner: Arc<dyn Sink>,
        shared: &Shared,
        (book, source): (Arc<RouteBook>, Arc<dyn BatchSource>),
    ) -> Self {
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
            source,
            sound: Mutex::default(),
        }
    }

    /// Asks the sink, before the first write of a dataset, whether it is ahead of this node. The
    /// start asks too; a sink that was away then is asked here.
    async fn check(&self, run: &[Part]) -> Result<(), SinkError> {
        let Some(id) = run.first().map(|part| part.batch().id()) else {
            return Ok(());
        };
        let dataset = id.dataset;
        let present = Dataset::RECEIVED.contains(&dataset) && id.node == self.source.node();
        if !present || self.sound.lock().contains(&dataset) {
            return Ok(());
        }
        let held = self.inner.last_batch(dataset, &id.node).await?.unwrap_or(0);
        let sealed = self.source.last_sealed(dataset);
        if held > sealed {
            return Err(Box::new(Ahead {
                dataset,
                held,
                sealed,
            }));
        }
        self.sound.lock().insert(dataset);
        Ok(())
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
        self.check(run).await?;
        self.inner.write(run).await
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        self.inner.last_batch(dataset, node).await
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        self.inner.count(dataset, node).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_sinks::contract::sample_batch;
    use weir_sinks::memory::MemorySink;
    use weir_sinks::testing::ListSource;

    #[tokio::test]
    async fn a_sink_that_is_ahead_of_its_node_gets_nothing_under_names_that_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let book = Arc::new(RouteBook::open(dir.path(), "memory").unwrap());
        let node = NodeId::from_bits(7);
        let part = |number| Part::whole(sample_batch(Dataset::Spans, &node, number));
        let sink = MemorySink::new("memory");
        sink.write(&[part(1), part(2), part(3)]).await.unwrap();
        let source = Arc::new(ListSource::new(node.clone()));
        source.push(part(2).batch().clone());
        let valve = |source: &Arc<ListSource>| {
            let source = Arc::clone(source) as Arc<dyn BatchSource>;
            let shared = Shared::default();
            Valve::new(Arc::new(sink.clone()), &shared, (Arc::clone(&book), source))
        };
        let fault = valve(&source).write(&[part(2)]).await.unwrap_err();
        assert_eq!(fault.fault(), Fault::Transient { after: None });
        assert!(
            fault.to_string().contains("holds batch 3 of `spans`"),
            "{fault}"
        );
        source.push(part(3).batch().clone());
        valve(&source).write(&[part(2)]).await.unwrap();
    }
}
