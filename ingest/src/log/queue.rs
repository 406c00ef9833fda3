//! What waits for the writer: requests, a few orders, and the end.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weir_model::{Dataset, NodeId};

use super::{AppendError, Committed, Submission};

/// What waits for its frame.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) submission: Submission,
    /// What its rows take in memory, for the size of groups.
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Committed, AppendError>>,
    /// A place in the queue.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// Something else for the writer to do.
#[derive(Debug)]
pub(crate) enum Order {
    /// Seal every open batch.
    Seal(oneshot::Sender<Result<(), AppendError>>),
    /// See [`Log::adopt_high_water`](super::Log::adopt_high_water).
    Adopt {
        dataset: Dataset,
        last_in_sink: i64,
        answer: oneshot::Sender<Result<Option<NodeId>, AppendError>>,
    },
}

/// What the writer found to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) group: Vec<Waiting>,
    pub(crate) orders: Vec<Order>,
    pub(crate) closing: bool,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Waiting>,
    orders: Vec<Order>,
    closing: bool,
    gone: bool,
}

/// The queue in front of the writer; its bound is the semaphore of [`Waiting::_place`].
#[derive(Debug, Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
}

impl Queue {
    /// Adds what waits; gives it back where the queue is closed.
    pub(crate) fn push(&self, waiting: Waiting) -> Result<(), Box<Waiting>> {
        let mut inner = self.inner.lock();
        if inner.closing {
            return Err(Box::new(waiting));
        }
        inner.waiting.push_back(waiting);
        drop(inner);
        self.wake.notify_one();
        Ok(())
    }

    /// Adds an order; says whether it was taken.
    pub(crate) fn order(&self, order: Order) -> bool {
        let mut inner = self.inner.lock();
        if inner.gone {
            return false;
        }
        inner.orders.push(order);
        drop(inner);
        self.wake.notify_one();
        true
    }

    /// Takes no more requests; the writer ends when it has answered those that wait.
    pub(crate) fn close(&self) {
        self.inner.lock().closing = true;
        self.wake.notify_one();
    }

    /// Refuses everything from now on and drops what waits, which answers it with `Closed`.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.closing = true;
        inner.gone = true;
        let waiting = std::mem::take(&mut inner.waiting);
        let orders = std::mem::take(&mut inner.orders);
        drop(inner);
        drop((waiting, orders));
    }

    /// Waits, at most `timeout`, until there is something to do, and takes it: requests until
    /// their bytes exceed `bytes_max`.
    pub(crate) fn take(&self, timeout: Duration, bytes_max: usize) -> Work {
        let mut inner = self.inner.lock();
        let idle = |inner: &mut Inner| {
            inner.waiting.is_empty() && inner.orders.is_empty() && !inner.closing
        };
        self.wake.wait_while_for(&mut inner, idle, timeout);
        let mut bytes: usize = 0;
        let mut group = Vec::new();
        while bytes < bytes_max
            && let Some(next) = inner.waiting.pop_front()
        {
            bytes = bytes.saturating_add(next.bytes);
            group.push(next);
        }
        Work {
            group,
            orders: std::mem::take(&mut inner.orders),
            closing: inner.closing && inner.waiting.is_empty(),
        }
    }
}
