//! How long to wait before the next attempt: doubling, with full jitter, without an end.

use std::time::Duration;

/// Where the random part of a wait comes from, so that tests own it.
pub trait Jitter: Send + Sync + std::fmt::Debug {
    /// A duration from zero up to `most`, `most` included.
    fn up_to(&self, most: Duration) -> Duration;
}

/// Every wait is equally likely, which keeps the many from coming back together.
#[derive(Clone, Copy, Debug, Default)]
pub struct FullJitter;

impl Jitter for FullJitter {
    fn up_to(&self, most: Duration) -> Duration {
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(rand::random_range(0..=nanos))
    }
}

/// The waits of one run of failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            failures: 0,
        }
    }

    /// The wait after one more failure; not shorter than `after`, which the other side asked for.
    pub(crate) fn next(&mut self, jitter: &dyn Jitter, after: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(self.failures);
        self.failures = self.failures.saturating_add(1);
        let most = self.base.saturating_mul(doubled).min(self.cap);
        jitter.up_to(most).max(after.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Longest;

    impl Jitter for Longest {
        fn up_to(&self, most: Duration) -> Duration {
            most
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_cap_and_the_other_sides_wish_wins_where_longer() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(200), ms(1000));
        let waits = [(); 4].map(|()| backoff.next(&Longest, None));
        assert_eq!(waits, [ms(200), ms(400), ms(800), ms(1000)]);
        assert_eq!(backoff.next(&Longest, Some(ms(3000))), ms(3000));
        assert_eq!(backoff.next(&Longest, Some(ms(3))), ms(1000));
        for _ in 0..100 {
            assert_eq!(
                backoff.next(&Longest, None),
                ms(1000),
                "no end, no overflow"
            );
        }
    }

    #[test]
    fn full_jitter_stays_within_its_bounds() {
        for _ in 0..1000 {
            assert!(FullJitter.up_to(Duration::from_micros(3)) <= Duration::from_micros(3));
        }
        assert_eq!(FullJitter.up_to(Duration::ZERO), Duration::ZERO);
    }
}
