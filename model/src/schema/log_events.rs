//! Log records that tell of calls of models: one row a record.

use super::ColumnType::*;
use super::{Column, may, must};

/// Between `tenant_id` and `part_date`. Columns that spans have too mean the same here.
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
    // Canonical, from every known convention.
    may("dialect", Text, "The convention that the record follows"),
    may("op_name", Text, "The operation, as sent"),
    may("op_kind", Text, "As for spans"),
    may("provider_raw", Text, "The provider, as sent"),
    may("provider", Text, "The provider under one name"),
    may("model_request", Text, "The model asked for"),
    may("model_response", Text, "The model that answered"),
    may(
        "model",
        Text,
        "The model that answered, else the one asked for",
    ),
    may("response_id", Text, "The provider's id of the answer"),
    may("finish_reasons", Texts, "Why generation ended"),
    may("service_tier", Text, "The price tier of the call"),
    may(
        "usage_input_tokens",
        Int64,
        "Input tokens, cached ones included",
    ),
    may(
        "usage_output_tokens",
        Int64,
        "Output tokens, reasoning included",
    ),
    may(
        "usage_cache_read_tokens",
        Int64,
        "Of the input, read from the cache",
    ),
    may(
        "usage_cache_write_tokens",
        Int64,
        "Of the input, written to the cache",
    ),
    may(
        "usage_cache_write_1h_tokens",
        Int64,
        "Of those written, kept for an hour",
    ),
    may("usage_reasoning_tokens", Int64, "Of the output, reasoning"),
    may("usage_flags", Texts, "As for spans"),
    may("agent_name", Text, "The agent"),
    may("agent_id", Text, "Its id"),
    may("workflow_name", Text, "The workflow"),
    may("session_id", Text, "The session"),
    may("conversation_id", Text, "The conversation"),
    may("user_id", Text, "The end user"),
    may("team_id", Text, "The team or organisation"),
    may("project", Text, "The project"),
    may("cost_center", Text, "The cost centre"),
    may("environment", Text, "The deployment environment"),
    may("prompt_name", Text, "The prompt template"),
    may("tool_name", Text, "The tool"),
    may("tool_call_id", Text, "The call's id"),
    may("skill_name", Text, "The skill, where the record names it"),
    may("skill_version", Text, "Its version"),
    may(
        "skill_source",
        Text,
        "How the record names the skill: direct, metadata, tool_args or resource",
    ),
    may("error_type", Text, "The error's type"),
    may(
        "tenant_claimed",
        Text,
        "A tenant named in the data; never trusted",
    ),
    // Cost.
    may("cost_reported_usd", Money, "The sender's word"),
    may(
        "cost_computed_usd",
        Money,
        "Usage at list price at the record's time",
    ),
    may(
        "cost_usd",
        Money,
        "The one to use: reported, else computed, unless configured otherwise",
    ),
    may(
        "cost_status",
        Text,
        "computed, reported, no_usage, invalid_usage or unpriced; NULL for what is no call",
    ),
    may(
        "cost_disagrees",
        Bool,
        "Reported and computed differ by more than 2 %",
    ),
    may(
        "price_ref",
        Text,
        "The price list and the entry that computed the cost",
    ),
];
