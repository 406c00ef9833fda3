//! One audit record as a row.

use serde_json::Value;

use super::canonical::is_canonical;
use super::envelope::{Envelope, Record, sorted};
use crate::decode::Acceptance;
use crate::decode::instant::{Odd, put_time};
use crate::decode::table::{Cell, Table, as_money, as_text, digest_hex, first};

/// What the rows of a request share.
pub(super) struct Context<'c> {
    pub(super) envelope: &'c Envelope,
    pub(super) payload_hash: [u8; 32],
    pub(super) at: &'c Acceptance,
}

/// Text columns and where records of either product say it; the first that says something wins.
const TEXTS: &[(&str, &[&str])] = &[
    ("schema_version", &["schema_version"]),
    ("event_type", &["event_type", "type", "action"]),
    ("action", &["action", "event_type", "type"]),
    ("request_id", &["request_id"]),
    ("tenant_claimed", &["tenant_id"]),
    ("run_id", &["run_id"]),
    ("span_id", &["span_id"]),
    ("agent_id", &["agent_id"]),
    ("agent_name", &["agent_name", "agent"]),
    ("user_id", &["user_id", "identity_id"]),
    ("identity_id", &["identity_id"]),
    ("profile_id", &["profile_id"]),
    ("profile_revision", &["profile_revision"]),
    ("blueprint_id", &["blueprint_id"]),
    ("blueprint_revision", &["blueprint_revision"]),
    (
        "tool_name",
        &["tool", "tool_name", "details.tool", "details.tool_name"],
    ),
    ("mcp_server", &["upstream", "server", "details.server"]),
    ("upstream", &["upstream"]),
    ("jsonrpc_id", &["message_id"]),
    ("skill_name", &["skill", "skill_name", "details.skill"]),
    ("model_request", &["model"]),
    ("data_action", &["data_action"]),
    ("policy_source", &["policy_source"]),
    ("rule_id", &["policy_id"]),
    ("reason", &["reason_code", "reason"]),
    ("severity", &["severity"]),
    ("detector", &["detector"]),
    ("message", &["message"]),
    ("request_hash", &["payload_sha256"]),
    ("prev_hash", &["prev_hash"]),
    ("record_hash", &["record_hash"]),
    ("record_hash_alg", &["record_hash_algorithm"]),
    ("signature", &["signature"]),
    ("signer_key_id", &["signer_key_id"]),
];

/// Where a record says what was decided.
const DECISIONS: &[&str] = &["policy", "decision", "last_decision"];

/// Where a record says when it happened.
const TIMES: &[&str] = &["ts", "event_timestamp", "timestamp", "time"];

/// Adds an alert, and gives its id.
pub(super) fn push_alert(
    table: &mut Table,
    record: &Record,
    place: usize,
    context: &Context<'_>,
) -> String {
    let (source_kind, kind) = classify(record);
    push(table, record, place, context, [source_kind, kind])
}

/// Adds the summary, and gives its id.
pub(super) fn push_summary(
    table: &mut Table,
    record: &Record,
    place: usize,
    context: &Context<'_>,
) -> String {
    push(
        table,
        record,
        place,
        context,
        ["agent_bom_proxy", "summary"],
    )
}

/// Whose format a record has, and what kind of record it is.
fn classify(record: &Record) -> (&'static str, &'static str) {
    if is_canonical(record) {
        let kind = match record.value.get("event_type").and_then(Value::as_str) {
            Some("gateway.tool_call.allowed" | "gateway.tool_call.blocked") => "tool_call",
            Some(_) | None => "policy_decision",
        };
        return ("agent_bom_gateway", kind);
    }
    let is_text = |name: &str| record.value.get(name).is_some_and(Value::is_string);
    let kind = match record.value.get("type").and_then(Value::as_str) {
        Some("tools/call") => "tool_call",
        Some("runtime_alert") => "alert",
        Some("proxy_summary" | "mcp_execution_posture") => "summary",
        Some("relay_error") => "relay_error",
        Some(_) | None if is_text("detector") => "alert",
        Some(_) | None => "other",
    };
    if is_text("schema_version") {
        ("agent_bom_gateway", kind)
    } else if kind == "other" && !is_text("record_hash_algorithm") && !is_text("policy") {
        ("other", kind)
    } else {
        ("agent_bom_proxy", kind)
    }
}

fn push(
    table: &mut Table,
    record: &Record,
    place: usize,
    context: &Context<'_>,
    [source_kind, record_kind]: [&'static str; 2],
) -> String {
    let value = &record.value;
    let event_id = event_id(value, place, context);
    table.set("event_id", Cell::Text(&event_id));
    table.set("source_id", Cell::Text(&context.envelope.source_id));
    table.set("source_kind", Cell::Text(source_kind));
    table.set("record_kind", Cell::Text(record_kind));
    table.text(
        "idempotency_key",
        context.envelope.idempotency_key.as_deref(),
    );
    for (column, paths) in TEXTS {
        table.json(column, first(value, paths));
    }
    let session = first(value, &["session_id"]).and_then(as_text);
    let session = session.unwrap_or_else(|| context.envelope.session_id.clone());
    table.set("session_id", Cell::Text(&session));
    let trace = first(value, &["trace_id"]).and_then(as_text);
    table.text("trace_id", trace.map(|id| lower_hex(&id)).as_deref());
    push_decision(table, value);
    push_chain(table, value, &context.envelope.source_id, &session);
    push_numbers(table, value);
    put_time(table, first(value, TIMES), Odd::NoOffset, context.at);
    table.set(
        "content_key",
        Cell::Text(&digest_hex(sorted(value).as_bytes())),
    );
    table.set("details", Cell::Text(&record.raw));
    table.end_row(context.at);
    event_id
}

/// The sender's id, else one that no other record of any other request has.
fn event_id(value: &Value, place: usize, context: &Context<'_>) -> String {
    let given = first(value, &["event_id", "record_hash"]).and_then(as_text);
    given.unwrap_or_else(|| {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        let mut whole = context.payload_hash.to_vec();
        whole.extend_from_slice(&place.to_le_bytes());
        digest_hex(&whole)
    })
}

/// Ids in hex are lower case everywhere; what is no hex stays as it is.
fn lower_hex(id: &str) -> String {
    if id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        id.to_ascii_lowercase()
    } else {
        id.to_owned()
    }
}

fn push_decision(table: &mut Table, value: &Value) {
    let raw = first(value, DECISIONS).and_then(as_text);
    let action = first(value, &["data_action"]).and_then(as_text);
    let kind = first(value, &["event_type"]).and_then(as_text);
    // Redacting wins: senders say "allow" beside it, but what went through is not what was sent.
    let redacted =
        kind.is_some_and(|kind| kind.ends_with("_redacted") || kind.ends_with(".redacted"));
    let mapped = action.as_deref().and_then(decision);
    let mapped = mapped.or_else(|| raw.as_deref().and_then(decision));
    table.text("decision", if redacted { Some("modify") } else { mapped });
    table.text("decision_raw", raw.as_deref());
    table.texts("policy_ids", first(value, &["policy_ids"]));
    if let Some(Value::Bool(dry_run)) = value.get("dry_run") {
        table.set("dry_run", Cell::Bool(*dry_run));
    }
}

fn decision(raw: &str) -> Option<&'static str> {
    match raw.to_ascii_lowercase().as_str() {
        "allowed" | "allow" | "true" | "success" => Some("allow"),
        "blocked" | "block" | "deny" | "denied" => Some("deny"),
        "redact" | "redacted" | "mask" | "modify" => Some("modify"),
        "require_approval" | "pending" => Some("pending"),
        "warn" | "warned" => Some("warn"),
        "shadow" | "shadow_deny" => Some("shadow_deny"),
        "error" => Some("error"),
        _ => None,
    }
}

fn push_chain(table: &mut Table, value: &Value, source: &str, session: &str) {
    if first(value, &["payload_sha256"]).is_some() {
        table.set("hash_alg", Cell::Text("sha256"));
    }
    if first(value, &["record_hash"]).is_some() {
        table.set("chain_id", Cell::Text(&format!("{source}/{session}")));
        table.set("chain_status", Cell::Text("unverified"));
        table.integer("chain_seq", first(value, &["seq"]));
    }
}

fn push_numbers(table: &mut Table, value: &Value) {
    let severity = first(value, &["severity"]).and_then(as_text);
    let severity_id = severity.and_then(|text| match text.to_ascii_lowercase().as_str() {
        "info" | "informational" => Some(1),
        "low" => Some(2),
        "medium" => Some(3),
        "high" => Some(4),
        "critical" => Some(5),
        "fatal" => Some(6),
        _ => None,
    });
    if let Some(id) = severity_id {
        table.set("severity_id", Cell::Int32(id));
    }
    let latency = first(value, &["latency_ms", "duration_ms"]).and_then(Value::as_f64);
    if let Some(latency) = latency {
        table.set("duration_ms", Cell::Float64(latency));
    }
    let risk = first(value, &["risk_score"]).and_then(Value::as_f64);
    if let Some(risk) = risk {
        table.set("risk_score", Cell::Float64(risk));
    }
    if let Some(cost) = first(value, &["cost_usd"]).and_then(as_money) {
        table.set("cost_reported_usd", Cell::Money(cost));
    }
}
