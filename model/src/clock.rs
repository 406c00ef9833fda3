//! The time of day, from one place, so that tests own it.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the program learns the time of day. It may jump, in both directions.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Microseconds since 1970-01-01T00:00:00Z.
    fn now_us(&self) -> i64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that may ask"
    )]
    fn now_us(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands where a test has put it.
#[derive(Debug, Default)]
pub struct FixedClock(std::sync::atomic::AtomicI64);

impl FixedClock {
    /// A clock that shows `now_us`.
    pub fn at(now_us: i64) -> Self {
        Self(now_us.into())
    }

    /// Moves the clock to `now_us`, forward or back.
    pub fn set(&self, now_us: i64) {
        self.0.store(now_us, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Clock for FixedClock {
    fn now_us(&self) -> i64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}
