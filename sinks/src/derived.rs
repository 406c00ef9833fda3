//! Datasets that are derived in the lake, as a source: their batches are the lake's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use weir_lake::{Lake, LakeError};
use weir_model::source::Want;
use weir_model::{Batch, BatchSource, Dataset, NodeId, SourceError};

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
        }
    }

    async fn look(&self, after: i64, want: Want) -> Result<Option<Vec<Batch>>, SourceError> {
        let dataset = self.dataset;
        let failed = |e: LakeError| SourceError::Read {
            dataset,
            source: Box::new(e),
        };
        let snapshot = self.lake.snapshot(dataset).await.map_err(failed)?;
        let committed = snapshot.committed(&self.node);
        *self.last.lock() = committed;
        if committed <= after {
            return Ok(None);
        }
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
