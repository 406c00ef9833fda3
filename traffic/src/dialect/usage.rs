//! Which counts of tokens a span shows, and under which names.

use super::Words;
use crate::draft::CallDraft;

/// The counts that a span shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) input: Option<i64>,
    pub(super) output: Option<i64>,
    pub(super) cache_read: Option<i64>,
    pub(super) cache_write: Option<i64>,
    pub(super) reasoning: Option<i64>,
}

impl Usage {
    /// Of a dialect whose input holds what was cached.
    pub(super) fn inclusive(call: &CallDraft) -> Self {
        Self::of(call, call.shown.raw_input)
    }

    /// Of a dialect whose counts are to be added up.
    pub(super) fn additive(call: &CallDraft) -> Self {
        Self::of(call, true)
    }

    fn of(call: &CallDraft, without_cached: bool) -> Self {
        let (tokens, shown) = (call.tokens, call.shown);
        let input = if shown.nonsense {
            -5
        } else if without_cached {
            tokens.input - tokens.cache_read - tokens.cache_write
        } else {
            tokens.input
        };
        Self {
            input: shown.input.then_some(input),
            output: shown.output.then_some(tokens.output),
            cache_read: shown.cache.then_some(tokens.cache_read),
            cache_write: shown.cache.then_some(tokens.cache_write),
            reasoning: shown.reasoning.then_some(tokens.reasoning),
        }
    }

    /// Under `names`, in the order in which SDKs write them, which leave out parts that are nothing.
    pub(super) fn named<'a>(&self, names: &UsageNames<'a>) -> Vec<(&'a str, i64)> {
        let part = |count: Option<i64>| count.filter(|count| *count > 0);
        [
            (names.input, self.input),
            (names.output, self.output),
            (names.cache_read, part(self.cache_read)),
            (names.cache_write, part(self.cache_write)),
            (names.reasoning, part(self.reasoning)),
        ]
        .into_iter()
        .filter_map(|(name, count)| Some((name, count?)))
        .collect()
    }
}

/// What a dialect calls them.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsageNames<'a> {
    pub(super) input: &'a str,
    pub(super) output: &'a str,
    pub(super) cache_read: &'a str,
    pub(super) cache_write: &'a str,
    pub(super) reasoning: &'a str,
}

impl Words {
    /// The counts under `names`.
    pub(super) fn usage(&mut self, usage: &Usage, names: &UsageNames<'_>) {
        for (name, count) in usage.named(names) {
            self.number(name, count);
        }
    }
}
