//! What can be set about the log, with a reason for each default.

use std::time::Duration;

use crate::admission::Budget;
use crate::wal::Planted;

/// The log's settings.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The size of a segment file, in bytes. Small enough that truncation frees space in steps,
    /// large enough that rotation (two fsyncs) is rare.
    pub segment_bytes: u64,
    /// One group commit takes requests until their rows in memory exceed this.
    pub group_bytes_max: usize,
    /// The largest frame; a request that makes a larger one is refused with
    /// [`AppendError::TooLarge`](super::AppendError::TooLarge). Recovery holds one frame in memory.
    pub frame_bytes_max: usize,
    /// How many requests may wait for the writer; more wait outside in `append`.
    pub queue_requests_max: usize,
    /// Above this size of its segments the log takes nothing more: the caller answers 503. A spare
    /// segment and the reserve come on top.
    pub budget_bytes: u64,
    /// The size of the reserve file, which is given up when the disk is full so that cursors and
    /// seals can still be written.
    pub reserve_bytes: u64,
    /// A batch is sealed before it would exceed this many rows, unless one request alone does.
    pub batch_rows_max: usize,
    /// A batch is sealed before its rows would exceed this many bytes in memory.
    pub batch_bytes_max: usize,
    /// A batch is sealed when its first row is this old.
    pub batch_age: Duration,
    /// How long frames stay after every required sink has settled them: sinks acknowledge before
    /// their own disk does. Above three quarters of the budget nothing stays that is settled: to
    /// refuse requests for the sake of a grace would be worse.
    pub retain: Duration,
    /// Recent rows beyond this many bytes are dropped from memory and read from the segments.
    pub recent_bytes_max: usize,
    /// What is free of this budget is as much as recent rows may take in memory, below
    /// `recent_bytes_max`: rows can be read again from the segments, what requests hold cannot.
    pub recent_budget: Option<Budget>,
    /// A full disk or budget is not tried again before this much time has passed; it is also what
    /// callers are told to wait.
    pub retry_after: Duration,
    /// Sinks whose cursors hold frames back. The lake sink is always one of them.
    pub required_sinks: Vec<String>,
    /// The sink whose cursor says that rows have left `recent`.
    pub lake_sink: String,
    /// Which table of routes was in force; every seal carries it.
    pub route_epoch: u32,
    /// A bug to plant, for the tests of the tests; nothing unless the feature `planted-bugs` is on.
    #[doc(hidden)]
    pub planted: Planted,
}

const MIB: u64 = 1024 * 1024;

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 64 * MIB,
            group_bytes_max: 8 * 1024 * 1024,
            frame_bytes_max: 256 * 1024 * 1024,
            queue_requests_max: 4096,
            budget_bytes: 16 * 1024 * MIB,
            reserve_bytes: 64 * MIB,
            batch_rows_max: 65_536,
            batch_bytes_max: 32 * 1024 * 1024,
            batch_age: Duration::from_secs(1),
            retain: Duration::from_secs(600),
            recent_bytes_max: 256 * 1024 * 1024,
            recent_budget: None,
            retry_after: Duration::from_secs(1),
            required_sinks: Vec::new(),
            lake_sink: "lake".to_owned(),
            route_epoch: 0,
            planted: Planted::default(),
        }
    }
}

impl LogConfig {
    /// How many bytes of recent rows may be in memory now.
    pub(crate) fn recent_bytes(&self) -> usize {
        let free = self.recent_budget.as_ref().map_or(usize::MAX, Budget::free);
        self.recent_bytes_max.min(free)
    }

    /// The names of the sinks that hold frames back, the lake's among them.
    pub(crate) fn required(&self) -> Vec<String> {
        let mut names = self.required_sinks.clone();
        if !names.contains(&self.lake_sink) {
            names.push(self.lake_sink.clone());
        }
        names
    }

    /// The first fault of the settings, in words, if there is one.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.segment_bytes < 4096 {
            return Some("segment_bytes must be at least 4096");
        }
        if self.budget_bytes < self.segment_bytes.saturating_mul(2) {
            return Some("budget_bytes must be at least twice segment_bytes");
        }
        if self.batch_rows_max == 0 || self.batch_bytes_max == 0 || self.group_bytes_max == 0 {
            return Some("batch and group limits must be above zero");
        }
        if self.queue_requests_max == 0 || self.frame_bytes_max < 4096 {
            return Some("queue_requests_max must be above zero, frame_bytes_max at least 4096");
        }
        None
    }
}
