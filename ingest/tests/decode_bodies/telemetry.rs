//! Telemetry events that carry their own cost.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_ingest::decode::telemetry::{TelemetryDecoded, TelemetryForm, decode};
use weir_ingest::decode::{Acceptance, DecodeError, Limits, RefusalKind};

use super::{RECEIVED_AT_US, at, testdata};

fn sample(name: &str) -> Value {
    let text = std::fs::read_to_string(testdata(&format!("claresia/{name}"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn one(body: &str) -> TelemetryDecoded {
    let limits = Limits::default();
    decode(body.as_bytes(), TelemetryForm::One, &at(), &limits).unwrap()
}

fn batch(body: &str) -> Result<TelemetryDecoded, DecodeError> {
    let limits = Limits::default();
    decode(body.as_bytes(), TelemetryForm::Batch, &at(), &limits)
}

fn text<'r>(rows: &'r RecordBatch, name: &str) -> Option<&'r str> {
    let column = rows.column_by_name(name).unwrap().as_string::<i32>();
    column.is_valid(0).then(|| column.value(0))
}

fn long(rows: &RecordBatch, name: &str) -> Option<i64> {
    let column = rows.column_by_name(name).unwrap();
    let column = column.as_primitive::<Int64Type>();
    column.is_valid(0).then(|| column.value(0))
}

fn cost(rows: &RecordBatch) -> Option<i128> {
    let column = rows.column_by_name("cost_reported_usd").unwrap();
    let column = column.as_primitive::<Decimal128Type>();
    column.is_valid(0).then(|| column.value(0))
}

fn flags(rows: &RecordBatch) -> Vec<String> {
    let list = rows.column_by_name("flags").unwrap().as_list::<i32>();
    if list.is_null(0) {
        return Vec::new();
    }
    let words = list.value(0);
    let words = words.as_string::<i32>();
    words.iter().flatten().map(str::to_owned).collect()
}

#[test]
fn the_event_of_the_contract_becomes_a_row() {
    let sample = sample("01_telemetry_event_request.json");
    let decoded = one(&sample["body"].to_string());
    let rows = &decoded.rows;
    for (column, wanted) in [
        ("tenant_id", "acme"),
        ("skill_name", "gatespic.incident-postmortem"),
        ("skill_version", "1.4.2"),
        ("archetype_id", "firmware_engineer"),
        ("user_id", "user:marco.mazzolin@dainese.it"),
        ("provider_raw", "anthropic-claude-enterprise"),
        ("model", "claude-sonnet-4.7"),
    ] {
        assert_eq!(text(rows, column), Some(wanted), "{column}");
    }
    assert_eq!(text(rows, "error_type"), None, "null says nothing");
    let time = rows.column_by_name("event_time").unwrap();
    let time = time.as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!(time, 1_777_818_138_500_000, "2026-05-03T14:22:18.5Z");
    let millis = rows.column_by_name("duration_ms").unwrap();
    assert!((millis.as_primitive::<Float64Type>().value(0) - 2317.0).abs() < f64::EPSILON);
    assert!(
        rows.column_by_name("success")
            .unwrap()
            .as_boolean()
            .value(0)
    );
    assert_eq!(long(rows, "usage_input_tokens"), Some(4823));
    assert_eq!(long(rows, "usage_output_tokens"), Some(1421));
    assert_eq!(cost(rows), Some(41_000_000_000));
    assert_eq!(flags(rows), [""; 0]);
    let answer = decoded.answer();
    let wanted = sample["response"].as_object().unwrap();
    assert_eq!(
        answer.as_object().unwrap().keys().collect::<Vec<_>>(),
        wanted.keys().collect::<Vec<_>>()
    );
    assert_eq!(answer["record_id"], text(rows, "event_id").unwrap());
}

#[test]
fn a_batch_is_answered_event_by_event() {
    let sample = sample("02_telemetry_batch.json");
    let event = json!({"skill_id": "pdf"});
    let body = json!({"events": [event, 7, event, {"skill_id": "csv"}]});
    let decoded = batch(&body.to_string()).unwrap();
    let answer = decoded.answer();
    assert_eq!(
        answer.as_object().unwrap().keys().collect::<Vec<_>>(),
        sample["response"]
            .as_object()
            .unwrap()
            .keys()
            .collect::<Vec<_>>()
    );
    assert_eq!(
        (&answer["accepted"], &answer["failed"]),
        (&json!(3), &json!(1))
    );
    let records = answer["records"].as_array().unwrap();
    assert_eq!(records.len(), 4);
    assert_eq!(records[1]["index"], 1);
    assert_ne!(
        records[0]["record_id"], records[2]["record_id"],
        "equal events are two"
    );
    assert_eq!(records[0]["provenance_hash"], records[2]["provenance_hash"]);
    assert_eq!(decoded.rejected.unwrap().num_rows(), 1);
    let again = batch(&body.to_string()).unwrap();
    assert_eq!(again.answer(), answer, "ids follow from the content");
    assert_eq!(batch("[{}]").unwrap().rows.num_rows(), 1, "a bare list");
}

#[test]
fn a_batch_has_at_most_a_thousand_events() {
    let body = |count: usize| json!({"events": vec![json!({"ts": 1}); count]}).to_string();
    for count in [0, 999, 1_000] {
        assert_eq!(batch(&body(count)).unwrap().rows.num_rows(), count);
    }
    let error = batch(&body(1_001)).unwrap_err();
    assert_eq!(error, DecodeError::TooManyEvents { max: 1_000 });
    assert_eq!(
        error.status(),
        RefusalKind::Malformed,
        "400, by the contract"
    );
}

#[test]
fn what_is_no_event_is_refused_whole() {
    let limits = Limits::default();
    for body in [
        "",
        "{",
        "[]",
        "7",
        "null",
        "\"x\"",
        "{\"ts\":NaN}",
        "\u{feff}",
    ] {
        let decoded = decode(body.as_bytes(), TelemetryForm::One, &at(), &limits);
        assert_eq!(decoded.unwrap_err().status().http_status(), 400, "{body}");
    }
    for body in [
        "{}",
        "7",
        "{\"events\":7}",
        "{\"events\":null}",
        "{\"events\":[NaN]}",
    ] {
        assert_eq!(
            batch(body).unwrap_err().status().http_status(),
            400,
            "{body}"
        );
    }
}

/// A number as a sender may write it, the amount that it is, and whether it is told as odd.
const NUMBERS: &[(&str, Option<i128>)] = &[
    ("0", Some(0)),
    ("0.1", Some(100_000_000_000)),
    ("1e-12", Some(1)),
    ("0.0000000000005", Some(0)),
    ("0.0000000000015", Some(2)),
    (
        "0.1000000000000000055511151231257827021181",
        Some(100_000_000_000),
    ),
    ("\"0.041\"", Some(41_000_000_000)),
    (
        "999999999999.999999999999",
        Some(999_999_999_999_999_999_999_999),
    ),
    ("1e400", None),
    ("1e-400", Some(0)),
    ("-0.01", None),
    ("-0", Some(0)),
    ("1234567890123456789012345678901234567890", None),
    ("\"NaN\"", None),
    ("\"Infinity\"", None),
    ("true", None),
    ("{}", None),
    ("[1]", None),
    ("\"\"", None),
    ("null", None),
];

#[test]
fn amounts_are_exact_and_what_cannot_be_is_told() {
    for (number, wanted) in NUMBERS {
        let decoded = one(&format!(
            "{{\"cost_usd_estimate\":{number},\"tokens_in\":1}}"
        ));
        assert_eq!(cost(&decoded.rows), *wanted, "{number}");
        let silent = wanted.is_some() || ["\"\"", "null"].contains(number);
        let told = flags(&decoded.rows) == ["cost_invalid"];
        assert_eq!(told, !silent, "{number}");
        assert!(text(&decoded.rows, "raw").unwrap().contains(number));
    }
}

#[test]
fn counts_are_whole_and_in_range_or_told() {
    for (number, wanted) in [
        ("0", Some(0)),
        ("42.0", Some(42)),
        ("4.2e1", Some(42)),
        ("\"42\"", Some(42)),
        ("100000000000", Some(100_000_000_000)),
        ("100000000001", None),
        ("4.5", None),
        ("-1", None),
        ("1e400", None),
        ("9223372036854775808", None),
    ] {
        let decoded = one(&format!(
            "{{\"tokens_in\":{number},\"latency_ms\":{number}}}"
        ));
        let rows = &decoded.rows;
        assert_eq!(long(rows, "usage_input_tokens"), wanted, "{number}");
        let told = flags(rows).contains(&"tokens_invalid".to_owned());
        assert_eq!(told, wanted.is_none(), "{number}");
    }
    let odd = one(r#"{"latency_ms":-1,"success":"perhaps"}"#);
    assert_eq!(flags(&odd.rows), ["latency_invalid", "success_invalid"]);
}

#[test]
fn an_event_far_away_keeps_its_time_and_lies_under_the_day_of_its_receipt() {
    let rows = one(r#"{"ts":"2025-01-01T00:00:00Z"}"#).rows;
    let date = rows.column_by_name("part_date").unwrap();
    let day = i32::try_from(RECEIVED_AT_US / 86_400_000_000).unwrap();
    let date = date
        .as_primitive::<arrow_array::types::Date32Type>()
        .value(0);
    assert_eq!(date, day);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_body_makes_it_panic_and_each_event_is_a_row(
        ids in proptest::collection::vec("\\PC{0,6}", 0..5),
        number in "-?[0-9]{1,45}(\\.[0-9]{1,45})?([eE][-+]?[0-9]{1,4})?",
        noise in "[\\[\\]{}:,\"a-z0-9.eE+-]{0,40}",
    ) {
        let limits = Limits::default();
        let at = Acceptance { ..at() };
        for form in [TelemetryForm::One, TelemetryForm::Batch] {
            let _ = decode(noise.as_bytes(), form, &at, &limits);
        }
        let event = |id: &String| {
            let id = Value::from(id.as_str());
            format!("{{\"skill_id\":{id},\"cost_usd_estimate\":{number},\"tokens_out\":{number}}}")
        };
        let events: Vec<String> = ids.iter().map(event).collect();
        let body = format!("[{}]", events.join(","));
        match batch(&body) {
            Ok(decoded) => {
                prop_assert_eq!(decoded.rows.num_rows(), ids.len());
                let answer = decoded.answer();
                let mut records: Vec<String> = answer["records"].as_array().unwrap().iter()
                    .map(|r| r["record_id"].as_str().unwrap().to_owned()).collect();
                records.sort();
                records.dedup();
                prop_assert_eq!(records.len(), ids.len(), "each has an id of its own");
            }
            // Digits such as `007` are no JSON.
            Err(error) => prop_assert_eq!(error.code(), "malformed_json"),
        }
    }
}
