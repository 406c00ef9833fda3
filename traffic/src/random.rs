//! Numbers that look random and are the same for ever.

/// A stream of its own for whatever is numbered: the same numbers give the same stream, whoever asks
/// in whatever order.
#[derive(Clone, Debug)]
pub(crate) struct Stream(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the bits of a number over all of it.
const fn spread(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

impl Stream {
    pub(crate) fn of(numbers: &[u64]) -> Self {
        let start = numbers.iter().fold(GOLDEN, |state, n| {
            spread(state ^ spread(n.wrapping_add(GOLDEN)))
        });
        Self(start)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        spread(self.0)
    }

    /// From 0 up to and without 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact in a double")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 up to and without `n`, which is at least 1.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n.max(1)).unwrap_or(1);
        usize::try_from(self.bits() % n).unwrap_or_default()
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = usize::try_from(high.saturating_sub(low)).unwrap_or_default();
        low + i64::try_from(self.below(width + 1)).unwrap_or_default()
    }

    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// One of them; the slice is not empty.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        of.get(self.below(of.len())).copied()
    }

    /// The place of one of the weights, in proportion to them.
    pub(crate) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (at, weight) in weights.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        weights.len().saturating_sub(1)
    }

    /// One of `n` things of which the first is the most frequent, the second half as frequent, and
    /// so on.
    pub(crate) fn popular(&mut self, n: usize) -> usize {
        let whole = i64::try_from(n).unwrap_or(1).max(1);
        let rank = double(whole + 1).powf(self.unit()) - 1.0;
        usize::try_from(integer(rank))
            .unwrap_or_default()
            .min(n.saturating_sub(1))
    }

    fn normal(&mut self) -> f64 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
    }

    /// About `median`, by factors; at least 1 and at most `max`.
    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64, max: i64) -> i64 {
        let value = median * (sigma * self.normal()).exp();
        integer(value).clamp(1, max)
    }

    /// At least 1, on average `mean`, at most `max`.
    pub(crate) fn geometric(&mut self, mean: f64, max: i64) -> i64 {
        let mut count = 1;
        while count < max && !self.chance(1.0 / mean) {
            count += 1;
        }
        count
    }

    pub(crate) fn poisson(&mut self, mean: f64) -> i64 {
        let limit = (-mean).exp();
        let (mut count, mut product) = (0, self.unit());
        while product > limit && count < 1000 {
            count += 1;
            product *= self.unit();
        }
        count
    }

    /// From 0 to 1, on average `a / (a + b)` (Jöhnk's method, which gives up after some tries).
    pub(crate) fn beta(&mut self, a: f64, b: f64) -> f64 {
        for _ in 0..200 {
            let x = self.unit().powf(1.0 / a);
            let y = self.unit().powf(1.0 / b);
            if x + y > 0.0 && x + y <= 1.0 {
                return x / (x + y);
            }
        }
        a / (a + b)
    }
}

/// The whole part.
#[expect(
    clippy::cast_possible_truncation,
    reason = "cut to what it holds, as is meant"
)]
pub(crate) fn integer(value: f64) -> i64 {
    value as i64
}

/// As a double; counts here are exact in it.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) fn double(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_their_numbers_and_no_two_are_alike() {
        let first = |numbers: &[u64]| Stream::of(numbers).bits();
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
        assert_ne!(first(&[1, 2, 3]), first(&[1, 3, 2]));
        assert_ne!(first(&[0]), first(&[0, 0]));
    }

    #[test]
    fn distributions_have_their_means() {
        let mut stream = Stream::of(&[7]);
        let mut mean = |of: &mut dyn FnMut(&mut Stream) -> f64| {
            let sum: f64 = (0..20_000).map(|_| of(&mut stream)).sum();
            sum / 20_000.0
        };
        let about = |value: f64, expected: f64| {
            assert!(
                (value / expected - 1.0).abs() < 0.05,
                "{value} for {expected}"
            );
        };
        about(mean(&mut |s| s.unit()), 0.5);
        about(mean(&mut |s| double(s.geometric(5.0, 1000))), 5.0);
        about(mean(&mut |s| double(s.poisson(1.4))), 1.4);
        about(mean(&mut |s| s.beta(8.0, 2.0)), 0.8);
        about(mean(&mut |s| s.beta(0.6, 2.0)), 0.6 / 2.6);
        about(
            mean(&mut |s| f64::from(u8::from(s.lognormal(220.0, 1.1, 1 << 40) > 220))),
            0.5,
        );
        about(
            mean(&mut |s| f64::from(u8::from(s.weighted(&[1.0, 3.0]) == 1))),
            0.75,
        );
    }
}
