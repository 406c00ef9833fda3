//! Spans as OTLP again: what decoding keeps of a span, put back into the protocol's messages.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, MapArray, RecordBatch, StructArray};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue as WireValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use weir_ingest::decode::attributes::{self, AnyValue};
use weir_sinks::outbound::{OtlpCodec, OutboundError};

/// The messages of OTLP traces.
pub(super) const CODEC: OtlpCodec = OtlpCodec { encode, rejected };

/// Rows that are not what decoding makes: a defect of weir.
#[derive(Debug, thiserror::Error)]
#[error("the column `{0}` of a span does not read back")]
struct Unreadable(&'static str);

impl From<Unreadable> for OutboundError {
    fn from(source: Unreadable) -> Self {
        Self::Encode {
            source: Box::new(source),
        }
    }
}

fn encode(rows: &RecordBatch) -> Result<Vec<u8>, OutboundError> {
    Ok(request(rows)?.encode_to_vec())
}

/// Spans that were refused, as an answer says; one that is no message says of none.
fn rejected(answer: &[u8]) -> i64 {
    let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
    answer
        .partial_success
        .map_or(0, |partial| partial.rejected_spans)
}

/// Consecutive rows of one resource and scope share the messages around them.
fn request(rows: &RecordBatch) -> Result<ExportTraceServiceRequest, Unreadable> {
    let row = Columns(rows);
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    for at in 0..rows.num_rows() {
        let of = ResourceSpans {
            resource: Some(Resource {
                attributes: row.attributes(
                    "resource_attributes",
                    "resource_attribute_types",
                    at,
                )?,
                dropped_attributes_count: row.count("resource_dropped_attributes_count", at),
                ..Resource::default()
            }),
            scope_spans: Vec::new(),
            schema_url: row.text("resource_schema_url", at),
        };
        let within = ScopeSpans {
            scope: Some(InstrumentationScope {
                name: row.text("scope_name", at),
                version: row.text("scope_version", at),
                attributes: row.attributes("scope_attributes", "scope_attribute_types", at)?,
                dropped_attributes_count: row.count("scope_dropped_attributes_count", at),
            }),
            spans: Vec::new(),
            schema_url: row.text("scope_schema_url", at),
        };
        let span = row.span(at)?;
        let known = resource_spans
            .last_mut()
            .filter(|last| last.resource == of.resource && last.schema_url == of.schema_url);
        let around = match known {
            Some(known) => known,
            None => resource_spans.push_mut(of),
        };
        let known = around
            .scope_spans
            .last_mut()
            .filter(|last| last.scope == within.scope && last.schema_url == within.schema_url);
        match known {
            Some(known) => known.spans.push(span),
            None => around.scope_spans.push_mut(within).spans.push(span),
        }
    }
    Ok(ExportTraceServiceRequest { resource_spans })
}

/// Reads columns by name; what is NULL or absent is the protocol's zero.
#[derive(Clone, Copy)]
struct Columns<'a>(&'a RecordBatch);

impl<'a> Columns<'a> {
    fn column(self, name: &str) -> Option<&'a dyn Array> {
        Some(self.0.column_by_name(name)?.as_ref())
    }

    fn text(self, name: &str, at: usize) -> String {
        text_of(self.column(name), at)
    }

    fn count(self, name: &str, at: usize) -> u32 {
        count_of(self.column(name), at)
    }

    fn attributes(
        self,
        name: &'static str,
        types: &'static str,
        at: usize,
    ) -> Result<Vec<KeyValue>, Unreadable> {
        let values = self.column(name).and_then(|c| c.as_map_opt());
        let types = self.column(types).and_then(|c| c.as_map_opt());
        key_values(values, types, at).ok_or(Unreadable(name))
    }

    /// A time in nanoseconds, also one beyond 64 signed bits.
    fn time(self, name: &str, flag: &str, at: usize) -> u64 {
        let nanos = self
            .column(name)
            .and_then(|c| c.as_primitive_opt::<Int64Type>());
        if let Some(nanos) = nanos.filter(|nanos| nanos.is_valid(at)) {
            return u64::try_from(nanos.value(at)).unwrap_or(0);
        }
        let flags = self
            .column("time_flags")
            .and_then(|c| c.as_list_opt::<i32>());
        let Some(flags) = flags.filter(|flags| flags.is_valid(at)) else {
            return 0;
        };
        let flags = flags.value(at);
        let Some(flags) = flags.as_string_opt::<i32>() else {
            return 0;
        };
        let found = flags
            .iter()
            .flatten()
            .find_map(|text| text.strip_prefix(flag));
        found.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    fn span(self, at: usize) -> Result<Span, Unreadable> {
        let kinds = [
            "unspecified",
            "internal",
            "server",
            "client",
            "producer",
            "consumer",
        ];
        let codes = ["unset", "ok", "error"];
        let id = |name: &'static str| hex(&self.text(name, at)).ok_or(Unreadable(name));
        Ok(Span {
            trace_id: id("trace_id")?,
            span_id: id("span_id")?,
            trace_state: self.text("trace_state", at),
            parent_span_id: id("parent_span_id")?,
            flags: self.count("flags", at),
            name: self.text("name", at),
            kind: named(&kinds, &self.text("kind", at)),
            start_time_unix_nano: self.time("start_time_unix_nano", "start_overflow=", at),
            end_time_unix_nano: self.time("end_time_unix_nano", "end_overflow=", at),
            attributes: self.attributes("attributes", "attribute_types", at)?,
            dropped_attributes_count: self.count("dropped_attributes_count", at),
            events: self.events(at).ok_or(Unreadable("events"))?,
            dropped_events_count: self.count("dropped_events_count", at),
            links: self.links(at).ok_or(Unreadable("links"))?,
            dropped_links_count: self.count("dropped_links_count", at),
            status: Some(Status {
                message: self.text("status_message", at),
                code: named(&codes, &self.text("status_code", at)),
            }),
        })
    }

    /// The structs of a list column; none where it is NULL.
    fn structs(self, name: &str, at: usize) -> Option<StructArray> {
        let list = self.column(name)?.as_list_opt::<i32>()?;
        let items = if list.is_valid(at) {
            list.value(at)
        } else {
            list.values().slice(0, 0)
        };
        items.as_struct_opt().cloned()
    }

    fn events(self, at: usize) -> Option<Vec<Event>> {
        let items = self.structs("events", at)?;
        let member = |name: &str| items.column_by_name(name).map(|c| c.as_ref());
        let times = member("time_unix_nano").and_then(|c| c.as_primitive_opt::<Int64Type>())?;
        let event = |item: usize| {
            let values = member("attributes").and_then(|c| c.as_map_opt());
            let types = member("attribute_types").and_then(|c| c.as_map_opt());
            let overflow = text_of(member("time_flag"), item);
            let overflow = overflow
                .rsplit('=')
                .next()
                .and_then(|digits| digits.parse().ok());
            let nanos = times
                .is_valid(item)
                .then(|| u64::try_from(times.value(item)).ok());
            Some(Event {
                time_unix_nano: nanos.flatten().or(overflow).unwrap_or(0),
                name: text_of(member("name"), item),
                attributes: key_values(values, types, item)?,
                dropped_attributes_count: count_of(member("dropped_attributes_count"), item),
            })
        };
        (0..items.len()).map(event).collect()
    }

    fn links(self, at: usize) -> Option<Vec<Link>> {
        let items = self.structs("links", at)?;
        let member = |name: &str| items.column_by_name(name).map(|c| c.as_ref());
        let link = |item: usize| {
            let values = member("attributes").and_then(|c| c.as_map_opt());
            let types = member("attribute_types").and_then(|c| c.as_map_opt());
            Some(Link {
                trace_id: hex(&text_of(member("trace_id"), item))?,
                span_id: hex(&text_of(member("span_id"), item))?,
                trace_state: text_of(member("trace_state"), item),
                attributes: key_values(values, types, item)?,
                dropped_attributes_count: count_of(member("dropped_attributes_count"), item),
                flags: count_of(member("flags"), item),
            })
        };
        (0..items.len()).map(link).collect()
    }
}

fn text_of(column: Option<&dyn Array>, at: usize) -> String {
    let texts = column.and_then(|c| c.as_string_opt::<i32>());
    let text = texts
        .filter(|texts| texts.is_valid(at))
        .map(|texts| texts.value(at));
    text.unwrap_or_default().to_owned()
}

fn count_of(column: Option<&dyn Array>, at: usize) -> u32 {
    let counts = column.and_then(|c| c.as_primitive_opt::<Int64Type>());
    let count = counts
        .filter(|counts| counts.is_valid(at))
        .map(|counts| counts.value(at));
    count
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(0)
}

/// The number that a word stands for, or that is written as digits.
fn named(words: &[&str], text: &str) -> i32 {
    let known = words.iter().position(|word| *word == text);
    let known = known.and_then(|at| i32::try_from(at).ok());
    known.or_else(|| text.parse().ok()).unwrap_or(0)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect()
}

/// The attributes of one row: texts by key, and the types of those that are no text.
fn key_values(
    values: Option<&MapArray>,
    types: Option<&MapArray>,
    at: usize,
) -> Option<Vec<KeyValue>> {
    let Some(values) = values.filter(|values| values.is_valid(at)) else {
        return Some(Vec::new());
    };
    let types = types
        .filter(|types| types.is_valid(at))
        .map(|types| types.value(at));
    let kinds = types.as_ref().and_then(pairs).unwrap_or_default();
    let values = values.value(at);
    let wire = |(key, text): (&str, Option<&str>)| {
        let kind = kinds
            .iter()
            .find(|(of, _)| *of == key)
            .and_then(|(_, kind)| *kind);
        let value = attributes::any_value(text, kind).ok()?;
        Some(KeyValue {
            key: key.to_owned(),
            value: wire_value(value),
            ..KeyValue::default()
        })
    };
    pairs(&values)?.into_iter().map(wire).collect()
}

/// The keys and values of one map.
fn pairs(map: &StructArray) -> Option<Vec<(&str, Option<&str>)>> {
    let keys = map.column_by_name("key")?.as_string_opt::<i32>()?;
    let values = map.column_by_name("value")?.as_string_opt::<i32>()?;
    let keys = keys.iter().map(Option::unwrap_or_default);
    Some(keys.zip(values.iter()).collect())
}

fn wire_value(value: AnyValue) -> Option<WireValue> {
    let value = match value {
        AnyValue::Unset => return None,
        AnyValue::Text(text) => any_value::Value::StringValue(text),
        AnyValue::Bool(is) => any_value::Value::BoolValue(is),
        AnyValue::Int(number) => any_value::Value::IntValue(number),
        AnyValue::Double(number) => any_value::Value::DoubleValue(number),
        AnyValue::Bytes(bytes) => any_value::Value::BytesValue(bytes),
        AnyValue::Array(items) => any_value::Value::ArrayValue(ArrayValue {
            values: items
                .into_iter()
                .map(|item| wire_value(item).unwrap_or_default())
                .collect(),
        }),
        AnyValue::KvList(pairs) => any_value::Value::KvlistValue(KeyValueList {
            values: pairs
                .into_iter()
                .map(|(key, value)| KeyValue {
                    key,
                    value: wire_value(value),
                    ..KeyValue::default()
                })
                .collect(),
        }),
    };
    Some(WireValue { value: Some(value) })
}
