//! The delivery loop: the one place that retries, sets aside and settles, for every sink alike.
//!
//! Each dataset has a task of its own at each sink. It takes the batches after the sink's cursor,
//! offers them, and ends each row in one of two ways: stored, or set aside.
//!
//! ```text
//! [1 2 3] --permanent--> [1] [2] [3]           one by one, to find the batch at fault
//!             [2] --permanent--> [2: 0-500] [2: 500-1000]    cut in halves, remembered first
//!                                   stored      ... down to single rows, set aside
//! ```
//!
//! # Invariants
//!
//! * A transient failure is retried for as long as it lasts; no row is given up for its age.
//! * Exactly the rows that the sink refuses alone are set aside; their neighbours are stored.
//! * How a batch is cut is durable before a piece of it is offered, and never changes.
//! * The cursor moves over a batch when all of its rows have come to their end, durably.

mod backoff;
mod breaker;
mod status;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use weir_model::{BatchSource, Cursors, Dataset};

pub use backoff::{FullJitter, Jitter};
pub use breaker::BreakerConfig;
pub use status::{DatasetStatus, DeliveryStatus};

use crate::{DeadLetters, Sink};
use breaker::Breaker;
use status::Counts;
use worker::Worker;

/// How a delivery behaves.
#[derive(Clone, Debug)]
pub struct DeliveryConfig {
    /// The datasets that are delivered.
    pub datasets: Vec<Dataset>,
    /// The most that the first wait after a failure takes; it doubles with each failure.
    pub retry_base: Duration,
    /// The most that any wait takes.
    pub retry_cap: Duration,
    /// When a failing sink is left alone for a while.
    pub breaker: BreakerConfig,
    /// How long [`Delivery::stop`] lets calls of the sink finish.
    pub stop_grace: Duration,
    /// Where the random part of waits comes from.
    pub jitter: Arc<dyn Jitter>,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            datasets: Dataset::RECEIVED.to_vec(),
            retry_base: Duration::from_millis(200),
            retry_cap: Duration::from_secs(60),
            breaker: BreakerConfig::default(),
            stop_grace: Duration::from_secs(2),
            jitter: Arc::new(FullJitter),
        }
    }
}

/// What the tasks of a delivery share.
#[derive(Debug)]
struct Shared {
    sink: Arc<dyn Sink>,
    source: Arc<dyn BatchSource>,
    cursors: Arc<dyn Cursors>,
    dead: Arc<DeadLetters>,
    config: DeliveryConfig,
    breaker: Breaker,
    counts: Counts,
}

/// A sink that is being delivered to. Dropping it stops the delivery at once, which loses nothing.
#[derive(Debug)]
pub struct Delivery {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Delivery {
    /// Starts to deliver, from the sink's cursors on. Needs a running tokio.
    pub fn start(
        sink: Arc<dyn Sink>,
        source: Arc<dyn BatchSource>,
        cursors: Arc<dyn Cursors>,
        dead: Arc<DeadLetters>,
        config: DeliveryConfig,
    ) -> Self {
        let datasets = config.datasets.clone();
        let shared = Arc::new(Shared {
            breaker: Breaker::new(config.breaker),
            sink,
            source,
            cursors,
            dead,
            config,
            counts: Counts::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for dataset in datasets {
            tasks.spawn(Worker::new(Arc::clone(&shared), dataset, stopped.clone()).run());
        }
        Self {
            shared,
            stop,
            tasks: Mutex::new(tasks),
        }
    }

    /// The account now.
    pub fn status(&self) -> DeliveryStatus {
        let shared = &self.shared;
        let name = shared.sink.name();
        let mut datasets = shared.counts.all();
        for dataset in &shared.config.datasets {
            let status = datasets.entry(*dataset).or_default();
            status.cursor = shared.cursors.get(name, *dataset);
            status.last_sealed = shared.source.last_sealed(*dataset);
        }
        DeliveryStatus {
            sink: name.to_owned(),
            breaker_open: shared.breaker.is_open(),
            datasets,
        }
    }

    /// Stops within the configured grace, whatever the sink does. What is not settled is offered
    /// again after the next start.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        self.stop.send_replace(true);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.shared.config.stop_grace, all)
            .await
            .is_err()
        {
            tasks.abort_all();
        }
    }
}

#[cfg(test)]
mod tests;
