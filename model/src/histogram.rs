//! Latencies as a histogram of logarithmic buckets with signed counts.
//!
//! A call adds one to its bucket and its correction takes one away, so histograms of any parts, in
//! any order, add up to exactly the histogram of the whole: what quantiles themselves cannot do.
//!
//! Values are whole microseconds. Below 16 each has a bucket of its own; above, each doubling is
//! cut into 16 buckets, so that a bucket's middle is off by at most 1/32 (3.1 %) of any value in
//! it. The layout is fixed for ever: stored histograms are added to new ones.
//!
//! ```text
//! bucket   0 .. 15   16 .. 31    32 .. 47   ...   576 .. 591
//! us       0 .. 15   16 .. 31    32 .. 63   ...   2^39 .. 2^40 - 1   (12.7 days)
//! ```

/// Buckets of each doubling, as a power of two.
const SUB_BITS: u32 = 4;
/// Buckets of each doubling.
const SUB: u64 = 1 << SUB_BITS;
/// Longer calls count as this long, in microseconds: about 12.7 days.
const VALUE_US_MAX: u64 = (1 << 40) - 1;

/// How many buckets there are; a stored number beyond them is damage and is left out.
pub const BUCKETS: usize = 592;

/// The bucket of a call that took `us` microseconds.
pub fn bucket_of(us: u64) -> u16 {
    let us = us.min(VALUE_US_MAX);
    let Some(doublings) = us.checked_ilog2().and_then(|e| e.checked_sub(SUB_BITS)) else {
        return u16::try_from(us).unwrap_or(0);
    };
    let place = SUB + u64::from(doublings) * SUB + ((us >> doublings) - SUB);
    u16::try_from(place).unwrap_or(u16::MAX)
}

/// The bucket of a call that took `ms` milliseconds; `None` where that is no time (negative, not a
/// number, endless).
pub fn bucket_of_ms(ms: f64) -> Option<u16> {
    if !ms.is_finite() || ms < 0.0 {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from floating point saturates, and the bucket is capped below that"
    )]
    let us = (ms * 1000.0).round() as u64;
    Some(bucket_of(us))
}

/// The middle of a bucket, in milliseconds.
pub fn middle_ms(bucket: u16) -> f64 {
    let place = u64::from(bucket);
    let (low, width) = match place.checked_sub(SUB) {
        None => (place, 1),
        Some(above) => {
            let doublings = above / SUB;
            (
                (SUB + above % SUB) << doublings.min(63),
                1_u64 << doublings.min(63),
            )
        }
    };
    // Both lie below 2^40, which a double holds exactly.
    let middle_us = low as f64 + (width - 1) as f64 / 2.0;
    middle_us / 1000.0
}

/// Counts by bucket. Equal where all counts are equal, however they came about.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// The bucket of the first count.
    first: usize,
    counts: Vec<i64>,
}

impl Histogram {
    /// Adds `count` calls, which may be negative, to `bucket`. A bucket that does not exist is left
    /// out.
    pub fn add(&mut self, bucket: u16, count: i64) {
        let bucket = usize::from(bucket);
        if bucket >= BUCKETS {
            return;
        }
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let more = self.first - bucket;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bucket;
        }
        let at = bucket - self.first;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        if let Some(slot) = self.counts.get_mut(at) {
            // Wrapping, so that what is added and taken away again leaves nothing behind.
            *slot = slot.wrapping_add(count);
        }
    }

    /// Adds what is stored as bucket, count, bucket, count, ...; pairs that name no bucket, and a
    /// last number without a partner, are left out.
    pub fn add_pairs(&mut self, pairs: &[i64]) {
        for pair in pairs.chunks_exact(2) {
            if let [bucket, count] = pair
                && let Ok(bucket) = u16::try_from(*bucket)
            {
                self.add(bucket, *count);
            }
        }
    }

    /// Adds all counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in other.iter() {
            self.add(bucket, count);
        }
    }

    /// The buckets that have a count other than 0, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u16, i64)> + '_ {
        let counts = self.counts.iter().enumerate().filter(|(_, c)| **c != 0);
        counts.map(|(i, c)| (u16::try_from(self.first + i).unwrap_or(u16::MAX), *c))
    }

    /// The same as it is stored: bucket, count, bucket, count, ...
    pub fn pairs(&self) -> impl Iterator<Item = i64> + '_ {
        self.iter().flat_map(|(b, c)| [i64::from(b), c])
    }

    /// Whether every count is 0.
    pub fn is_zero(&self) -> bool {
        self.counts.iter().all(|c| *c == 0)
    }

    /// How many calls there are; corrections count as what they take away.
    pub fn calls(&self) -> i64 {
        self.counts.iter().fold(0, |n: i64, c| n.wrapping_add(*c))
    }

    /// The latency in milliseconds below which the share `q` of all calls lies (0.95 for p95): the
    /// middle of the bucket that holds the call of that rank. `None` where there are no calls.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let calls = self.calls();
        if calls <= 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        // Counts are far below 2^53.
        let rank = (q * calls as f64).ceil().max(1.0);
        let mut below = 0_i64;
        for (bucket, count) in self.iter() {
            below = below.wrapping_add(count);
            if below as f64 >= rank {
                return Some(middle_ms(bucket));
            }
        }
        None
    }

    /// The memory that it holds beside itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<i64>()
    }
}

impl PartialEq for Histogram {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Histogram {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for us in 0..200_000_u64 {
            let bucket = bucket_of(us);
            assert!(bucket == last || bucket == last + 1, "{us}");
            last = bucket;
        }
        assert_eq!(usize::from(bucket_of(u64::MAX)), BUCKETS - 1);
        assert_eq!(bucket_of_ms(-1.0), None);
        assert_eq!(bucket_of_ms(f64::NAN), None);
        assert_eq!(bucket_of_ms(0.0), Some(0));
        assert_eq!(bucket_of_ms(f64::MAX), Some(bucket_of(u64::MAX)));
    }

    #[test]
    fn ranks_are_those_of_the_sorted_calls() {
        let mut all = Histogram::default();
        for ms in 1..=100_u16 {
            all.add(bucket_of(u64::from(ms) * 1000), 1);
        }
        let near = |q, ms: f64| {
            let found = all.quantile_ms(q).unwrap();
            assert!((found - ms).abs() / ms <= 1.0 / 32.0, "{q}: {found}");
        };
        near(0.5, 50.0);
        near(0.95, 95.0);
        near(0.99, 99.0);
        near(1.0, 100.0);
        near(0.0, 1.0);
        assert_eq!(Histogram::default().quantile_ms(0.5), None);
        assert_eq!(all.quantile_ms(1.5), None);
    }

    proptest! {
        #[test]
        fn a_middle_is_within_a_thirtysecond(us in 16_u64..VALUE_US_MAX) {
            let middle = middle_ms(bucket_of(us)) * 1000.0;
            prop_assert!((middle - us as f64).abs() <= us as f64 / 32.0);
        }

        #[test]
        fn parts_in_any_order_add_up_and_corrections_leave_nothing(
            calls in proptest::collection::vec((0_u64..1 << 42, -3_i64..4), 0..80),
            cut in 0_usize..80,
        ) {
            let mut whole = Histogram::default();
            for (us, n) in &calls {
                whole.add(bucket_of(*us), *n);
            }
            let (a, b) = calls.split_at(cut.min(calls.len()));
            let mut parts = Histogram::default();
            for part in [b, a] {
                let mut one = Histogram::default();
                for (us, n) in part.iter().rev() {
                    one.add(bucket_of(*us), *n);
                }
                let stored: Vec<i64> = one.pairs().collect();
                parts.add_pairs(&stored);
            }
            prop_assert_eq!(&parts, &whole);
            for (us, n) in &calls {
                parts.add(bucket_of(*us), -n);
            }
            prop_assert!(parts.is_zero());
            prop_assert_eq!(parts, Histogram::default());
        }
    }
}
