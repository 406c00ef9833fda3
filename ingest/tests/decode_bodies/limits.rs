//! What is beyond the limits is cut and named, or refused.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{DecodeError, Limits};

use super::rows::{spans, texts};
use super::{at, json, protobuf};

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn span(attributes: Vec<KeyValue>) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1_795_200_000_000_000_000,
        end_time_unix_nano: 1_795_200_001_000_000_000,
        attributes,
        ..Span::default()
    }
}

fn request(spans: Vec<Span>, resource: Vec<KeyValue>) -> Vec<u8> {
    let resource_spans = vec![ResourceSpans {
        resource: Some(Resource {
            attributes: resource,
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans,
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn one(attributes: Vec<KeyValue>) -> Vec<u8> {
    request(vec![span(attributes)], vec![])
}

#[test]
fn long_texts_are_cut_between_characters() {
    let long = format!("a{}", "\u{20ac}".repeat(30_000));
    let rows = protobuf(&one(vec![attribute("k", Value::StringValue(long.clone()))]))
        .unwrap()
        .rows;
    let read = spans(&rows);
    let weir_ingest::decode::attributes::AnyValue::Text(kept) = &read[0].attributes.0[0].1 else {
        panic!("text");
    };
    assert_eq!(kept.len(), 65_536, "1 + 3 * 21845");
    assert!(long.starts_with(kept.as_str()));
    assert_eq!(texts(&rows, "decode_flags", 0), ["value_cut"]);
}

#[test]
fn long_bytes_stay_bytes_and_long_lists_become_text() {
    use weir_ingest::decode::attributes::AnyValue as Read;
    let items = (0..20_000).map(|i| AnyValue {
        value: Some(Value::IntValue(i)),
    });
    let list = ArrayValue {
        values: items.collect(),
    };
    let rows = protobuf(&one(vec![
        attribute("bytes", Value::BytesValue(vec![0xff; 100_000])),
        attribute("list", Value::ArrayValue(list)),
    ]))
    .unwrap()
    .rows;
    let read = &spans(&rows)[0].attributes.0;
    assert!(matches!(&read[0].1, Read::Bytes(kept) if kept.len() == 49_152));
    assert!(
        matches!(&read[1].1, Read::Text(kept) if kept.starts_with("[0,1,2,") && kept.len() == 65_536)
    );
    assert_eq!(texts(&rows, "decode_flags", 0), ["value_cut"]);
}

#[test]
fn too_many_attributes_events_and_links_are_cut() {
    let many: Vec<KeyValue> = (0..300)
        .map(|i| attribute(&format!("key{i}"), Value::IntValue(i)))
        .collect();
    let mut large = span(many.clone());
    large.events = vec![Event::default(); 1100];
    large.links = vec![
        Link {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            ..Link::default()
        };
        1025
    ];
    let rows = protobuf(&request(vec![large], many)).unwrap().rows;
    let read = &spans(&rows)[0];
    assert_eq!(read.attributes.0.len(), 256);
    assert_eq!(read.resource.0.len(), 256);
    assert_eq!((read.events.len(), read.links.len()), (1024, 1024));
    let flags = texts(&rows, "decode_flags", 0);
    assert_eq!(flags, ["attributes_cut", "events_cut", "links_cut"]);
}

#[test]
fn values_that_nest_too_deeply_refuse_the_request() {
    let nested = |levels: usize| {
        let mut value = Value::BoolValue(true);
        for _ in 0..levels {
            value = Value::ArrayValue(ArrayValue {
                values: vec![AnyValue { value: Some(value) }],
            });
        }
        one(vec![attribute("deep", value)])
    };
    assert!(protobuf(&nested(32)).is_ok());
    assert_eq!(
        protobuf(&nested(33)).unwrap_err(),
        DecodeError::TooDeep { max: 32 }
    );
    let deep = format!(r#"{{"x":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    assert_eq!(
        json(deep.as_bytes()).unwrap_err(),
        DecodeError::TooDeep { max: 64 }
    );
}

#[test]
fn more_rows_than_allowed_refuse_the_request() {
    let mut limits = Limits::default();
    limits.rows_max = 3;
    let bad_ids = Span::default();
    let body = request(vec![span(vec![]), bad_ids.clone(), span(vec![])], vec![]);
    assert!(decode_traces(&body, OtlpEncoding::Protobuf, &at(), &limits).is_ok());
    let body = request(
        vec![span(vec![]), span(vec![]), bad_ids, span(vec![])],
        vec![],
    );
    let error = decode_traces(&body, OtlpEncoding::Protobuf, &at(), &limits).unwrap_err();
    assert_eq!(error, DecodeError::TooManyRows { max: 3 });
    assert_eq!(error.status().http_status(), 413);
}

#[test]
fn a_large_resource_with_many_spans_is_no_bomb() {
    let resource = vec![attribute("k", Value::StringValue("x".repeat(60_000)))];
    let body = request(vec![span(vec![]); 20_000], resource);
    assert!(body.len() < 2_000_000);
    let error = protobuf(&body).unwrap_err();
    assert!(matches!(error, DecodeError::TooManyBytes { .. }), "{error}");
}

#[test]
fn at_most_100_refused_spans_are_kept_and_all_are_counted() {
    let body = request(vec![Span::default(); 250], vec![]);
    let decoded = protobuf(&body).unwrap();
    assert_eq!(decoded.rejected_count, 250);
    assert_eq!(decoded.rejected.unwrap().num_rows(), 100);
}

#[test]
fn a_refusal_says_where_the_body_broke() {
    let mut body = one(vec![]);
    body.extend([0x0a, 0x05, 0x00]);
    let DecodeError::Protobuf { offset, .. } = protobuf(&body).unwrap_err() else {
        panic!("a protobuf error");
    };
    assert_eq!(offset, body.len() - 2);
}

/// Each count at its limit is kept whole, and one more is cut and named.
#[test]
fn counts_are_kept_up_to_their_limits() {
    type Make = fn(usize) -> Vec<u8>;
    let attributes: Make = |count| {
        let make = |i| attribute(&format!("key{i}"), Value::IntValue(1));
        one((0..count).map(make).collect())
    };
    let events: Make = |count| {
        let mut one = span(vec![]);
        one.events = vec![Event::default(); count];
        request(vec![one], vec![])
    };
    let links: Make = |count| {
        let mut one = span(vec![]);
        let link = Link {
            trace_id: vec![1; 16],
            span_id: vec![1; 8],
            ..Link::default()
        };
        one.links = vec![link; count];
        request(vec![one], vec![])
    };
    let value: Make = |bytes| one(vec![attribute("k", Value::StringValue("v".repeat(bytes)))]);
    let list: Make = |bytes| {
        let values = vec![AnyValue {
            // With brackets and quotes as many bytes as wanted.
            value: Some(Value::StringValue("v".repeat(bytes - 4))),
        }];
        one(vec![attribute(
            "k",
            Value::ArrayValue(ArrayValue { values }),
        )])
    };
    let cases: [(Make, usize, &str); 5] = [
        (attributes, 256, "attributes_cut"),
        (events, 1_024, "events_cut"),
        (links, 1_024, "links_cut"),
        (value, 65_536, "value_cut"),
        (list, 65_536, "value_cut"),
    ];
    for (make, limit, flag) in cases {
        for count in [limit - 1, limit] {
            let rows = protobuf(&make(count)).unwrap().rows;
            assert!(
                texts(&rows, "decode_flags", 0).is_empty(),
                "{flag}: {count}"
            );
        }
        let rows = protobuf(&make(limit + 1)).unwrap().rows;
        assert_eq!(texts(&rows, "decode_flags", 0), [flag]);
        let read = &spans(&rows)[0];
        assert!(read.attributes.0.len() <= 256 && read.events.len() <= 1_024);
    }
}

#[test]
fn depths_are_taken_up_to_their_limits() {
    let nested = |levels: usize| {
        let list = |inner| {
            Value::ArrayValue(ArrayValue {
                values: vec![AnyValue { value: Some(inner) }],
            })
        };
        let value = (0..levels).fold(Value::BoolValue(true), |inner, _| list(inner));
        protobuf(&one(vec![attribute("deep", value)]))
    };
    assert!(nested(31).is_ok() && nested(32).is_ok());
    assert_eq!(nested(33).unwrap_err(), DecodeError::TooDeep { max: 32 });
    let text = |levels: usize| {
        let inside = levels - 1;
        let body = format!(r#"{{"x":{}1{}}}"#, "[".repeat(inside), "]".repeat(inside));
        json(body.as_bytes())
    };
    assert!(text(63).is_ok() && text(64).is_ok());
    assert_eq!(text(65).unwrap_err(), DecodeError::TooDeep { max: 64 });
}

#[test]
fn a_hundred_thousand_rows_are_taken_and_one_more_is_not() {
    for (count, taken) in [(99_999, true), (100_000, true), (100_001, false)] {
        let decoded = protobuf(&request(vec![span(vec![]); count], vec![]));
        assert_eq!(
            decoded.map(|d| d.rows.num_rows() == count),
            match taken {
                true => Ok(true),
                false => Err(DecodeError::TooManyRows { max: 100_000 }),
            }
        );
    }
}

/// Resources and scopes without spans count as well: they take two bytes and far more time.
#[test]
fn empty_parents_are_bounded_as_rows_are() {
    let mut limits = Limits::default();
    limits.rows_max = 3;
    let resources = |count: usize| ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans::default(); count],
    };
    let scopes = |count: usize| ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans::default(); count],
            ..ResourceSpans::default()
        }],
    };
    for make in [resources as fn(usize) -> _, scopes] {
        for (count, taken) in [(2, true), (3, true), (4, false)] {
            let body = make(count).encode_to_vec();
            let decoded = decode_traces(&body, OtlpEncoding::Protobuf, &at(), &limits);
            assert_eq!(decoded.is_ok(), taken, "{count}");
        }
    }
}

/// Audit and OCSF bodies are parsed as a whole, which takes many times their bytes.
#[test]
fn values_of_a_body_are_taken_up_to_their_limit() {
    let mut limits = Limits::default();
    limits.json_values_max = 50;
    // The object, its two lists, and a comma before each member and item but the first.
    let audit = |items: usize| {
        format!(
            r#"{{"source_id":"a","alerts":[{{"x":[{}1]}}]}}"#,
            "1,".repeat(items)
        )
    };
    let ocsf = |items: usize| {
        format!(
            r#"[{{"class_uid":6003,"unmapped":[{}1]}}]"#,
            "1,".repeat(items)
        )
    };
    for (items, taken) in [(44, true), (45, true), (46, false)] {
        let audit =
            weir_ingest::decode::proxy_audit::decode(audit(items).as_bytes(), &at(), &limits);
        let told = audit.map(drop);
        let refused = Err(DecodeError::TooManyValues { max: 50 });
        assert_eq!(told == refused, !taken, "audit {items}: {told:?}");
        let body = ocsf(items + 1);
        let told = weir_ingest::decode::ocsf::decode(body.as_bytes(), &at(), &limits).map(drop);
        assert_eq!(told == refused, !taken, "ocsf {items}: {told:?}");
    }
}
