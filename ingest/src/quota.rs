//! Token buckets: how much may be taken within a time, and how much at once.
//!
//! ```text
//! rate --fills--> [ bucket, holds the burst ] --cost of a request--> taken
//! ```
//!
//! # Invariants
//!
//! * Over any long time no more is taken than the rate gives, plus one burst and one request.
//! * A cost beyond the burst is taken from a full bucket and leaves a debt, so that no request is
//!   impossible for ever.
//! * After a refusal the door is shut until what was refused would fit: small requests cannot keep
//!   a large one out, and a flood is turned away by a look at the clock.
//! * Time is monotonic: setting the clock of the day gives nobody anything.

use std::time::{Duration, Instant};

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What it gains in each `per`; above 0.
    pub amount: u64,
    /// The time that `amount` is for; always the same one for a bucket.
    pub per: Duration,
    /// The most that it holds; above 0.
    pub burst: u64,
}

impl Rate {
    /// `amount` a second, of which as much can be saved up as `burst` gives.
    pub fn per_second(amount: u64, burst: Duration) -> Self {
        let held = u128::from(amount) * burst.as_millis() / 1_000;
        Self {
            amount,
            per: Duration::from_secs(1),
            burst: u64::try_from(held).unwrap_or(u64::MAX).max(1),
        }
    }

    /// `amount` a minute, all of which may be taken at once.
    pub fn per_minute(amount: u64) -> Self {
        Self {
            amount,
            per: Duration::from_mins(1),
            burst: amount,
        }
    }

    fn per_nanos(self) -> i128 {
        i128::try_from(self.per.as_nanos())
            .unwrap_or(i128::MAX)
            .max(1)
    }

    /// How long it takes to gain `missing`, in the bucket's own measure.
    fn time_for(self, missing: i128) -> Duration {
        let nanos = missing
            .max(0)
            .unsigned_abs()
            .div_ceil(u128::from(self.amount.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// There is not enough now; nothing was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the quota is used up for {} ms", wait.as_millis())]
pub struct Dry {
    /// When it is worth trying again.
    pub wait: Duration,
    /// The most that the bucket holds.
    pub limit: u64,
    /// What it holds now.
    pub remaining: u64,
    /// When it will be full.
    pub reset: Duration,
}

/// What is left of a rate; the rate itself is told with each use, so that a change of it holds at
/// once.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// In units of which `per` nanoseconds make one; below 0 is a debt. `None` is full.
    level: Option<i128>,
    at: Instant,
    shut_until: Option<Instant>,
}

impl Bucket {
    /// A full bucket.
    pub fn full(now: Instant) -> Self {
        Self {
            level: None,
            at: now,
            shut_until: None,
        }
    }

    /// Takes `cost`; from a full bucket also what is more than it holds.
    ///
    /// # Errors
    ///
    /// [`Dry`] where it does not hold as much; the door is shut until it would.
    pub fn take(&mut self, cost: u64, rate: Rate, now: Instant) -> Result<(), Dry> {
        self.look(rate, now)?;
        let (level, unit) = (self.fill(rate, now), rate.per_nanos());
        let needed = i128::from(cost.min(rate.burst)) * unit;
        if level < needed {
            let dry = Self::dry(level, needed, rate);
            self.shut_until = now.checked_add(dry.wait);
            return Err(dry);
        }
        self.level = Some(level - i128::from(cost) * unit);
        Ok(())
    }

    /// Whether anything can be taken at all; takes nothing.
    ///
    /// # Errors
    ///
    /// [`Dry`] while the door is shut, or the bucket is empty.
    pub fn look(&mut self, rate: Rate, now: Instant) -> Result<(), Dry> {
        let (level, unit) = (self.fill(rate, now), rate.per_nanos());
        // A raised rate may have opened the door earlier than was foreseen.
        let full = level >= i128::from(rate.burst) * unit;
        let shut = self.shut_until.filter(|until| !full && *until > now);
        let dry = Self::dry(level, unit, rate);
        match shut {
            Some(until) => Err(Dry {
                wait: until.duration_since(now),
                ..dry
            }),
            None if level < unit => Err(dry),
            None => {
                self.shut_until = None;
                Ok(())
            }
        }
    }

    /// Gives back what was taken for a request that another limit then refused.
    pub fn give(&mut self, cost: u64, rate: Rate) {
        if let Some(level) = &mut self.level {
            *level += i128::from(cost) * rate.per_nanos();
        }
    }

    /// The level at `now`.
    fn fill(&mut self, rate: Rate, now: Instant) -> i128 {
        let most = i128::from(rate.burst) * rate.per_nanos();
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        let gained = i128::try_from(elapsed)
            .unwrap_or(i128::MAX)
            .saturating_mul(i128::from(rate.amount));
        let level = self
            .level
            .map_or(most, |level| level.saturating_add(gained).min(most));
        self.level = Some(level);
        self.at = self.at.max(now);
        level
    }

    fn dry(level: i128, needed: i128, rate: Rate) -> Dry {
        let unit = rate.per_nanos();
        Dry {
            wait: rate.time_for(needed - level),
            limit: rate.burst,
            remaining: u64::try_from((level / unit).max(0)).unwrap_or(u64::MAX),
            reset: rate.time_for(i128::from(rate.burst) * unit - level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// 100 a second, 200 at most.
    fn hundred() -> Rate {
        Rate::per_second(100, Duration::from_secs(2))
    }

    #[test]
    fn a_burst_is_taken_at_once_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        assert_eq!(bucket.take(200, hundred(), start), Ok(()));
        let dry = bucket.take(10, hundred(), start).unwrap_err();
        assert_eq!((dry.limit, dry.remaining), (200, 0));
        assert_eq!(dry.reset, 2_000 * MS);
        let mut taken = 0;
        for ms in 0..10_000 {
            if bucket.take(10, hundred(), start + ms * MS).is_ok() {
                taken += 10;
            }
        }
        assert!(
            (990..=1_000).contains(&taken),
            "{taken} in 10 s of 100 a second"
        );
    }

    #[test]
    fn what_is_larger_than_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        assert_eq!(bucket.take(1, hundred(), start), Ok(()));
        let dry = bucket.take(1_000, hundred(), start).unwrap_err();
        assert_eq!(dry.wait, 10 * MS);
        let full = start + dry.wait;
        assert_eq!(bucket.take(1_000, hundred(), full), Ok(()));
        let dry = bucket.look(hundred(), full).unwrap_err();
        assert_eq!((dry.wait, dry.remaining), (8_010 * MS, 0));
        assert!(bucket.take(1, hundred(), full + 8_000 * MS).is_err());
        assert_eq!(bucket.take(1, hundred(), full + 8_010 * MS), Ok(()));
    }

    #[test]
    fn small_requests_do_not_keep_a_refused_large_one_out() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        assert_eq!(bucket.take(150, hundred(), start), Ok(()));
        let dry = bucket.take(200, hundred(), start).unwrap_err();
        assert_eq!(dry.wait, 1_500 * MS);
        for ms in 0..1_500 {
            assert!(
                bucket.take(1, hundred(), start + ms * MS).is_err(),
                "at {ms} ms"
            );
        }
        assert_eq!(bucket.take(200, hundred(), start + dry.wait), Ok(()));
    }

    #[test]
    fn a_change_of_the_rate_holds_at_once() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let small = Rate::per_second(10, Duration::from_secs(1));
        assert_eq!(bucket.take(1, hundred(), start), Ok(()));
        let dry = bucket
            .take(10, small, start)
            .map(|()| bucket.take(1, small, start));
        assert!(matches!(dry, Ok(Err(Dry { limit: 10, .. }))), "{dry:?}");
        let later = start + 100 * MS;
        assert_eq!(bucket.take(1, hundred(), later), Ok(()));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        assert_eq!(bucket.take(200, hundred(), start), Ok(()));
        bucket.give(200, hundred());
        assert_eq!(bucket.take(200, hundred(), start), Ok(()));
        bucket.give(1_000, hundred());
        assert_eq!(bucket.take(200, hundred(), start), Ok(()));
        assert!(bucket.take(1, hundred(), start).is_err());
    }

    #[test]
    fn neither_huge_rates_nor_time_that_goes_back_break_it() {
        let start = Instant::now();
        let huge = Rate::per_second(u64::MAX, Duration::from_hours(1));
        let mut bucket = Bucket::full(start + 1_000 * MS);
        assert_eq!(
            bucket.take(u64::MAX, huge, start),
            Ok(()),
            "earlier than it was made"
        );
        assert_eq!(bucket.take(u64::MAX, huge, start + 9_000_000 * MS), Ok(()));
        assert!(bucket.take(u64::MAX, huge, start).is_err());
        let minute = Rate::per_minute(2);
        let mut bucket = Bucket::full(start);
        assert!(bucket.take(1, minute, start).is_ok() && bucket.take(1, minute, start).is_ok());
        let dry = bucket.take(1, minute, start).unwrap_err();
        assert_eq!(dry.wait, Duration::from_secs(30));
    }
}
