//! A list of batches as a source, and cursors in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use weir_model::source::Want;
use weir_model::{Batch, BatchSource, CursorError, Cursors, Dataset, NodeId, SourceError};

/// Gives batches from a list that a test fills; a number may be marked as lost.
#[derive(Debug)]
pub struct ListSource {
    node: NodeId,
    /// By number; `None` is lost.
    batches: Mutex<BTreeMap<(Dataset, i64), Option<Batch>>>,
    grown: Notify,
}

impl ListSource {
    /// An empty list of the batches of `node`.
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            batches: Mutex::default(),
            grown: Notify::new(),
        }
    }

    /// Adds a sealed batch.
    pub fn push(&self, batch: Batch) {
        let key = (batch.dataset(), batch.id().number);
        self.batches.lock().insert(key, Some(batch));
        self.grown.notify_waiters();
    }

    /// Adds a batch that is lost.
    pub fn lose(&self, dataset: Dataset, number: i64) {
        self.batches.lock().insert((dataset, number), None);
        self.grown.notify_waiters();
    }

    fn take(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Option<Vec<Batch>>, SourceError> {
        let batches = self.batches.lock();
        let (mut given, mut rows, mut bytes) = (Vec::new(), 0, 0);
        for ((_, number), batch) in batches.range((dataset, after + 1)..=(dataset, i64::MAX)) {
            let Some(batch) = batch else {
                if given.is_empty() {
                    return Err(SourceError::Lost {
                        dataset,
                        number: *number,
                    });
                }
                break;
            };
            rows += batch.rows().num_rows();
            bytes += batch.bytes();
            if !given.is_empty() && (rows > want.rows_max || bytes > want.bytes_max) {
                break;
            }
            given.push(batch.clone());
        }
        Ok((!given.is_empty()).then_some(given))
    }
}

#[async_trait]
impl BatchSource for ListSource {
    fn node(&self) -> NodeId {
        self.node.clone()
    }

    async fn next(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError> {
        loop {
            let mut grown = std::pin::pin!(self.grown.notified());
            grown.as_mut().enable();
            if let Some(batches) = self.take(dataset, after, want)? {
                return Ok(batches);
            }
            grown.await;
        }
    }

    fn last_sealed(&self, dataset: Dataset) -> i64 {
        let batches = self.batches.lock();
        let mut ours = batches.range((dataset, 0)..=(dataset, i64::MAX));
        ours.next_back().map_or(0, |((_, number), _)| *number)
    }
}

/// Cursors that are gone with the process; shared by clones of the `Arc` around them.
#[derive(Debug, Default)]
pub struct MemoryCursors {
    cursors: Mutex<BTreeMap<(String, Dataset), i64>>,
    moved: Notify,
}

impl MemoryCursors {
    /// Waits until the cursor of `sink` has come to `number`.
    pub async fn reached(&self, sink: &str, dataset: Dataset, number: i64) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if self.get(sink, dataset) >= number {
                return;
            }
            moved.await;
        }
    }
}

impl Cursors for MemoryCursors {
    fn get(&self, sink: &str, dataset: Dataset) -> i64 {
        let key = (sink.to_owned(), dataset);
        self.cursors.lock().get(&key).copied().unwrap_or(0)
    }

    fn advance(&self, sink: &str, dataset: Dataset, number: i64) -> Result<(), CursorError> {
        let key = (sink.to_owned(), dataset);
        let mut cursors = self.cursors.lock();
        let cursor = cursors.entry(key).or_insert(0);
        *cursor = number.max(*cursor);
        drop(cursors);
        self.moved.notify_waiters();
        Ok(())
    }
}
