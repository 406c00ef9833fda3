//! Partial sums of the cost ledger by hour and by day: sums of signed bookings, so that partial
//! sums of any parts add up to those of the whole.
//!
//! A row sums the bookings of one batch of the ledger, or, once rows were merged, of many; `_batch`
//! is the last of them. Rows with the same key are to be added up.

use super::ColumnType::*;
use super::{Column, may, must};

/// Between `tenant_id` and `part_date`; the key is `tenant_id`, `part_date` and all columns up to
/// [`KEY_END`].
pub(super) const COLUMNS: &[Column] = &[
    must(
        "period_start",
        Time,
        "The hour or day, UTC, in which the calls began",
    ),
    must("source", Text, "span, telemetry_event, log_event or audit"),
    may("skill", Text, "The skill; NULL where unattributed"),
    may("skill_version", Text, "Its version"),
    must(
        "skill_attribution",
        Text,
        "direct, metadata, tool_args, resource, ancestor, last_loaded or none",
    ),
    may("agent_name", Text, "The agent"),
    may("model", Text, "The model"),
    may("provider", Text, "The provider"),
    may("team_id", Text, "The team"),
    may("user_id", Text, "The user"),
    may("cost_center", Text, "The cost centre"),
    may("project", Text, "The project"),
    may("environment", Text, "The environment"),
    may("op_kind", Text, "llm, embedding or rerank"),
    must(
        "cost_status",
        Text,
        "computed, reported, no_usage, invalid_usage or unpriced",
    ),
    must("calls", Int64, "Calls"),
    must("errors", Int64, "Calls with an error"),
    must(
        "usage_calls",
        Int64,
        "Calls whose input or output tokens are known",
    ),
    must("reported_calls", Int64, "Calls whose sender named a cost"),
    must("computed_calls", Int64, "Calls with a cost at list price"),
    must("unpriced_calls", Int64, "Calls whose cost is not known"),
    must(
        "disagreeing_calls",
        Int64,
        "Calls whose reported and computed cost differ by more than 2 %",
    ),
    must("usage_input_tokens", Int64, "Input tokens that are known"),
    must("usage_output_tokens", Int64, "Output tokens that are known"),
    must(
        "usage_cache_read_tokens",
        Int64,
        "Of the input, read from the cache",
    ),
    must(
        "usage_cache_write_tokens",
        Int64,
        "Of the input, written to the cache",
    ),
    must(
        "usage_cache_write_1h_tokens",
        Int64,
        "Of those written, kept for an hour",
    ),
    must("usage_reasoning_tokens", Int64, "Of the output, reasoning"),
    must("cost_reported_usd", MoneySum, "The senders' word"),
    must("cost_computed_usd", MoneySum, "Usage at list price"),
    must("cost_usd", MoneySum, "The one to use"),
    must(
        "latency_histogram",
        Ints,
        "How long the calls took: bucket, count, bucket, count, ...; read it with \
         latency_merge and latency_quantile",
    ),
];

/// The last column of the key.
pub const KEY_END: &str = "cost_status";
