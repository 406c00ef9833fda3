//! What is odd is kept and named.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::rows::{date, int, micros, text, texts};
use super::{RECEIVED_AT_US, json, protobuf, testdata};

/// Days since the epoch when requests here are received.
const TODAY: i32 = 20_777;

fn span(name: &str) -> Span {
    Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        name: name.into(),
        start_time_unix_nano: 1_795_200_000_000_000_000,
        end_time_unix_nano: 1_795_200_001_000_000_000,
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> Vec<u8> {
    let scope_spans = vec![ScopeSpans {
        spans,
        ..ScopeSpans::default()
    }];
    let resource_spans = vec![ResourceSpans {
        scope_spans,
        ..ResourceSpans::default()
    }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

#[test]
fn odd_times_are_kept_flagged_and_open_no_partition() {
    assert_eq!(i64::from(TODAY), RECEIVED_AT_US / 86_400_000_000);
    let body = std::fs::read(testdata("otlp/edge/j14_time_oddities.json")).unwrap();
    let rows = json(&body).unwrap().rows;
    let flags = |row| texts(&rows, "time_flags", row);
    assert_eq!(flags(0), ["no_end"]);
    assert_eq!(int(&rows, "end_time_unix_nano", 0), None);
    assert_eq!(int(&rows, "duration_nanos", 0), None);
    assert_eq!(flags(1), ["start_zero", "no_end", "part_date_received"]);
    assert_eq!(micros(&rows, "start_time", 1), Some(0));
    assert_eq!(flags(2), ["end_before_start"]);
    assert_eq!(int(&rows, "duration_nanos", 2), None);
    let max = u64::MAX.to_string();
    let overflow = [
        format!("start_overflow={max}"),
        format!("end_overflow={max}"),
    ];
    assert_eq!(flags(3)[..2], overflow);
    assert_eq!(flags(3)[2], "part_date_received");
    assert_eq!(int(&rows, "start_time_unix_nano", 3), None);
    assert_eq!(micros(&rows, "start_time", 3), Some(18_446_744_073_709_551));
    assert_eq!(int(&rows, "duration_nanos", 3), Some(0));
    assert_eq!(flags(4), ["part_date_received"]);
    assert_eq!(flags(5), ["part_date_received"]);
    for row in 0..rows.num_rows() {
        assert_eq!(date(&rows, row), TODAY, "row {row}");
        assert_eq!(micros(&rows, "received_at", row), Some(RECEIVED_AT_US));
    }
}

#[test]
fn a_sound_span_has_no_flags_and_its_own_day() {
    let mut yesterday = span("ok");
    yesterday.start_time_unix_nano -= 86_400_000_000_000;
    let rows = protobuf(&request(vec![yesterday])).unwrap().rows;
    assert!(texts(&rows, "time_flags", 0).is_empty());
    assert!(texts(&rows, "decode_flags", 0).is_empty());
    assert_eq!(date(&rows, 0), TODAY - 1);
    assert_eq!(int(&rows, "duration_nanos", 0), Some(86_401_000_000_000));
}

#[test]
fn a_key_twice_keeps_its_last_value_and_is_flagged() {
    let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"eee19b7ec3c1b174","attributes":[{"key":"a","value":{"intValue":"1"}},
        {"key":"b","value":{"intValue":"2"}},{"key":"a","value":{"stringValue":"last"}}]}]}]}]}"#;
    let rows = json(body).unwrap().rows;
    let sent = super::rows::attributes(&rows, "", 0);
    let keys: Vec<&str> = sent.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["b", "a"]);
    assert_eq!(format!("{:?}", sent[1].1), r#"Text("last")"#);
    assert_eq!(texts(&rows, "decode_flags", 0), ["duplicate_key"]);
}

#[test]
fn odd_ids_of_parents_and_links_are_kept_and_flagged() {
    let mut odd = span("odd");
    odd.parent_span_id = vec![0xab, 0xcd];
    odd.links = vec![Link {
        trace_id: vec![7; 3],
        ..Link::default()
    }];
    let mut zero = span("zero");
    zero.parent_span_id = vec![0; 8];
    let rows = protobuf(&request(vec![odd, zero])).unwrap().rows;
    assert_eq!(text(&rows, "parent_span_id", 0).as_deref(), Some("abcd"));
    assert_eq!(
        texts(&rows, "decode_flags", 0),
        ["bad_parent_id", "bad_link_id"]
    );
    assert_eq!(text(&rows, "parent_span_id", 1), None);
    assert_eq!(texts(&rows, "decode_flags", 1), ["bad_parent_id"]);
}

#[test]
fn the_content_key_tells_a_resend_from_a_conflict() {
    let key = |body: &[u8], row| text(&protobuf(body).unwrap().rows, "content_key", row).unwrap();
    let (one, other) = (span("one"), span("other"));
    let body = request(vec![one.clone(), one.clone(), other]);
    assert_eq!(key(&body, 0), key(&body, 1));
    assert_ne!(key(&body, 0), key(&body, 2));
    assert_eq!(key(&body, 0).len(), 32);
    assert_eq!(
        key(&request(vec![one.clone()]), 0),
        key(&body, 0),
        "whatever is beside it"
    );
    let mut elsewhere = ExportTraceServiceRequest::decode(request(vec![one]).as_slice()).unwrap();
    elsewhere.resource_spans[0].schema_url = "another".into();
    assert_ne!(key(&elsewhere.encode_to_vec(), 0), key(&body, 0));
}

#[test]
fn canonical_columns_are_left_to_the_transforms() {
    use arrow_array::Array;
    let rows = protobuf(&request(vec![span("x")])).unwrap().rows;
    for name in [
        "dialect",
        "op_kind",
        "model",
        "usage_input_tokens",
        "is_batch",
        "finish_reasons",
        "cost_usd",
        "price_ref",
    ] {
        assert_eq!(rows.column_by_name(name).unwrap().null_count(), 1, "{name}");
    }
    assert_eq!(rows.schema(), weir_model::Dataset::Spans.accepted_schema());
}
