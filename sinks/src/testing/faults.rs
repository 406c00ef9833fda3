//! A sink that misbehaves as a test tells it to.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use weir_model::source::Want;
use weir_model::{BatchId, Classify, Dataset, NodeId};

use crate::{Engine, Part, PartId, Receipt, Sink, SinkError};

/// What happens to one call of `write`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It goes through.
    None,
    /// It is refused before anything is stored, and asks to be left alone for this long.
    Busy(Duration),
    /// It stores the rows, and then the answer is lost.
    AnswerLost,
    /// It never comes back.
    Hang,
}

/// Why a [`FaultySink`] failed.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the sink is busy")]
    Busy(Duration),
    #[error("the answer was lost")]
    AnswerLost,
    #[error("the rows are bad")]
    BadRows,
}

impl Classify for Trouble {
    fn fault(&self) -> weir_model::Fault {
        match self {
            Self::Busy(wait) => weir_model::Fault::Transient {
                after: (!wait.is_zero()).then_some(*wait),
            },
            Self::AnswerLost => weir_model::Fault::Transient { after: None },
            Self::BadRows => weir_model::Fault::Permanent,
        }
    }
}

#[derive(Debug, Default)]
struct Script {
    faults: VecDeque<Fault>,
    bad: BTreeSet<(BatchId, i32)>,
    calls: Vec<Vec<PartId>>,
}

/// Passes calls on to another sink, with the faults that a test has planned.
#[derive(Clone, Debug)]
pub struct FaultySink<S> {
    inner: S,
    script: Arc<Mutex<Script>>,
    called: Arc<Notify>,
}

impl<S: Sink> FaultySink<S> {
    /// Misbehaves in front of `inner`; at first not at all.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            script: Arc::default(),
            called: Arc::default(),
        }
    }

    /// Plans the next calls, one fault each; after them all goes well.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        self.script.lock().faults.extend(faults);
    }

    /// Refuses every run that has row `row` of `batch` in it, for good.
    pub fn refuse_row(&self, batch: BatchId, row: i32) {
        self.script.lock().bad.insert((batch, row));
    }

    /// The runs that were offered, in order.
    pub fn calls(&self) -> Vec<Vec<PartId>> {
        self.script.lock().calls.clone()
    }

    /// Waits until `write` was called `calls` times.
    pub async fn called(&self, calls: usize) {
        loop {
            let mut called = std::pin::pin!(self.called.notified());
            called.as_mut().enable();
            if self.script.lock().calls.len() >= calls {
                return;
            }
            called.await;
        }
    }

    /// The sink behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

#[async_trait]
impl<S: Sink> Sink for FaultySink<S> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn appetite(&self) -> Want {
        self.inner.appetite()
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        self.inner.probe().await
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let (fault, bad) = {
            let mut script = self.script.lock();
            script.calls.push(run.iter().map(Part::id).collect());
            let bad = run.iter().any(|part| {
                let rows = part.range();
                script
                    .bad
                    .iter()
                    .any(|(id, row)| id == part.batch().id() && rows.contains(row))
            });
            (script.faults.pop_front().unwrap_or(Fault::None), bad)
        };
        self.called.notify_waiters();
        match fault {
            Fault::Busy(wait) => return Err(Box::new(Trouble::Busy(wait))),
            Fault::Hang => std::future::pending::<()>().await,
            Fault::None | Fault::AnswerLost => {}
        }
        if bad {
            return Err(Box::new(Trouble::BadRows));
        }
        let receipt = self.inner.write(run).await?;
        match fault {
            Fault::AnswerLost => Err(Box::new(Trouble::AnswerLost)),
            Fault::None | Fault::Busy(_) | Fault::Hang => Ok(receipt),
        }
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        self.inner.last_batch(dataset, node).await
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        self.inner.count(dataset, node).await
    }
}
