//! Datasets that are derived in the lake, as a source: their batches are the lake's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_lake::{Lake, LakeError};
use weir_model::source::Want;
use weir_model::{Batch, BatchSource, Dataset, NodeId, SourceError};

use crate::Sink;

/// Batches that one look may span.
const SPAN_MAX: i64 = 256;

/// The batches of one derived dataset, which one node after the other writes under a name of the
/// dataset's own. Only the node that writes them delivers them.
#[derive(Debug)]
pub struct Derived {
    lake: Arc<Lake>,
    dataset: Dataset,
    node: NodeId,
    /// Whether this node delivers now.
    ours: watch::Receiver<bool>,
    every: Duration,
    last: Mutex<i64>,
    /// When the table was looked at last: all sinks together do so once in that time.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

impl Derived {
    /// The batches of `node` in the table of `dataset`, looked for every `every` while `ours` says
    /// that this node delivers them.
    pub fn new(
        lake: Arc<Lake>,
        (dataset, node): (Dataset, NodeId),
        ours: watch::Receiver<bool>,
        every: Duration,
    ) -> Self {
        Self {
            lake,
            dataset,
            node,
            ours,
            every,
            last: Mutex::new(0),
            looked: tokio::sync::Mutex::default(),
        }
    }

    fn failed(&self, error: LakeError) -> SourceError {
        SourceError::Read {
            dataset: self.dataset,
            source: Box::new(error),
        }
    }

    /// The last batch in the table, as of at most `every` ago.
    async fn committed(&self) -> Result<i64, SourceError> {
        let mut looked = self.looked.lock().await;
        if looked.is_none_or(|at| at.elapsed() >= self.every) {
            let snapshot = self.lake.snapshot(self.dataset).await;
            let snapshot = snapshot.map_err(|error| self.failed(error))?;
            *self.last.lock() = snapshot.committed(&self.node);
            *looked = Some(Instant::now());
        }
        Ok(*self.last.lock())
    }

    async fn look(&self, after: i64, want: Want) -> Result<Option<Vec<Batch>>, SourceError> {
        let dataset = self.dataset;
        let committed = self.committed().await?;
        if committed <= after {
            return Ok(None);
        }
        let failed = |error| self.failed(error);
        let snapshot = self.lake.snapshot(dataset).await.map_err(failed)?;
        let to = committed.min(after.saturating_add(SPAN_MAX));
        let wanted = (&self.node, after + 1..=to);
        let found = self.lake.batches(&snapshot, wanted, want.rows_max.max(1));
        let (found, last) = Box::pin(found).await.map_err(failed)?;
        let first = found.first().map_or(last + 1, |batch| batch.id().number);
        if first > after + 1 {
            // A round that booked nothing has a number and no row.
            let through = (first - 1).min(last);
            return Err(SourceError::Skip { dataset, through });
        }
        let run = found.into_iter().zip(after + 1..);
        let run = run.take_while(|(batch, number)| batch.id().number == *number);
        Ok(Some(run.map(|(batch, _)| batch).collect()))
    }
}

#[async_trait]
impl BatchSource for Derived {
    fn node(&self) -> NodeId {
        self.node.clone()
    }

    async fn next(&self, _: Dataset, after: i64, want: Want) -> Result<Vec<Batch>, SourceError> {
        let mut ours = self.ours.clone();
        loop {
            if ours.wait_for(|ours| *ours).await.is_err() {
                return Err(SourceError::Closed);
            }
            if let Some(batches) = self.look(after, want).await? {
                return Ok(batches);
            }
            tokio::time::sleep(self.every).await;
        }
    }

    fn last_sealed(&self, _: Dataset) -> i64 {
        *self.last.lock()
    }
}

/// A source of which one dataset is delivered by one node after the other: whenever it is this
/// node's turn, the sink is asked first how far the others have come.
#[derive(Debug)]
pub struct Resumed {
    inner: Arc<dyn BatchSource>,
    dataset: Dataset,
    sink: Arc<dyn Sink>,
    ours: watch::Receiver<bool>,
    asked: Mutex<bool>,
}

impl Resumed {
    /// The batches of `inner`, those of `dataset` while `ours` says so and from the last batch on
    /// that `sink` holds. A sink that keeps no such account gets them from its cursor on.
    pub fn new(
        inner: Arc<dyn BatchSource>,
        dataset: Dataset,
        sink: Arc<dyn Sink>,
        ours: watch::Receiver<bool>,
    ) -> Self {
        Self {
            inner,
            dataset,
            sink,
            ours,
            asked: Mutex::new(false),
        }
    }

    /// How far the sink is, where it has not been asked since this node's turn began.
    async fn ask(&self, after: i64) -> Result<(), SourceError> {
        if *self.asked.lock() {
            return Ok(());
        }
        let dataset = self.dataset;
        let node = self.inner.node_of(dataset, after + 1);
        let last = self.sink.last_batch(dataset, &node).await;
        let last = last.map_err(|error| SourceError::Read {
            dataset,
            source: error.to_string().into(),
        })?;
        *self.asked.lock() = true;
        match last {
            Some(through) if through > after => Err(SourceError::Skip { dataset, through }),
            Some(_) | None => Ok(()),
        }
    }
}

#[async_trait]
impl BatchSource for Resumed {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    async fn next(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError> {
        if dataset != self.dataset {
            return self.inner.next(dataset, after, want).await;
        }
        let mut ours = self.ours.clone();
        loop {
            if ours.wait_for(|ours| *ours).await.is_err() {
                return Err(SourceError::Closed);
            }
            self.ask(after).await?;
            let ended = ours.wait_for(|ours| !*ours);
            tokio::select! {
                biased;
                _ = ended => *self.asked.lock() = false,
                next = self.inner.next(dataset, after, want) => return next,
            }
        }
    }

    fn last_sealed(&self, dataset: Dataset) -> i64 {
        self.inner.last_sealed(dataset)
    }

    fn node_of(&self, dataset: Dataset, number: i64) -> NodeId {
        self.inner.node_of(dataset, number)
    }
}

/// Several sources, each for its datasets.
#[derive(Debug)]
pub struct ByDataset {
    others: Arc<dyn BatchSource>,
    of: BTreeMap<Dataset, Arc<dyn BatchSource>>,
}

impl ByDataset {
    /// The source in `of` where a dataset has one, else `others`.
    pub fn new(others: Arc<dyn BatchSource>, of: BTreeMap<Dataset, Arc<dyn BatchSource>>) -> Self {
        Self { others, of }
    }

    fn source(&self, dataset: Dataset) -> &Arc<dyn BatchSource> {
        self.of.get(&dataset).unwrap_or(&self.others)
    }
}

#[async_trait]
impl BatchSource for ByDataset {
    fn node(&self) -> NodeId {
        self.others.node()
    }

    async fn next(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError> {
        self.source(dataset).next(dataset, after, want).await
    }

    fn last_sealed(&self, dataset: Dataset) -> i64 {
        self.source(dataset).last_sealed(dataset)
    }

    fn node_of(&self, dataset: Dataset, number: i64) -> NodeId {
        self.source(dataset).node_of(dataset, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Part;
    use crate::contract::sample_batch;
    use crate::memory::MemorySink;
    use crate::testing::ListSource;

    const LEDGER: Dataset = Dataset::CostLedger;

    fn want() -> Want {
        Want {
            rows_max: 1,
            bytes_max: usize::MAX,
            gather: Duration::ZERO,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_turn_it_is_goes_on_behind_what_the_others_delivered() {
        let node = NodeId::from_bits(7);
        let sink = MemorySink::new("memory");
        let source = Arc::new(ListSource::new(node.clone()));
        for number in 1..=5 {
            source.push(sample_batch(LEDGER, &node, number));
        }
        let (turn, ours) = watch::channel(false);
        let resumed = Resumed::new(source, LEDGER, Arc::new(sink.clone()), ours);
        let early = tokio::time::timeout(Duration::from_secs(9), resumed.next(LEDGER, 0, want()));
        assert!(early.await.is_err(), "it is not its turn");
        let batch = |number| Part::whole(sample_batch(LEDGER, &node, number));
        sink.write(&[batch(1), batch(2), batch(3)]).await.unwrap();
        turn.send_replace(true);
        let next = resumed.next(LEDGER, 0, want()).await;
        assert!(
            matches!(next, Err(SourceError::Skip { through: 3, .. })),
            "{next:?}"
        );
        let next = resumed.next(LEDGER, 3, want()).await.unwrap();
        assert_eq!(next[0].id().number, 4);
    }
}
