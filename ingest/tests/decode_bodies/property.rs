//! Laws that hold for every request, and for every body that is none.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use weir_ingest::decode::otlp::{
    OtlpEncoding, TraceBody, count_spans, decode_together, decode_traces,
};
use weir_ingest::decode::{Acceptance, Limits, ocsf, proxy_audit};
use weir_model::TenantId;

use super::oracle::{expected, shown};
use super::rows::spans;
use super::{at, files, json, protobuf};

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("service.name".to_owned()),
        "gen_ai\\.[a-c]{1,2}",
        "\\$(bytes|double|kvlist|x)",
        "\\PC{0,6}",
    ]
}

fn double(finite: bool) -> impl Strategy<Value = f64> {
    any::<f64>().prop_map(move |value| {
        if finite && !value.is_finite() {
            0.1
        } else {
            value
        }
    })
}

fn any_value(finite: bool) -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        any::<String>().prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|truth| Some(Value::BoolValue(truth))),
        any::<i64>().prop_map(|value| Some(Value::IntValue(value))),
        double(finite).prop_map(|value| Some(Value::DoubleValue(value))),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ];
    let leaf = leaf.prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 16, 4, |inner| {
        let entry = (key(), proptest::option::of(inner.clone()));
        let entries = vec(entry, 0..4).prop_map(|entries| {
            let values = entries
                .into_iter()
                .map(|(key, value)| attribute(key, value))
                .collect();
            Value::KvlistValue(KeyValueList { values })
        });
        let items = vec(inner, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        prop_oneof![items, entries].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attribute(key: String, value: Option<AnyValue>) -> KeyValue {
    KeyValue {
        key,
        value,
        ..KeyValue::default()
    }
}

fn attributes(finite: bool) -> impl Strategy<Value = Vec<KeyValue>> {
    vec((key(), proptest::option::of(any_value(finite))), 0..6).prop_map(|entries| {
        entries
            .into_iter()
            .map(|(key, value)| attribute(key, value))
            .collect()
    })
}

fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), length..=length),
        1 => vec(any::<u8>(), 0..20),
        1 => Just(vec![0; length]),
    ]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(u64::MAX),
        1_700_000_000_000_000_000_u64..1_900_000_000_000_000_000
    ]
}

fn event(finite: bool) -> impl Strategy<Value = Event> {
    (time(), any::<String>(), attributes(finite), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link(finite: bool) -> impl Strategy<Value = Link> {
    (
        id(16),
        id(8),
        "[a-z=]{0,5}",
        attributes(finite),
        any::<u32>(),
    )
        .prop_map(|(trace_id, span_id, trace_state, attributes, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count: flags / 2,
            flags,
        })
}

fn span(finite: bool) -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), id(8));
    let facts = (
        "[a-z=]{0,5}",
        any::<String>(),
        any::<i32>(),
        time(),
        time(),
        any::<u32>(),
    );
    let status = proptest::option::of((any::<String>(), -1..4));
    let lists = (
        attributes(finite),
        vec(event(finite), 0..3),
        vec(link(finite), 0..3),
    );
    (ids, facts, status, lists).prop_map(|(ids, facts, status, lists)| Span {
        trace_id: ids.0,
        span_id: ids.1,
        parent_span_id: ids.2,
        trace_state: facts.0,
        name: facts.1,
        kind: facts.2 % 8,
        start_time_unix_nano: facts.3,
        end_time_unix_nano: facts.4,
        flags: facts.5,
        attributes: lists.0,
        dropped_attributes_count: facts.5 % 3,
        events: lists.1,
        dropped_events_count: facts.5 % 5,
        links: lists.2,
        dropped_links_count: facts.5 % 7,
        status: status.map(|(message, code)| Status { message, code }),
    })
}

fn scope_spans(finite: bool) -> impl Strategy<Value = ScopeSpans> {
    let scope = proptest::option::of(("[a-z.]{0,9}", "[0-9.]{0,4}", attributes(finite)));
    (scope, vec(span(finite), 0..4), "[a-z:/]{0,9}").prop_map(|(scope, spans, schema_url)| {
        ScopeSpans {
            scope: scope.map(|(name, version, attributes)| InstrumentationScope {
                name,
                version,
                attributes,
                dropped_attributes_count: 1,
            }),
            spans,
            schema_url,
        }
    })
}

fn request(finite: bool) -> impl Strategy<Value = ExportTraceServiceRequest> {
    let resource = proptest::option::of(attributes(finite));
    let one = (resource, vec(scope_spans(finite), 0..3), "[a-z:/]{0,9}");
    let one = one.prop_map(|(resource, scope_spans, schema_url)| ResourceSpans {
        resource: resource.map(|attributes| Resource {
            attributes,
            ..Resource::default()
        }),
        scope_spans,
        schema_url,
    });
    vec(one, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

/// A body with some of its bytes changed, cut out, or said twice.
fn mutated(body: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut body = body.to_vec();
    for (place, byte, how) in edits {
        let place = place % body.len().max(1);
        match how % 4 {
            0 if place < body.len() => body[place] = *byte,
            1 if place < body.len() => drop(body.remove(place)),
            2 => body.insert(place, *byte),
            _ => {
                let end = (place + usize::from(*byte)).min(body.len());
                let piece = body[place..end].to_vec();
                body.splice(place..place, piece);
            }
        }
    }
    body
}

fn edits() -> impl Strategy<Value = Vec<(usize, u8, u8)>> {
    vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..4)
}

fn check_against_prost(body: &[u8]) -> Result<(), TestCaseError> {
    let ours = protobuf(body);
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return Ok(());
    };
    let (rows, refused) = expected(&request);
    let ours = ours.map_err(|error| TestCaseError::fail(format!("refused: {error}")))?;
    prop_assert_eq!(ours.rejected_count, refused);
    prop_assert_eq!(shown(&spans(&ours.rows)), shown(&rows));
    Ok(())
}

fn check_together(requests: &[(ExportTraceServiceRequest, u8)]) -> Result<(), TestCaseError> {
    let limits = Limits::default();
    let sent: Vec<(Vec<u8>, Acceptance)> = requests
        .iter()
        .map(|(request, who)| {
            let mut at = at();
            at.tenant = TenantId::new(&format!("tenant-{who}")).unwrap();
            at.received_at_us += i64::from(*who);
            (request.encode_to_vec(), at)
        })
        .collect();
    let alone = sent
        .iter()
        .map(|(bytes, at)| decode_traces(bytes, OtlpEncoding::Protobuf, at, &limits));
    let alone: Vec<_> = alone.collect::<Result<_, _>>().unwrap();
    let bodies: Vec<TraceBody<'_>> = sent
        .iter()
        .map(|(bytes, at)| TraceBody { bytes, at })
        .collect();
    let together = decode_together(&bodies, &limits);
    if alone.iter().any(|decoded| decoded.rejected_count > 0) {
        prop_assert!(together.is_none());
        return Ok(());
    }
    let together = together.unwrap();
    let counts: Vec<usize> = alone
        .iter()
        .map(|decoded| decoded.rows.num_rows())
        .collect();
    prop_assert_eq!(&together.counts, &counts);
    let mut from = 0;
    for (decoded, (bytes, _)) in alone.iter().zip(&sent) {
        let count = decoded.rows.num_rows();
        prop_assert_eq!(count_spans(bytes), Some(count));
        prop_assert_eq!(&together.rows.slice(from, count), &decoded.rows);
        from += count;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn every_request_becomes_the_rows_that_prost_reads(request in request(false)) {
        check_against_prost(&request.encode_to_vec())?;
    }

    #[test]
    fn requests_together_are_the_rows_of_each_alone(
        requests in vec((request(false), 0..3_u8), 1..5),
    ) {
        check_together(&requests)?;
    }

    #[test]
    fn every_request_is_the_same_rows_in_json(request in request(true)) {
        let (rows, refused) = expected(&request);
        let decoded = json(&serde_json::to_vec(&request).unwrap()).unwrap();
        prop_assert_eq!(decoded.rejected_count, refused);
        prop_assert_eq!(shown(&spans(&decoded.rows)), shown(&rows));
    }

    #[test]
    fn a_damaged_request_is_refused_or_read_as_prost_reads_it(
        request in request(false),
        edits in edits(),
    ) {
        check_against_prost(&mutated(&request.encode_to_vec(), &edits))?;
    }

    #[test]
    fn two_requests_in_a_row_are_one(first in request(false), second in request(false)) {
        let mut body = first.encode_to_vec();
        body.extend(second.encode_to_vec());
        check_against_prost(&body)?;
    }

    #[test]
    fn arbitrary_bytes_make_no_decoder_panic(body: Vec<u8>) {
        let _ = protobuf(&body);
        let _ = json(&body);
        let _ = proxy_audit::decode(&body, &at(), &Limits::default());
        let _ = ocsf::decode(&body, &at(), &Limits::default());
    }

    #[test]
    fn damaged_samples_make_no_decoder_panic(edits in edits()) {
        for path in files("otlp/captured", ".pb").into_iter().take(3) {
            check_against_prost(&mutated(&std::fs::read(path).unwrap(), &edits))?;
        }
        for path in files("otlp/edge", ".json").into_iter().filter(|p| !p.ends_with("cases.json")) {
            let body = std::fs::read(&path).unwrap();
            if body.len() < 10_000 {
                let _ = json(&mutated(&body, &edits));
            }
        }
        for path in files("agent-bom/v1_proxy", ".json").into_iter().take(4) {
            let body = std::fs::read(&path).unwrap();
            let _ = proxy_audit::decode(&mutated(&body, &edits), &at(), &Limits::default());
            let _ = ocsf::decode(&mutated(&body, &edits), &at(), &Limits::default());
        }
    }
}
