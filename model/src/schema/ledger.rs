//! Bookings of cost: one row a booking; sums of `sign * value` are the truth.

use super::ColumnType::*;
use super::{Column, may, must};

/// What a booking may be made from, best first.
///
/// The same calls may be told of by several of them, so that totals take one for each tenant and
/// day: the best one that is there. Spans come first, since they know twins, retries and the skill
/// of their trace; a telemetry event names its skill itself; a log record names a call alone; an
/// audit record is a gateway's guess at it.
pub const SOURCES: [&str; 4] = ["span", "telemetry_event", "log_event", "audit"];

/// Between `tenant_id` and `part_date`.
pub(super) const COLUMNS: &[Column] = &[
    must(
        "booking_id",
        Text,
        "Names the booking: what it books, in which turn and with which sign",
    ),
    must("sign", Int32, "+1 books, -1 takes back"),
    must("source", Text, "span, telemetry_event, log_event or audit"),
    must("event_time", Time, "Start of the call that is booked"),
    must("booked_at", Time, "When the booking was made"),
    may("trace_id", Text, "The trace"),
    may("span_id", Text, "The call"),
    may(
        "content_key",
        Text,
        "Which of several copies of the span was booked",
    ),
    may("skill", Text, "The skill; NULL where unattributed"),
    may("skill_version", Text, "Its version"),
    must(
        "skill_attribution",
        Text,
        "direct, metadata, tool_args, resource, ancestor, last_loaded or none",
    ),
    may("agent_name", Text, "The agent"),
    may("agent_id", Text, "Its id"),
    may("provider", Text, "The provider"),
    may("model", Text, "The model"),
    may("session_id", Text, "The session"),
    may("user_id", Text, "The user"),
    may("team_id", Text, "The team"),
    may("project", Text, "The project"),
    may("cost_center", Text, "The cost centre"),
    may("workflow_name", Text, "The workflow"),
    may("environment", Text, "The environment"),
    may("op_kind", Text, "llm, embedding or rerank"),
    may("usage_input_tokens", Int64, "Input tokens"),
    may("usage_output_tokens", Int64, "Output tokens"),
    may("usage_cache_read_tokens", Int64, "Read from the cache"),
    may("usage_cache_write_tokens", Int64, "Written to the cache"),
    may(
        "usage_cache_write_1h_tokens",
        Int64,
        "Of those written, kept for an hour",
    ),
    may("usage_reasoning_tokens", Int64, "Of the output, reasoning"),
    may("cost_reported_usd", Money, "The sender's word"),
    may("cost_computed_usd", Money, "Usage at list price"),
    may("cost_usd", Money, "The one to use"),
    must(
        "cost_status",
        Text,
        "computed, reported, no_usage, invalid_usage or unpriced",
    ),
    may(
        "cost_disagrees",
        Bool,
        "Reported and computed differ by more than 2 %",
    ),
    may("price_ref", Text, "The price list and entry"),
    may("duration_ms", Float64, "How long the call took"),
    may("error_type", Text, "The error's type"),
    may(
        "flags",
        Texts,
        "What the report should know: conflict, twin_merged, cycle",
    ),
    may(
        "event_id",
        Text,
        "The telemetry event or log record that is booked; NULL for spans",
    ),
];
