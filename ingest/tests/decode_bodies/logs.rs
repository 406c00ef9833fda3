//! OTLP logs: what tells of calls of models is kept.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use proptest::prelude::*;
use weir_ingest::decode::Limits;
use weir_ingest::decode::otlp::{LogsDecoded, OtlpEncoding, decode_logs};

use super::{at, testdata};

fn decoded(name: &str) -> LogsDecoded {
    let body = std::fs::read(testdata(&format!("otlp/captured/{name}"))).unwrap();
    decode_logs(&body, OtlpEncoding::Json, &at(), &Limits::default()).unwrap()
}

fn texts(rows: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = rows.column_by_name(name).unwrap().as_string::<i32>();
    column.iter().map(|t| t.map(str::to_owned)).collect()
}

#[test]
fn claude_codes_requests_are_kept_and_its_other_records_counted() {
    let LogsDecoded { rows, unstored } = decoded("claude_code.logs.json");
    assert_eq!((rows.num_rows(), unstored), (2, 2));
    for (name, wanted) in [
        ("event_name", "claude_code.api_request"),
        ("body", "claude_code.api_request"),
        ("service_name", "claude-code"),
        ("scope_name", "com.anthropic.claude_code.events"),
        ("tenant_id", "acme"),
    ] {
        assert_eq!(
            texts(&rows, name),
            vec![Some(wanted.to_owned()); 2],
            "{name}"
        );
    }
    let calls = rows.column_by_name("is_call").unwrap().as_boolean();
    assert!(calls.value(0) && calls.value(1));
    let millis = rows.column_by_name("duration_ms").unwrap();
    let millis = millis.as_primitive::<Float64Type>();
    assert_eq!(millis.values(), &[2317.0, 801.0]);
    let nanos = rows.column_by_name("event_time_unix_nano").unwrap();
    let nanos = nanos.as_primitive::<Int64Type>();
    assert_eq!(nanos.value(0), 1_795_208_002_317_000_000);
    let ids = texts(&rows, "event_id");
    assert_ne!(ids[0], ids[1]);
    assert_eq!(texts(&rows, "trace_id"), [None, None]);
}

#[test]
fn events_of_the_genai_conventions_keep_their_place_in_the_trace() {
    let LogsDecoded { rows, unstored } = decoded("02_openai_v2_content_both.logs.json");
    assert_eq!((rows.num_rows(), unstored), (2, 0));
    let trace = "58a226d31d6856f8bb1818a9d6192dc8".to_owned();
    assert_eq!(texts(&rows, "trace_id")[0], Some(trace));
    let flags = rows.column_by_name("time_flags").unwrap().as_list::<i32>();
    let words = flags.value(0);
    assert_eq!(words.as_string::<i32>().value(0), "observed");
    let types = rows.column_by_name("attribute_types").unwrap();
    assert!(types.is_valid(0));
}

/// A record of a name, by `eventName`, by an attribute, or by its body.
fn record(name: &str, place: usize) -> String {
    match place {
        0 => format!(r#"{{"eventName":"{name}","timeUnixNano":"1"}}"#),
        1 => format!(
            r#"{{"attributes":[{{"key":"event.name","value":{{"stringValue":"{name}"}}}}]}}"#
        ),
        _ => format!(r#"{{"body":{{"stringValue":"{name}"}}}}"#),
    }
}

fn request(scope: &str, records: &[String]) -> String {
    format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"scope":{{"name":"{scope}"}},"logRecords":[{}]}}]}}]}}"#,
        records.join(",")
    )
}

#[test]
fn a_record_is_known_by_its_name_wherever_it_says_it() {
    let limits = Limits::default();
    let kept = |scope: &str, name: &str, place| {
        let body = request(scope, &[record(name, place)]);
        let decoded = decode_logs(body.as_bytes(), OtlpEncoding::Json, &at(), &limits).unwrap();
        assert_eq!(decoded.rows.num_rows() + decoded.unstored, 1);
        decoded.rows.num_rows() == 1
    };
    for place in 0..3 {
        assert!(kept("x", "claude_code.api_request", place));
        assert!(kept(
            "com.anthropic.claude_code.events",
            "api_request",
            place
        ));
        assert!(kept("x", "gen_ai.evaluation.result", place));
        for other in [
            "api_request",
            "",
            "http.server.request",
            "claude_code.tool_result",
        ] {
            assert!(!kept("x", other, place), "{other} at {place}");
        }
    }
}

#[test]
fn odd_records_are_kept_and_told_and_limits_hold() {
    let body = request(
        "x",
        &[format!(
            r#"{{"eventName":"gen_ai.choice","traceId":"abcd","spanId":"00","severityNumber":9,
               "body":{{"kvlistValue":{{"values":[{{"key":"a","value":{{"intValue":1}}}}]}}}},
               "timeUnixNano":"18446744073709551615","attributes":[{}]}}"#,
            vec![r#"{"key":"k","value":{"stringValue":"v"}}"#; 300].join(",")
        )],
    );
    let limits = Limits::default();
    let rows = decode_logs(body.as_bytes(), OtlpEncoding::Json, &at(), &limits)
        .unwrap()
        .rows;
    assert_eq!(texts(&rows, "body")[0].as_deref(), Some(r#"{"a":1}"#));
    let flags = rows
        .column_by_name("decode_flags")
        .unwrap()
        .as_list::<i32>();
    let words = flags.value(0);
    let words: Vec<&str> = words.as_string::<i32>().iter().flatten().collect();
    assert_eq!(words, ["duplicate_key", "attributes_cut", "bad_trace_id"]);
    let mut few = Limits::default();
    few.rows_max = 1;
    let two = vec![record("gen_ai.choice", 0); 2];
    let refused = decode_logs(
        request("x", &two).as_bytes(),
        OtlpEncoding::Json,
        &at(),
        &few,
    );
    assert_eq!(refused.unwrap_err().status().http_status(), 413);
    let others = vec![record("other", 0); 5_000];
    let body = request("x", &others);
    let counted = decode_logs(body.as_bytes(), OtlpEncoding::Json, &at(), &few).unwrap();
    assert_eq!(counted.unstored, 5_000, "what is not kept is only counted");
}

#[test]
fn damaged_bodies_are_refused() {
    let limits = Limits::default();
    for (body, encoding) in [
        (b"\x0a\x50abc".as_slice(), OtlpEncoding::Protobuf),
        (b"\xff", OtlpEncoding::Protobuf),
        (b"{", OtlpEncoding::Json),
        (b"{\"resourceLogs\":7}", OtlpEncoding::Json),
    ] {
        let refused = decode_logs(body, encoding, &at(), &limits).unwrap_err();
        assert_eq!(refused.status().http_status(), 400);
    }
    let empty = decode_logs(b"", OtlpEncoding::Protobuf, &at(), &limits).unwrap();
    assert_eq!((empty.rows.num_rows(), empty.unstored), (0, 0));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, at_byte in 0_usize..4_000, value: u8) {
        let limits = Limits::default();
        let _ = decode_logs(&bytes, OtlpEncoding::Protobuf, &at(), &limits);
        let _ = decode_logs(&bytes, OtlpEncoding::Json, &at(), &limits);
        let file = testdata("otlp/captured/claude_code.logs.json");
        let mut body = std::fs::read(file).unwrap();
        let place = at_byte % body.len();
        body[place] = value;
        let _ = decode_logs(&body, OtlpEncoding::Json, &at(), &limits);
    }
}
