//! Log records that tell of calls of models: one row a record.

use super::ColumnType::*;
use super::{Column, may, must};

/// Between `tenant_id` and `part_date`; those that spans have too follow.
pub(super) const COLUMNS: &[Column] = &[
    must(
        "event_id",
        Text,
        "Hash of what was sent of this record, 32 hex digits",
    ),
    must(
        "event_name",
        Text,
        "The event: claude_code.api_request, or one of gen_ai",
    ),
    must(
        "is_call",
        Bool,
        "Whether it tells of one whole call of a model, which is booked",
    ),
    may(
        "event_time",
        Time,
        "When it happened, else when it was seen; NULL where neither is said",
    ),
    may("event_time_unix_nano", Int64, "The same in nanoseconds"),
    may(
        "observed_time_unix_nano",
        Int64,
        "When the sender's collector saw it",
    ),
    may(
        "time_flags",
        Texts,
        "What is odd about the times: missing, observed, overflow, part_date_received",
    ),
    may("severity_number", Int64, "1 to 24, by OTLP"),
    may("severity_text", Text, "The severity, as sent"),
    may("body", Text, "The body; what is no text as JSON"),
    may("trace_id", Text, "32 lower-case hex digits"),
    may("span_id", Text, "16 lower-case hex digits"),
    may("flags", Int64, "The record's 32-bit flags; NULL where zero"),
    may("service_name", Text, "Resource attribute service.name"),
    may(
        "resource_attributes",
        Attributes,
        "The resource's attributes by key",
    ),
    may(
        "resource_attribute_types",
        Attributes,
        "Type names of resource attributes that are not text",
    ),
    may("scope_name", Text, "The instrumentation scope"),
    may("scope_version", Text, "Its version"),
    may(
        "attributes",
        Attributes,
        "The record's attributes by key; a key sent twice keeps its last value",
    ),
    may(
        "attribute_types",
        Attributes,
        "Type names of attributes that are not text",
    ),
    may(
        "dropped_attributes_count",
        Int64,
        "As sent; NULL where zero",
    ),
    may(
        "decode_flags",
        Texts,
        "What was kept but is odd: duplicate_key, attributes_cut, value_cut, bad_trace_id, \
         bad_span_id",
    ),
    may("duration_ms", Float64, "How long the call took"),
];

/// Columns that spans have too, and that mean the same here: the canonical ones and the cost.
pub(super) const OF_SPANS: &[&str] = &[
    "dialect",
    "op_name",
    "op_kind",
    "provider_raw",
    "provider",
    "model_request",
    "model_response",
    "model",
    "response_id",
    "finish_reasons",
    "service_tier",
    "usage_input_tokens",
    "usage_output_tokens",
    "usage_cache_read_tokens",
    "usage_cache_write_tokens",
    "usage_cache_write_1h_tokens",
    "usage_reasoning_tokens",
    "usage_flags",
    "agent_name",
    "agent_id",
    "workflow_name",
    "session_id",
    "conversation_id",
    "user_id",
    "team_id",
    "project",
    "cost_center",
    "environment",
    "prompt_name",
    "tool_name",
    "tool_call_id",
    "skill_name",
    "skill_version",
    "skill_source",
    "error_type",
    "tenant_claimed",
    "cost_reported_usd",
    "cost_computed_usd",
    "cost_usd",
    "cost_status",
    "cost_disagrees",
    "price_ref",
];
