//! A run on its way: what becomes of its parts, and when it is left for later.

use std::sync::atomic::{AtomicU32, Ordering};

use super::fault::ClickHouseError;

/// How a run goes on while its parts are written.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// Failures since the last success; `u32::MAX` where nothing will work.
    failures: AtomicU32,
}

impl Course {
    /// Failures in a row after which the rest of a run is left for the next attempt.
    const FAILURES_MAX: u32 = 3;

    /// Whether the rest of the run is left.
    pub(super) fn is_over(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= Self::FAILURES_MAX
    }

    /// Notes how one of its parts went.
    pub(super) fn note<T>(&self, result: &Result<T, ClickHouseError>) {
        match result {
            Ok(_) => self.failures.store(0, Ordering::Relaxed),
            Err(error) if error.doubts_tables() => {
                self.failures.store(u32::MAX, Ordering::Relaxed);
            }
            Err(_) => {
                let more = |n: u32| Some(n.saturating_add(1));
                // It always adds, so it cannot fail.
                let _ = self
                    .failures
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
            }
        }
    }
}

/// What became of a part of a run.
#[derive(Debug)]
pub(super) enum Written {
    /// It is there, and so many rows of it are new.
    Stored(u64),
    /// It was not tried.
    Left,
    /// It may be there or not.
    Failed(ClickHouseError),
}
