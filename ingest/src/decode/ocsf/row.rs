//! One event as a row.

use serde_json::Value;

use super::Gathered;
use super::envelope::Found;
use super::judge::Judged;
use crate::decode::instant::{Odd, put_time};
use crate::decode::table::{Cell, Table, as_integer, as_money, as_text, digest_hex, first};

/// Text columns and where an event says it; the first that says something wins.
const TEXTS: &[(&str, &[&str])] = &[
    ("class_name", &["class_name"]),
    ("category_name", &["category_name"]),
    ("activity_name", &["activity_name"]),
    ("severity", &["severity"]),
    ("status", &["status"]),
    ("status_detail", &["status_detail"]),
    ("message", &["message"]),
    ("metadata_version", &["metadata.version"]),
    ("metadata_uid", &["metadata.uid"]),
    ("log_name", &["metadata.log_name"]),
    ("product_name", &["metadata.product.name"]),
    ("product_vendor", &["metadata.product.vendor_name"]),
    ("product_version", &["metadata.product.version"]),
    ("tenant_claimed", &["metadata.tenant_uid"]),
    ("actor_user_uid", &["actor.user.uid", "user.uid"]),
    ("actor_user_name", &["actor.user.name", "user.name"]),
    ("actor_app_name", &["actor.app_name"]),
    ("session_uid", &["actor.session.uid", "session.uid"]),
    ("src_ip", &["src_endpoint.ip"]),
    (
        "src_hostname",
        &["src_endpoint.hostname", "src_endpoint.name"],
    ),
    ("dst_ip", &["dst_endpoint.ip"]),
    (
        "dst_hostname",
        &["dst_endpoint.hostname", "dst_endpoint.name"],
    ),
    ("api_operation", &["api.operation"]),
    ("api_service", &["api.service.name"]),
    ("finding_uid", &["finding_info.uid", "finding.uid"]),
    ("finding_title", &["finding_info.title", "finding.title"]),
    ("policy_uid", &["policy.uid"]),
    ("ai_model_name", &["ai_model.name"]),
    ("ai_provider", &["ai_model.ai_provider"]),
    ("ai_agent_uid", &["ai_agent.uid"]),
    ("ai_agent_name", &["ai_agent.name"]),
    ("span_uid", &["trace.span.uid"]),
    ("skill_name", &["unmapped.skill", "unmapped.skill_name"]),
];

/// Integer columns and where an event says it.
const INTEGERS: &[(&str, &[&str])] = &[
    ("class_uid", &["class_uid"]),
    ("category_uid", &["category_uid"]),
    ("activity_id", &["activity_id"]),
    ("severity_id", &["severity_id"]),
    ("status_id", &["status_id"]),
    ("action_id", &["action_id"]),
    ("disposition_id", &["disposition_id"]),
    ("http_status", &["http_response.code", "api.response.code"]),
    ("prompt_tokens", &["message_context.prompt_tokens"]),
    ("completion_tokens", &["message_context.completion_tokens"]),
];

/// Where an event names its source.
const SOURCES: &[&str] = &[
    "metadata.product.name",
    "metadata.product.vendor_name",
    "metadata.log_name",
];

/// Adds an event that is taken; its columns are read as its schema wants them, `raw` is as sent.
pub(super) fn push(gathered: &mut Gathered<'_>, found: &Found<'_>, event: &Value, judged: &Judged) {
    let class = first(event, &["class_uid"]).and_then(as_text);
    let class = class.unwrap_or_else(|| "unknown".to_owned());
    *gathered.class_counts.entry(class).or_insert(0) += 1;
    let source = first(event, SOURCES)
        .or(found.source.as_ref())
        .and_then(as_text);
    gathered.sources.extend(source.clone());
    let uid = event_uid(gathered, event, found.raw);
    let at = gathered.at;
    let table = &mut gathered.table;
    table.set("event_uid", Cell::Text(&uid));
    table.text("source_id", source.as_deref());
    for (column, paths) in TEXTS {
        table.json(column, first(event, paths));
    }
    for (column, paths) in INTEGERS {
        table.integer(column, first(event, paths));
    }
    push_type(table, event);
    push_lists(table, event);
    put_time(table, judged.time.as_ref(), Odd::Text, at);
    if let Some(cost) = first(event, &["unmapped.cost_usd"]).and_then(as_money) {
        table.set("cost_reported_usd", Cell::Money(cost));
    }
    table.text("trace_uid", trace_uid(event).as_deref());
    table.set("envelope", Cell::Text(found.envelope));
    let report = &judged.report;
    table.set("validation_status", Cell::Text(report.status().as_str()));
    let codes = report.codes.iter().map(|code| code.as_str().to_owned());
    table.set("validation_codes", Cell::Texts(codes.collect()));
    table.set("raw", Cell::Text(found.raw));
    table.end_row(at);
}

/// The event's own id, else one of its whole content; equal events of one request count up.
fn event_uid(gathered: &mut Gathered<'_>, event: &Value, raw: &str) -> String {
    let given = first(event, &["metadata.uid", "finding_info.uid"]).and_then(as_text);
    given.unwrap_or_else(|| {
        let digest = *blake3::hash(raw.as_bytes()).as_bytes();
        let repeat = gathered.repeats.entry(digest).or_insert(0);
        *repeat += 1;
        let mut whole = digest.to_vec();
        whole.extend_from_slice(&repeat.to_le_bytes());
        digest_hex(&whole)
    })
}

/// The type as class and activity give it, else as sent.
fn push_type(table: &mut Table, event: &Value) {
    let number = |path: &str| first(event, &[path]).and_then(as_integer);
    let computed = || {
        number("class_uid")?
            .checked_mul(100)?
            .checked_add(number("activity_id")?)
    };
    if let Some(type_uid) = computed().or_else(|| number("type_uid")) {
        table.set("type_uid", Cell::Int64(type_uid));
    }
}

fn push_lists(table: &mut Table, event: &Value) {
    table.texts("profiles", first(event, &["metadata.profiles"]));
    table.texts(
        "finding_types",
        first(event, &["finding_info.types", "finding.types"]),
    );
    let resources = match first(event, &["resources", "resource"]) {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let name = |resource: &&Value| {
        let named = first(resource, &["name"]).and_then(as_text);
        named.or_else(|| resource.as_str().map(str::to_owned))
    };
    let names: Vec<String> = resources.iter().filter_map(name).collect();
    table.set("resource_names", Cell::Texts(names));
}

/// The trace, from the trace profile, else from an observable that names one.
fn trace_uid(event: &Value) -> Option<String> {
    if let Some(uid) = first(event, &["trace.uid"]).and_then(as_text) {
        return Some(uid);
    }
    let observables = event.get("observables")?.as_array()?;
    observables.iter().find_map(|observable| {
        let named = observable.get("name").and_then(Value::as_str);
        let value = match named {
            Some("trace.uid" | "trace_id" | "trace_uid") => observable.get("value"),
            Some(_) | None => None,
        };
        observable.get("trace_id").or(value).and_then(as_text)
    })
}
