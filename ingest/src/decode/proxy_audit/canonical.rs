//! The strict rules of canonical gateway events.

use serde_json::{Map, Value};

use super::envelope::{Envelope, Record};
use crate::decode::instant::Instant;
use crate::decode::{Acceptance, DecodeError, Limits};

const EVENT: DecodeError = DecodeError::Contract("Invalid canonical gateway activity event");
const BATCH: DecodeError = DecodeError::Contract("Invalid canonical gateway activity batch");

/// How far in the future an event may claim to lie, in microseconds.
const FUTURE_MAX_US: i64 = 5 * 60 * 1_000_000;

/// The most policies that an event may name.
const POLICIES_MAX: usize = 200;

/// The canonical event types, each with the one decision that fits it.
const TYPES: [(&str, &str); 6] = [
    ("gateway.tool_call.allowed", "allow"),
    ("gateway.tool_call.blocked", "deny"),
    ("gateway.dlp.arguments_redacted", "allow"),
    ("gateway.dlp.result_redacted", "allow"),
    ("gateway.dlp.result_blocked", "deny"),
    ("gateway.visual.redacted", "allow"),
];

/// The texts of an event, each with its longest length in characters.
const TEXTS: [(&str, usize); 14] = [
    ("event_id", 200),
    ("decision_id", 200),
    ("tenant_id", 200),
    ("agent_id", 200),
    ("identity_id", 200),
    ("profile_id", 200),
    ("blueprint_id", 200),
    ("upstream", 200),
    ("tool", 200),
    ("policy_source", 120),
    ("reason_code", 200),
    ("trace_id", 200),
    ("data_action", 80),
    ("policy_id", 200),
];

/// The other members of an event.
const OTHERS: [&str; 9] = [
    "schema_version",
    "event_type",
    "event_timestamp",
    "profile_revision",
    "blueprint_revision",
    "policy_ids",
    "decision",
    "evidence_id",
    "development_mode",
];

/// Whether a record is a canonical event, by its type alone.
pub(super) fn is_canonical(record: &Record) -> bool {
    decision_of(&record.value).is_some()
}

fn decision_of(record: &Value) -> Option<&'static str> {
    let kind = record.get("event_type")?.as_str()?;
    let found = TYPES.iter().find(|(name, _)| *name == kind);
    found.map(|(_, decision)| *decision)
}

/// Checks all canonical events of a request, and counts them.
pub(super) fn check_all(
    envelope: &Envelope,
    at: &Acceptance,
    limits: &Limits,
) -> Result<usize, DecodeError> {
    let mut count = 0;
    for record in &envelope.alerts {
        let Some(decision) = decision_of(&record.value) else {
            continue;
        };
        count += 1;
        if count > limits.canonical_events_max {
            return Err(BATCH);
        }
        let members = record.value.as_object().ok_or(EVENT)?;
        if !is_sound(members, decision, at) {
            return Err(EVENT);
        }
    }
    Ok(count)
}

fn is_sound(members: &Map<String, Value>, decision: &str, at: &Acceptance) -> bool {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let known = members.keys().all(|name| {
        OTHERS.contains(&name.as_str()) || TEXTS.iter().any(|(text, _)| *text == name.as_str())
    });
    let event_id = text("event_id").map(str::trim).filter(|id| !id.is_empty());
    let own_decision_id = match text("decision_id").map(str::trim) {
        None | Some("") => true,
        given => given == event_id,
    };
    known
        && event_id.is_some()
        && own_decision_id
        && text("schema_version") == Some("gateway.runtime.event.v1")
        && text("decision") == Some(decision)
        && TEXTS
            .iter()
            .all(|(name, max)| is_text(members.get(*name), *max))
        && is_text(members.get("evidence_id"), 200)
        && is_revision(members.get("profile_revision"))
        && is_revision(members.get("blueprint_revision"))
        && are_policies(members.get("policy_ids"))
        && matches!(
            members.get("development_mode"),
            None | Some(Value::Null | Value::Bool(_))
        )
        && is_time(members.get("event_timestamp"), at)
}

fn is_text(value: Option<&Value>, chars_max: usize) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.trim().chars().count() <= chars_max,
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

fn is_revision(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(Value::Number(number)) => number.is_u64(),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => false,
    }
}

fn are_policies(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => {
            let named = |item: &Value| item.as_str().is_some_and(|text| !text.trim().is_empty());
            items.len() <= POLICIES_MAX
                && items
                    .iter()
                    .all(|item| named(item) && is_text(Some(item), 200))
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => false,
    }
}

/// A time with an offset, or a number since the epoch, at most five minutes ahead.
fn is_time(value: Option<&Value>, at: &Acceptance) -> bool {
    let latest = at.received_at_us.saturating_add(FUTURE_MAX_US);
    value
        .and_then(Instant::read)
        .is_some_and(|instant| instant.zoned && instant.micros() <= latest)
}
