//! The batches of a source as they go to one sink.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use weir_model::source::Want;
use weir_model::{Batch, BatchSource, Dataset, NodeId, SourceError};

use super::RouteBook;

/// A source behind the routes of a sink. Batches of which no row goes there come without rows, and
/// those that a whole epoch leaves out are skipped without being read.
#[derive(Debug)]
pub struct Routed {
    inner: Arc<dyn BatchSource>,
    book: Arc<RouteBook>,
    /// The last batch whose rows were counted, and how many stayed away since the start.
    out: Mutex<BTreeMap<Dataset, (i64, u64)>>,
}

impl Routed {
    /// The batches of `inner` by the routes of `book`.
    pub fn new(inner: Arc<dyn BatchSource>, book: Arc<RouteBook>) -> Self {
        Self {
            inner,
            book,
            out: Mutex::default(),
        }
    }

    /// How many rows of `dataset` stayed away since the start, of batches that were read.
    pub fn routed_out(&self, dataset: Dataset) -> u64 {
        self.out.lock().get(&dataset).map_or(0, |(_, rows)| *rows)
    }

    fn routed(&self, batch: &Batch) -> Result<Batch, SourceError> {
        let dataset = batch.dataset();
        let number = batch.id().number;
        let (route, _) = self.book.of(dataset, number);
        let routed = route.apply(batch).map_err(|e| SourceError::Read {
            dataset,
            source: Box::new(e),
        })?;
        let away = batch.rows().num_rows() - routed.rows().num_rows();
        let mut out = self.out.lock();
        let (last, rows) = out.entry(dataset).or_default();
        // A batch that is read again was counted before.
        if number > *last {
            *last = number;
            *rows += away as u64;
        }
        Ok(routed)
    }
}

#[async_trait]
impl BatchSource for Routed {
    fn node(&self) -> NodeId {
        self.inner.node()
    }

    async fn next(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError> {
        let mut changed = self.book.changed();
        loop {
            changed.mark_unchanged();
            let (route, until) = self.book.of(dataset, after + 1);
            if route.takes(dataset) {
                let batches = self.inner.next(dataset, after, want).await?;
                return batches.iter().map(|batch| self.routed(batch)).collect();
            }
            if let Some(through) = until.filter(|through| *through > after) {
                return Err(SourceError::Skip { dataset, through });
            }
            if changed.changed().await.is_err() {
                return Err(SourceError::Closed);
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
