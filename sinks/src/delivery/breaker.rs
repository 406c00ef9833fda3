//! The circuit breaker of a sink: a sink that is down is probed by one call at a time, not by
//! every dataset's own retries.
//!
//! ```text
//! closed --5 failures in a row--> open --wait--> half open: one probe --success--> closed
//!                                   ^                           |
//!                                   '---------failure-----------'
//! ```

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerConfig {
    /// Failures in a row, over all datasets, that open it.
    pub failures: u32,
    /// How long it stays open before one call may probe.
    pub open: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            open: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    probing: bool,
}

/// The breaker of one sink.
#[derive(Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    state: Mutex<State>,
    changed: Notify,
}

/// Leave to make one call. Dropped without a word, as when the call is cancelled, it leaves the
/// breaker as it was.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

enum Gate {
    Go { probe: bool },
    Until(Instant),
    Probing,
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self {
            config,
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    fn gate(&self) -> Gate {
        let mut state = self.state.lock();
        match state.open_until {
            None => Gate::Go { probe: false },
            Some(_) if state.probing => Gate::Probing,
            Some(until) if until > Instant::now() => Gate::Until(until),
            Some(_) => {
                state.probing = true;
                Gate::Go { probe: true }
            }
        }
    }

    /// Waits until a call may be made.
    pub(crate) async fn enter(&self) -> Pass<'_> {
        loop {
            // Listening begins before the look, so that no change falls between.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            match self.gate() {
                Gate::Go { probe } => {
                    return Pass {
                        breaker: self,
                        probe,
                    };
                }
                Gate::Until(until) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        () = changed => {}
                    }
                }
                Gate::Probing => changed.await,
            }
        }
    }

    /// Whether calls are held back now.
    pub(crate) fn is_open(&self) -> bool {
        self.state.lock().open_until.is_some()
    }
}

impl Pass<'_> {
    /// The sink has answered, be it with a refusal of the rows.
    pub(crate) fn answered(mut self) {
        self.probe = false;
        *self.breaker.state.lock() = State::default();
        self.breaker.changed.notify_waiters();
    }

    /// The sink could not do its work.
    pub(crate) fn failed(mut self) {
        self.probe = false;
        let mut state = self.breaker.state.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.breaker.config.failures {
            state.open_until = Some(Instant::now() + self.breaker.config.open);
            state.probing = false;
        }
        drop(state);
        self.breaker.changed.notify_waiters();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.state.lock().probing = false;
            self.breaker.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(BreakerConfig {
            failures: 2,
            open: Duration::from_secs(5),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_breaker_lets_one_probe_through_after_its_wait() {
        let breaker = breaker();
        let start = Instant::now();
        breaker.enter().await.failed();
        assert!(!breaker.is_open());
        breaker.enter().await.failed();
        assert!(breaker.is_open());
        let probe = breaker.enter().await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        let second = tokio::time::timeout(Duration::from_secs(60), breaker.enter());
        assert!(second.await.is_err(), "one probe at a time");
        probe.answered();
        assert!(!breaker.is_open());
        breaker.enter().await.answered();
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_and_one_that_is_dropped_frees_the_next() {
        let breaker = breaker();
        breaker.enter().await.failed();
        breaker.enter().await.failed();
        let start = Instant::now();
        breaker.enter().await.failed();
        drop(breaker.enter().await);
        breaker.enter().await.answered();
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }
}
