//! The edge cases whose outcome `testdata/otlp/edge/cases.json` fixes.

use bytes::Bytes;
use serde_json::Value;
use weir_ingest::compression::{Coding, DecompressError, decompress};
use weir_ingest::decode::attributes::AnyValue;
use weir_ingest::decode::otlp::Decoded;

use super::rows::{SpanRow, attributes, spans, text};
use super::{json, protobuf, testdata};

/// What the receiver would answer.
const LIMITS: weir_ingest::compression::Limits = weir_ingest::compression::Limits {
    bytes_max: 64 << 20,
    zstd_window_log_max: 23,
};

fn outcome(case: &Value) -> (u16, Option<Decoded>) {
    let file = case["file"].as_str().unwrap();
    let body = std::fs::read(testdata("otlp/edge").join(file)).unwrap();
    let coding = Coding::from_header(case["content_encoding"].as_str()).unwrap();
    let body = match decompress(Bytes::from(body), coding, LIMITS) {
        Ok(body) => body,
        Err(DecompressError::TooLarge { .. }) => return (413, None),
        Err(_) => return (400, None),
    };
    let decoded = match case["content_type"].as_str().unwrap() {
        "application/json" => json(&body),
        "application/x-protobuf" => protobuf(&body),
        other => panic!("{other}"),
    };
    match decoded {
        Ok(decoded) => (200, Some(decoded)),
        Err(error) => (error.status().http_status(), None),
    }
}

#[test]
fn every_case_has_its_status_and_its_counts() {
    let cases = std::fs::read(testdata("otlp/edge/cases.json")).unwrap();
    let cases: Value = serde_json::from_slice(&cases).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    assert!(cases.len() >= 36);
    for case in cases {
        let (status, decoded) = outcome(case);
        let file = &case["file"];
        let wanted = &case["expect_status"];
        let statuses = wanted
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![wanted.clone()]);
        assert!(
            statuses.contains(&Value::from(status)),
            "{file}: {status}, not {wanted}"
        );
        let Some(accepted) = case["expect_accepted_spans"].as_u64() else {
            continue;
        };
        let decoded = decoded.unwrap();
        let rejected = case["expect_rejected_spans"].as_u64().unwrap_or(0);
        assert_eq!(decoded.rows.num_rows() as u64, accepted, "{file}");
        assert_eq!(decoded.rejected_count as u64, rejected, "{file}");
        assert_eq!(decoded.reason.is_some(), rejected > 0, "{file}");
        let rows = decoded.rejected.map_or(0, |rows| rows.num_rows());
        assert_eq!(rows as u64, rejected, "{file}");
    }
}

fn edge(file: &str) -> Vec<SpanRow> {
    let body = std::fs::read(testdata("otlp/edge").join(file)).unwrap();
    spans(&json(&body).unwrap().rows)
}

fn value(row: &SpanRow, key: &str) -> AnyValue {
    let found = row.attributes.0.iter().find(|(name, _)| name == key);
    found.unwrap_or_else(|| panic!("no {key}")).1.clone()
}

#[test]
fn integers_keep_all_64_bits() {
    let row = &edge("j05_int64_extremes.json")[0];
    assert_eq!(value(row, "max"), AnyValue::Int(i64::MAX));
    assert_eq!(value(row, "min"), AnyValue::Int(i64::MIN));
    assert_eq!(value(row, "gt2p53"), AnyValue::Int(9_007_199_254_740_993));
    assert_eq!(
        value(row, "gt2p53num"),
        AnyValue::Int(9_007_199_254_740_993)
    );
}

#[test]
fn doubles_may_be_text_and_integers_may_be_doubles() {
    let row = &edge("j06_double_special.json")[0];
    assert!(matches!(value(row, "nan"), AnyValue::Double(v) if v.is_nan()));
    assert_eq!(value(row, "inf"), AnyValue::Double(f64::INFINITY));
    assert_eq!(value(row, "ninf"), AnyValue::Double(f64::NEG_INFINITY));
    assert_eq!(value(row, "int"), AnyValue::Double(3.0));
    assert_eq!(value(row, "text"), AnyValue::Double(3.5));
    assert_eq!(value(row, "null"), AnyValue::Unset);
    assert_eq!(value(row, "integral"), AnyValue::Int(42));
    assert_eq!(value(row, "huge"), AnyValue::Double(1e21));
}

#[test]
fn nested_values_keep_every_kind() {
    let row = &edge("j07_nested_values.json")[0];
    let text = |text: &str| AnyValue::Text(text.to_owned());
    assert_eq!(
        value(row, "arr"),
        AnyValue::Array(vec![
            text("a"),
            AnyValue::Int(1),
            AnyValue::Bool(false),
            AnyValue::Unset,
            AnyValue::Array(vec![]),
        ])
    );
    assert_eq!(
        value(row, "kv"),
        AnyValue::KvList(vec![
            ("k1".into(), text("v")),
            ("empty".into(), AnyValue::Unset),
            ("novalue".into(), AnyValue::Unset),
            ("k1".into(), text("duplicate key")),
        ])
    );
    assert_eq!(value(row, "bytes"), AnyValue::Bytes(vec![0, 255]));
    assert_eq!(value(row, "emptyarr"), AnyValue::Array(vec![]));
    assert_eq!(value(row, "emptystr"), text(""));
}

#[test]
fn ids_are_lower_case_and_enum_names_are_understood() {
    let row = &edge("j09_uppercase_ids.json")[0];
    assert_eq!(row.trace_id, "5b8efff798038103d269b633813fc60c");
    assert_eq!(
        (row.span_id.as_str(), &row.parent_span_id),
        ("eee19b7ec3c1b174", &None)
    );
    let rows = edge("j12_enum_names.json");
    assert_eq!(
        (rows[0].kind.as_str(), rows[0].status.0.as_str()),
        ("client", "error")
    );
    assert_eq!(
        (rows[1].kind.as_str(), rows[1].status.0.as_str()),
        ("99", "7")
    );
}

#[test]
fn events_links_and_counts_are_kept() {
    let row = &edge("j15_events_links_flags.json")[0];
    assert_eq!(row.flags, Some(769));
    assert_eq!(row.attributes.1, Some(3));
    assert_eq!((row.dropped_events, row.dropped_links), (Some(1), Some(2)));
    assert_eq!(row.events.len(), 3);
    assert_eq!(row.events[0].time, Some(1_795_208_041_770_000_000));
    assert_eq!(
        row.events[0].attributes.0[1].1,
        AnyValue::Text("bad \u{2603}".into())
    );
    assert_eq!(row.events[1].time, None);
    assert_eq!(
        row.links[0].trace_id.as_deref(),
        Some("0af7651916cd43dd8448eb211c80319c")
    );
}

#[test]
fn control_characters_and_empty_keys_survive() {
    let row = &edge("j16_unicode_control.json")[0];
    assert!(row.name.starts_with("nul:\0 bidi:"));
    assert_eq!(value(row, "k\0ey"), AnyValue::Text("a\0b".into()));
    assert_eq!(value(row, ""), AnyValue::Text("empty key".into()));
}

#[test]
fn refused_spans_say_which_and_why() {
    let body = std::fs::read(testdata("otlp/edge/j11_zero_and_bad_ids.json")).unwrap();
    let decoded = json(&body).unwrap();
    let reason = decoded.reason.unwrap();
    assert!(reason.starts_with("5 spans were refused:"), "{reason}");
    assert!(reason.len() <= 2048);
    let rejected = decoded.rejected.unwrap();
    assert_eq!(text(&rejected, "source", 0).as_deref(), Some("otlp_traces"));
    assert_eq!(
        text(&rejected, "reason_code", 0).as_deref(),
        Some("invalid_trace_id")
    );
    assert_eq!(
        text(&rejected, "reason_code", 1).as_deref(),
        Some("invalid_span_id")
    );
    assert_eq!(text(&rejected, "tenant_id", 4).as_deref(), Some("acme"));
}

#[test]
fn a_refused_span_can_be_replayed_from_its_payload() {
    use base64::Engine;
    let body = std::fs::read(testdata("otlp/edge/j10_base64_ids.json")).unwrap();
    let rejected = json(&body).unwrap().rejected.unwrap();
    let payload = text(&rejected, "payload", 0).unwrap();
    let payload = base64::engine::general_purpose::STANDARD
        .decode(payload)
        .unwrap();
    let again = protobuf(&payload).unwrap();
    assert_eq!((again.rows.num_rows(), again.rejected_count), (0, 1));
}

#[test]
fn halves_of_surrogate_pairs_do_not_lose_the_request() {
    let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"eee19b7ec3c1b174","name":"cut \ud83d","attributes":[{"key":"ok","value":{"stringValue":"\ud83d\ude00"}}]}]}]}]}"#;
    let decoded = json(body).unwrap();
    assert_eq!(
        text(&decoded.rows, "name", 0).as_deref(),
        Some("cut \u{fffd}")
    );
    let sent = attributes(&decoded.rows, "", 0);
    assert_eq!(sent[0].1, AnyValue::Text("\u{1f600}".into()));
}
