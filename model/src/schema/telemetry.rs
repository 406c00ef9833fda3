//! Telemetry events that carry their own cost: one row an event.

use super::ColumnType::*;
use super::{Column, may, must};

/// Between `tenant_id` and `part_date`; those that spans have too follow.
pub(super) const COLUMNS: &[Column] = &[
    must(
        "event_id",
        Text,
        "The id that the sender was told: a UUID made of the event's content, the same whenever \
         the same event is sent",
    ),
    may(
        "event_time",
        Time,
        "When it happened, by the sender (ts); NULL where not said or not readable",
    ),
    may("event_time_unix_nano", Int64, "The same in nanoseconds"),
    may("time_flags", Texts, "What is odd about the time"),
    may(
        "tenant_claimed",
        Text,
        "A tenant named in the event; never trusted",
    ),
    may("skill_name", Text, "The skill (skill_id)"),
    may("skill_version", Text, "Its version"),
    may("archetype_id", Text, "The role that the user works in"),
    may("user_id", Text, "The user"),
    may("provider_raw", Text, "The platform, as sent (llm_platform)"),
    may("provider", Text, "The provider under one name"),
    may("model", Text, "The model (llm_model)"),
    may("success", Bool, "Whether the call succeeded"),
    may("duration_ms", Float64, "How long it took (latency_ms)"),
    may("usage_input_tokens", Int64, "Input tokens (tokens_in)"),
    may("usage_output_tokens", Int64, "Output tokens (tokens_out)"),
    may(
        "cost_reported_usd",
        Money,
        "The sender's word (cost_usd_estimate), by its digits",
    ),
    may("error_type", Text, "The error (error_code)"),
    may(
        "flags",
        Texts,
        "Fields that hold what cannot be, and are NULL here: cost_invalid, tokens_invalid, \
         latency_invalid, success_invalid",
    ),
    must("raw", Text, "The event as it was sent"),
];

/// Columns that spans have too, and that mean the same here.
pub(super) const OF_SPANS: &[&str] = &[
    "cost_computed_usd",
    "cost_usd",
    "cost_status",
    "cost_disagrees",
    "price_ref",
];
