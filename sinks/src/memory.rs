//! A destination in this process, for tests and demos: what it holds is gone with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};

use crate::{Engine, Part, PartId, Receipt, Sink, SinkError};

/// Holds the parts that were written, by their names.
#[derive(Clone, Debug)]
pub struct MemorySink {
    name: String,
    parts: Arc<Mutex<BTreeMap<PartId, RecordBatch>>>,
}

impl MemorySink {
    /// An empty destination that is called `name`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            parts: Arc::default(),
        }
    }

    /// Everything it holds of `dataset`, in the order of nodes, batches and rows.
    pub fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        let parts = self.parts.lock();
        let wanted = parts.iter().filter(|(id, _)| id.dataset == dataset);
        wanted.map(|(_, rows)| rows.clone()).collect()
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn name(&self) -> &str {
        &self.name
    }

    fn appetite(&self) -> Want {
        Want {
            rows_max: 128 * 1024,
            bytes_max: 64 * 1024 * 1024,
            gather: Duration::ZERO,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        Ok(Engine {
            name: "memory".to_owned(),
            version: String::new(),
        })
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let mut parts = self.parts.lock();
        let mut rows = 0;
        for part in run {
            if parts.insert(part.id(), part.rows()).is_none() {
                rows += part.len() as u64;
            }
        }
        Ok(Receipt {
            rows,
            place: format!("{} parts", parts.len()),
        })
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        let parts = self.parts.lock();
        let ours = parts.keys();
        let ours = ours.filter(|id| id.dataset == dataset && id.node == *node);
        Ok(ours.map(|id| id.batch).max())
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        let parts = self.parts.lock();
        let ours = parts.iter();
        let ours = ours.filter(|(id, _)| id.dataset == dataset && id.node == *node);
        Ok(ours.map(|(_, rows)| rows.num_rows() as u64).sum())
    }
}
