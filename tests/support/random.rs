//! Repeatable choices: a test prints its seed, `WEIR_TEST_SEED` sets it.

use std::time::Duration;

/// A splitmix64 sequence: good enough to choose moments, small enough to see through.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// From `WEIR_TEST_SEED`, else from the process id; printed so that a failure can be repeated.
    pub(crate) fn from_env() -> Self {
        let seed = std::env::var("WEIR_TEST_SEED").map_or_else(
            |_| u64::from(std::process::id()),
            |text| text.parse().expect("WEIR_TEST_SEED"),
        );
        println!("seed: WEIR_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in `low..high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    pub(crate) fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.within(low, high))
    }

    /// True in `percent` of the cases.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.within(0, 100) < percent
    }
}

/// Scatters a number over 64 bits, the same for ever.
pub(crate) fn mix(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
