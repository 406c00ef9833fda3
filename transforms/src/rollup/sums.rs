//! What is summed up of each group.

use weir_model::Histogram;

/// The columns of counts, in the order of [`Sums::counts`].
pub(super) const COUNTS: [&str; 13] = [
    "calls",
    "errors",
    "usage_calls",
    "reported_calls",
    "computed_calls",
    "unpriced_calls",
    "disagreeing_calls",
    "usage_input_tokens",
    "usage_output_tokens",
    "usage_cache_read_tokens",
    "usage_cache_write_tokens",
    "usage_cache_write_1h_tokens",
    "usage_reasoning_tokens",
];

/// How many of [`COUNTS`] count calls; the others count tokens.
pub(super) const CALLS: usize = 7;

/// The columns of money, in the order of [`Sums::money`].
pub(super) const MONEY: [&str; 3] = ["cost_reported_usd", "cost_computed_usd", "cost_usd"];

/// The sums of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) counts: [i64; COUNTS.len()],
    /// In 10^-12 US dollars.
    pub(super) money: [i128; MONEY.len()],
    pub(super) latency: Histogram,
    /// The newest row that is in it, in microseconds since the epoch.
    pub(super) received_at: Option<i64>,
}

impl Sums {
    /// Whether nothing is left of what was added.
    pub(super) fn is_zero(&self) -> bool {
        self.counts.iter().all(|n| *n == 0)
            && self.money.iter().all(|n| *n == 0)
            && self.latency.is_zero()
    }
}
