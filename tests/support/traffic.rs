//! Rows that can be told by their number alone: each id, time and text follows from it, so that a
//! row that comes back can be checked without having kept it.

use std::sync::OnceLock;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::{Value, json};

use super::http::Answer;
use super::random::mix;

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    SpansProtobuf,
    SpansJson,
    Audit,
    Ocsf,
}

/// All kinds.
pub(crate) const KINDS: [Kind; 4] = [
    Kind::SpansProtobuf,
    Kind::SpansJson,
    Kind::Audit,
    Kind::Ocsf,
];

/// A table, and the columns that hold a row's number and text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) id: &'static str,
    pub(crate) text: &'static str,
}

pub(crate) const SPANS: Table = Table {
    name: "spans",
    id: "trace_id",
    text: "name",
};
pub(crate) const AUDIT: Table = Table {
    name: "proxy_audit",
    id: "event_id",
    text: "message",
};
pub(crate) const OCSF: Table = Table {
    name: "ocsf_events",
    id: "event_uid",
    text: "message",
};
pub(crate) const TABLES: [Table; 3] = [SPANS, AUDIT, OCSF];

impl Kind {
    pub(crate) fn table(self) -> Table {
        match self {
            Self::SpansProtobuf | Self::SpansJson => SPANS,
            Self::Audit => AUDIT,
            Self::Ocsf => OCSF,
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::SpansProtobuf | Self::SpansJson => "/v1/traces",
            Self::Audit => "/v1/proxy/audit",
            Self::Ocsf => "/v1/ocsf/ingest",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::SpansProtobuf => "application/x-protobuf",
            Self::SpansJson | Self::Audit | Self::Ocsf => "application/json",
        }
    }

    /// The request that carries rows `first..first + count`.
    pub(crate) fn body(self, first: u64, count: u64) -> Vec<u8> {
        let numbers = first..first + count;
        match self {
            Self::SpansProtobuf => spans_protobuf(numbers).encode_to_vec(),
            Self::SpansJson => spans_json(numbers).to_string().into_bytes(),
            Self::Audit => {
                let alerts: Vec<Value> = numbers.map(audit_event).collect();
                json!({"source_id": "oracle", "session_id": "s", "alerts": alerts})
                    .to_string()
                    .into_bytes()
            }
            Self::Ocsf => Value::Array(numbers.map(ocsf_event).collect())
                .to_string()
                .into_bytes(),
        }
    }

    /// Whether an answer says that all `count` rows were taken.
    pub(crate) fn took_all(self, answer: &Answer, count: u64) -> bool {
        match self {
            Self::SpansProtobuf => ExportTraceServiceResponse::decode(answer.body.as_slice())
                .is_ok_and(|response| {
                    let partial = response.partial_success;
                    partial.is_none_or(|partial| partial.rejected_spans == 0)
                }),
            Self::SpansJson => {
                let rejected = &answer.json()["partialSuccess"]["rejectedSpans"];
                rejected.is_null() || rejected == 0 || rejected == "0"
            }
            Self::Audit => answer.json()["accepted_alert_count"] == count,
            Self::Ocsf => answer.json()["ingested"] == count,
        }
    }
}

/// The id of row `number` in its table.
pub(crate) fn id_of(number: u64) -> String {
    format!("{:016x}{number:016x}", mix(7))
}

/// The number behind an id; `None` where the oracle never made such an id.
pub(crate) fn number_of(id: &str) -> Option<u64> {
    let number = u64::from_str_radix(id.get(16..)?, 16).ok()?;
    (id_of(number) == id).then_some(number)
}

/// The text of row `number`: 16 to 208 characters that follow from it.
pub(crate) fn text_of(number: u64) -> String {
    let parts = 1 + mix(number) % 13;
    (0..parts)
        .map(|part| format!("{:016x}", mix(number.wrapping_mul(31).wrapping_add(part))))
        .collect()
}

/// An hour before this process began, and a microsecond more for each row: inside the window in
/// which the event's own date decides the partition.
fn time_of(number: u64) -> u64 {
    static BASE: OnceLock<u64> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let seconds = chrono::Utc::now().timestamp() - 3_600;
        u64::try_from(seconds).unwrap() * 1_000_000_000
    });
    base + number * 1_000
}

fn text_value(key: &str, text: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(text)),
        }),
        ..KeyValue::default()
    }
}

/// The request of which [`Kind::SpansProtobuf`] is the encoding.
pub(crate) fn spans_protobuf(numbers: std::ops::Range<u64>) -> ExportTraceServiceRequest {
    let spans = numbers
        .map(|number| Span {
            trace_id: hex::decode(id_of(number)).unwrap(),
            span_id: mix(number).max(1).to_be_bytes().to_vec(),
            name: text_of(number),
            kind: 3,
            start_time_unix_nano: time_of(number),
            end_time_unix_nano: time_of(number) + 1_000_000,
            attributes: vec![text_value("oracle.text", text_of(number))],
            ..Span::default()
        })
        .collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![text_value("service.name", "oracle".to_owned())],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn spans_json(numbers: std::ops::Range<u64>) -> Value {
    let spans: Vec<Value> = numbers
        .map(|number| {
            json!({
                "traceId": id_of(number),
                "spanId": format!("{:016x}", mix(number).max(1)),
                "name": text_of(number),
                "kind": 3,
                "startTimeUnixNano": time_of(number).to_string(),
                "endTimeUnixNano": (time_of(number) + 1_000_000).to_string(),
                "attributes": [
                    {"key": "oracle.text", "value": {"stringValue": text_of(number)}}
                ],
            })
        })
        .collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "oracle"}}
        ]},
        "scopeSpans": [{"spans": spans}],
    }]})
}

fn audit_event(number: u64) -> Value {
    json!({
        "event_id": id_of(number),
        "ts": time_of(number) / 1_000_000_000,
        "type": "oracle",
        "detector": "oracle",
        "severity": "low",
        "message": text_of(number),
    })
}

fn ocsf_event(number: u64) -> Value {
    json!({
        "class_uid": 6003,
        "category_uid": 6,
        "activity_id": 1,
        "type_uid": 600_301,
        "severity_id": 1,
        "time": time_of(number) / 1_000_000,
        "message": text_of(number),
        "metadata": {
            "uid": id_of(number),
            "version": "1.5.0",
            "product": {"name": "oracle", "vendor_name": "weir"},
        },
    })
}
