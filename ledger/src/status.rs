//! What the ledger tells of itself.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Counts and gauges of one node's ledger; read by whoever likes, at any time.
#[derive(Debug, Default)]
pub struct Status {
    /// Whether this node is the one that books.
    pub(crate) booking: AtomicBool,
    /// Since when batches lie in the lake that are not booked, in microseconds; 0 where none do.
    pub(crate) behind_since_us: AtomicI64,
    pub(crate) lag_batches: AtomicU64,
    pub(crate) rounds: AtomicU64,
    pub(crate) fenced: AtomicU64,
    pub(crate) spans: AtomicU64,
    pub(crate) traces: AtomicU64,
    pub(crate) bookings: AtomicU64,
    pub(crate) reread: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) facts: AtomicU64,
    pub(crate) facts_disk_bytes: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) last_error: Mutex<Option<String>>,
}

/// The status at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// Whether this node is the one that books.
    pub booking: bool,
    /// For how long batches have been in the lake that are not booked.
    pub lag: Duration,
    /// How many batches these are.
    pub lag_batches: u64,
    /// Commits of this node.
    pub rounds: u64,
    /// Commits that another node had made superfluous.
    pub fenced: u64,
    /// Spans read.
    pub spans: u64,
    /// Traces computed, each as often as spans came to it.
    pub traces: u64,
    /// Rows booked, of either sign.
    pub bookings: u64,
    /// Traces that were read again from the lake.
    pub reread: u64,
    /// Steps that failed and were taken again.
    pub failures: u64,
    /// Facts in the store.
    pub facts: u64,
    /// Bytes of the store on disk.
    pub facts_disk_bytes: u64,
    /// Bytes of the store in memory.
    pub memory_bytes: u64,
    /// Why the last step failed, if it did.
    pub last_error: Option<String>,
}

pub(crate) fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

impl Shown {
    /// The two together, of ledgers in two lakes: times are those of the one that is further
    /// behind, counts are sums, and a fault of either is one.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            booking: self.booking || other.booking,
            lag: self.lag.max(other.lag),
            lag_batches: self.lag_batches + other.lag_batches,
            rounds: self.rounds + other.rounds,
            fenced: self.fenced + other.fenced,
            spans: self.spans + other.spans,
            traces: self.traces + other.traces,
            bookings: self.bookings + other.bookings,
            reread: self.reread + other.reread,
            failures: self.failures + other.failures,
            facts: self.facts + other.facts,
            facts_disk_bytes: self.facts_disk_bytes + other.facts_disk_bytes,
            memory_bytes: self.memory_bytes + other.memory_bytes,
            last_error: self.last_error.or(other.last_error),
        }
    }
}

impl Status {
    /// The status now.
    pub fn shown(&self, now_us: i64) -> Shown {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let since = self.behind_since_us.load(Ordering::Relaxed);
        let lag_us = if since == 0 {
            0
        } else {
            now_us.saturating_sub(since).max(0)
        };
        Shown {
            booking: self.booking.load(Ordering::Relaxed),
            lag: Duration::from_micros(u64::try_from(lag_us).unwrap_or(0)),
            lag_batches: read(&self.lag_batches),
            rounds: read(&self.rounds),
            fenced: read(&self.fenced),
            spans: read(&self.spans),
            traces: read(&self.traces),
            bookings: read(&self.bookings),
            reread: read(&self.reread),
            failures: read(&self.failures),
            facts: read(&self.facts),
            facts_disk_bytes: read(&self.facts_disk_bytes),
            memory_bytes: read(&self.memory_bytes),
            last_error: self.last_error.lock().clone(),
        }
    }

    pub(crate) fn lag(&self, batches: u64, now_us: i64) {
        self.lag_batches.store(batches, Ordering::Relaxed);
        if batches == 0 {
            self.behind_since_us.store(0, Ordering::Relaxed);
        } else {
            let _ = self.behind_since_us.compare_exchange(
                0,
                now_us,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }
}
