//! Figures that a person watches: how long Snowflake takes to commit, and what was odd.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How a sink stands, since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnowflakeStatus {
    /// How long the longest wait for a commit has gone on; `None` where nothing is waited for.
    pub waiting: Option<Duration>,
    /// From the first byte to the commit, the last time.
    pub settled_last: Option<Duration>,
    /// The longest that it took.
    pub settled_max: Duration,
    /// Rows that Snowflake took and left out.
    pub rejected_rows: u64,
    /// Requests of the elastic channel whose answer was lost, so that their rows may be there
    /// twice.
    pub possible_duplicates: u64,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeMap<String, Instant>,
    status: SnowflakeStatus,
}

/// The figures, shared by the writers of a sink.
#[derive(Debug, Default)]
pub(super) struct Gauges(Mutex<Inner>);

impl Gauges {
    /// Rows go out on `channel`; one wait a channel is counted, from its first failure on.
    pub(super) fn begin(&self, channel: &str) {
        let mut inner = self.0.lock();
        let waiting = inner.waiting.entry(channel.to_owned());
        waiting.or_insert_with(Instant::now);
    }

    /// All that went out on `channel` is committed.
    pub(super) fn end(&self, channel: &str) {
        let mut inner = self.0.lock();
        if let Some(began) = inner.waiting.remove(channel) {
            let took = began.elapsed();
            inner.status.settled_last = Some(took);
            inner.status.settled_max = inner.status.settled_max.max(took);
        }
    }

    pub(super) fn rejected(&self, rows: u64) {
        self.0.lock().status.rejected_rows += rows;
    }

    pub(super) fn possible_duplicate(&self) {
        self.0.lock().status.possible_duplicates += 1;
    }

    pub(super) fn status(&self) -> SnowflakeStatus {
        let inner = self.0.lock();
        let mut status = inner.status.clone();
        status.waiting = inner.waiting.values().map(Instant::elapsed).max();
        status
    }
}
