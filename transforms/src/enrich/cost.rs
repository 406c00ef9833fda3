//! The cost columns of a model call.

use super::output::{Derived, Output};
use crate::field::Field;
use crate::money;
use crate::price::{Call, Prefer, Priced, Tokens};
use crate::row::Row;
use crate::usage::UsageFlags;

/// Reported and computed cost disagree beyond this many parts in a hundred.
const DISAGREE_PERCENT: i128 = 2;

/// Smaller reported amounts are taken as this one, a nanodollar, so that a part of nothing is told.
const LEAST: i128 = 10_i128.pow(money::SCALE.unsigned_abs() - 9);

/// The call that the slots say.
pub(super) fn call<'r>(row: &'r Row<'_>, provider: Option<&'r str>, start_us: i64) -> Call<'r> {
    Call {
        provider,
        server: row.text(Field::ServerAddress),
        models: [
            row.text(Field::ModelResponse),
            row.text(Field::ModelRequest),
        ],
        start_us,
        tier: row.text(Field::ServiceTier),
        batch: row.number(Field::IsBatch) == Some(1),
        tokens: tokens(row),
    }
}

/// Writes the cost columns; `price` is asked only where there is usage.
pub(super) fn put(
    out: &mut Output,
    at: usize,
    (row, flags): (&Row<'_>, UsageFlags),
    prefer: Prefer,
    price: impl FnOnce() -> Option<Priced>,
) {
    let used = row.has(Field::InputTokens) || row.has(Field::OutputTokens);
    let mut status = if flags.invalid {
        "invalid_usage"
    } else {
        "no_usage"
    };
    let mut computed = None;
    if used {
        match price().unwrap_or(Priced::Unpriced) {
            Priced::Amount(amount, reference) => {
                status = "computed";
                computed = Some(amount);
                out.derived(Derived::CostComputed).money(at, amount);
                out.derived(Derived::PriceRef).text(at, &reference);
            }
            Priced::Unpriced => status = "unpriced",
            Priced::InvalidUsage => status = "invalid_usage",
        }
    }
    let reported = row.reported().filter(|_| !flags.invalid);
    let cost = match prefer {
        Prefer::Reported => reported.or(computed),
        Prefer::Computed => computed.or(reported),
    };
    if reported.is_some() && (prefer == Prefer::Reported || computed.is_none()) {
        status = "reported";
    }
    if let (Some(reported), Some(computed)) = (reported, computed) {
        out.derived(Derived::CostDisagrees)
            .truth(at, disagree(reported, computed));
    }
    if let Some(cost) = cost {
        out.derived(Derived::Cost).money(at, cost);
    }
    out.derived(Derived::CostStatus).text(at, status);
}

/// Whether two amounts differ by more than two parts in a hundred of the reported one.
pub(crate) fn disagree(reported: i128, computed: i128) -> bool {
    (reported - computed).abs() * 100 > DISAGREE_PERCENT * reported.max(LEAST)
}

fn tokens(row: &Row<'_>) -> Tokens {
    let count = |field| row.number(field).unwrap_or_default();
    Tokens {
        input: count(Field::InputTokens),
        output: count(Field::OutputTokens),
        cache_read: count(Field::CacheReadTokens),
        cache_write: count(Field::CacheWriteTokens),
        cache_write_1h: count(Field::CacheWrite1hTokens),
        reasoning: count(Field::ReasoningTokens),
        audio_input: count(Field::AudioInputTokens),
        audio_output: count(Field::AudioOutputTokens),
        image_input: count(Field::ImageInputTokens),
        image_output: count(Field::ImageOutputTokens),
        web_searches: 0,
    }
}
