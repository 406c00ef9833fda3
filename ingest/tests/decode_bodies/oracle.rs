//! What the rows should be, from `prost`'s own structs; and every captured body against it.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue as ProtoValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use weir_ingest::decode::attributes::AnyValue;

use super::rows::{Attributes, EventRow, LinkRow, SpanRow, spans};
use super::{files, json, protobuf};

fn count(value: u32) -> Option<i64> {
    Some(i64::from(value)).filter(|value| *value != 0)
}

fn non_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn time(nanos: u64) -> Option<i64> {
    i64::try_from(nanos).ok().filter(|nanos| *nanos != 0)
}

fn value(of: Option<&ProtoValue>) -> AnyValue {
    match of.and_then(|value| value.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => AnyValue::Unset,
        Some(Value::StringValue(text)) => AnyValue::Text(text.clone()),
        Some(Value::BoolValue(truth)) => AnyValue::Bool(*truth),
        Some(Value::IntValue(value)) => AnyValue::Int(*value),
        Some(Value::DoubleValue(value)) => AnyValue::Double(*value),
        Some(Value::BytesValue(bytes)) => AnyValue::Bytes(bytes.clone()),
        Some(Value::ArrayValue(array)) => {
            AnyValue::Array(array.values.iter().map(|item| value(Some(item))).collect())
        }
        Some(Value::KvlistValue(list)) => AnyValue::KvList(
            list.values
                .iter()
                .map(|entry| (entry.key.clone(), value(entry.value.as_ref())))
                .collect(),
        ),
    }
}

fn attributes(sent: &[KeyValue]) -> Attributes {
    let mut kept = Attributes::new();
    for attribute in sent {
        kept.retain(|(key, _)| *key != attribute.key);
        kept.push((attribute.key.clone(), value(attribute.value.as_ref())));
    }
    kept
}

fn is_sound(id: &[u8], length: usize) -> bool {
    id.len() == length && id.iter().any(|byte| *byte != 0)
}

const KINDS: [&str; 6] = [
    "unspecified",
    "internal",
    "server",
    "client",
    "producer",
    "consumer",
];

const CODES: [&str; 3] = ["unset", "ok", "error"];

fn named(names: &[&str], number: i32) -> String {
    let place = usize::try_from(number).ok();
    let name = place.and_then(|place| names.get(place).copied());
    name.map_or_else(|| number.to_string(), str::to_owned)
}

fn event(event: &Event) -> EventRow {
    EventRow {
        time: time(event.time_unix_nano),
        name: event.name.clone(),
        attributes: (
            attributes(&event.attributes),
            count(event.dropped_attributes_count),
        ),
    }
}

fn link(link: &Link) -> LinkRow {
    LinkRow {
        trace_id: non_empty(&hex::encode(&link.trace_id)),
        span_id: non_empty(&hex::encode(&link.span_id)),
        trace_state: non_empty(&link.trace_state),
        attributes: (
            attributes(&link.attributes),
            count(link.dropped_attributes_count),
        ),
        flags: count(link.flags),
    }
}

fn row(resource: &ResourceSpans, scope: &ScopeSpans, span: &Span) -> SpanRow {
    let of = resource.resource.clone().unwrap_or_default();
    let scope_of = scope.scope.clone().unwrap_or_default();
    let status = span.status.clone().unwrap_or_default();
    let resource_attributes = attributes(&of.attributes);
    let service = resource_attributes
        .iter()
        .find(|(key, _)| key == "service.name");
    let service_name = match service {
        Some((_, AnyValue::Text(name))) => non_empty(name),
        Some((_, AnyValue::Unset)) | None => None,
        Some(_) => Some("(not text)".to_owned()),
    };
    let parent = &span.parent_span_id;
    SpanRow {
        trace_id: hex::encode(&span.trace_id),
        span_id: hex::encode(&span.span_id),
        parent_span_id: parent
            .iter()
            .any(|byte| *byte != 0)
            .then(|| hex::encode(parent)),
        trace_state: non_empty(&span.trace_state),
        flags: count(span.flags),
        name: span.name.clone(),
        kind: named(&KINDS, span.kind),
        start_nanos: i64::try_from(span.start_time_unix_nano).ok(),
        end_nanos: time(span.end_time_unix_nano),
        status: (named(&CODES, status.code), non_empty(&status.message)),
        service_name,
        resource: (
            resource_attributes,
            count(of.dropped_attributes_count),
            non_empty(&resource.schema_url),
        ),
        scope: (
            attributes(&scope_of.attributes),
            count(scope_of.dropped_attributes_count),
            non_empty(&scope.schema_url),
        ),
        scope_name: (non_empty(&scope_of.name), non_empty(&scope_of.version)),
        attributes: (
            attributes(&span.attributes),
            count(span.dropped_attributes_count),
        ),
        events: span.events.iter().map(event).collect(),
        dropped_events: count(span.dropped_events_count),
        links: span.links.iter().map(link).collect(),
        dropped_links: count(span.dropped_links_count),
    }
}

/// The rows that a request should become, and how many of its spans should be refused.
pub(crate) fn expected(request: &ExportTraceServiceRequest) -> (Vec<SpanRow>, usize) {
    let mut rows = Vec::new();
    let mut refused = 0;
    for resource in &request.resource_spans {
        for scope in &resource.scope_spans {
            for span in &scope.spans {
                if is_sound(&span.trace_id, 16) && is_sound(&span.span_id, 8) {
                    rows.push(row(resource, scope, span));
                } else {
                    refused += 1;
                }
            }
        }
    }
    (rows, refused)
}

/// Rows as text, in which all NaNs are one and a service name that is no text is any.
pub(crate) fn shown(rows: &[SpanRow]) -> String {
    let mut rows = rows.to_vec();
    for row in &mut rows {
        let service = row.resource.0.iter().find(|(key, _)| key == "service.name");
        if service.is_some_and(|(_, value)| !matches!(value, AnyValue::Text(_))) {
            row.service_name = None;
        }
    }
    format!("{rows:#?}")
}

#[test]
fn captured_bodies_become_the_rows_that_prost_reads() {
    for path in files("otlp/captured", ".pb") {
        let body = std::fs::read(&path).unwrap();
        let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
        let (rows, _) = expected(&request);
        let decoded = protobuf(&body).unwrap();
        assert!(!rows.is_empty());
        assert_eq!(decoded.rejected_count, 0);
        assert_eq!(decoded.reason, None);
        assert_eq!(
            shown(&spans(&decoded.rows)),
            shown(&rows),
            "{}",
            path.display()
        );
    }
}

#[test]
fn captured_bodies_are_the_same_rows_in_json() {
    for path in files("otlp/captured", ".canonical.json") {
        let in_json = json(&std::fs::read(&path).unwrap()).unwrap();
        let binary = path.to_string_lossy().replace(".canonical.json", ".pb");
        let in_protobuf = protobuf(&std::fs::read(binary).unwrap()).unwrap();
        assert_eq!(
            shown(&spans(&in_json.rows)),
            shown(&spans(&in_protobuf.rows)),
            "{}",
            path.display()
        );
    }
}
