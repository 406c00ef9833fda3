//! The flat form, and the traces that agent-bom's own senders post.

use serde_json::Value;
use weir_ingest::decode::attributes::AnyValue;

use super::rows::{attributes, spans};
use super::{files, json};

#[test]
fn flat_spans_take_either_case_and_plain_attributes() {
    let body = br#"{"spans":[
        {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"a",
         "startTimeUnixNano":1746033600000000000,"endTimeUnixNano":"1746033601000000000",
         "attributes":[{"key":"gen_ai.system","value":{"stringValue":"openai"}}]},
        {"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b175","name":"b",
         "parent_span_id":"eee19b7ec3c1b174","start_time_unix_nano":"1746033600000000000",
         "attributes":{"n":12,"f":1.5,"t":"x","b":true,"none":null,"list":[1,"a",null],"o":{"k":1}}}]}"#;
    let rows = json(body).unwrap().rows;
    let read = spans(&rows);
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].start_nanos, read[1].start_nanos);
    assert_eq!(read[0].end_nanos, Some(1_746_033_601_000_000_000));
    assert_eq!(read[1].parent_span_id.as_deref(), Some("eee19b7ec3c1b174"));
    let sent: Vec<AnyValue> = attributes(&rows, "", 1)
        .into_iter()
        .map(|(_, value)| value)
        .collect();
    assert_eq!(
        sent,
        [
            AnyValue::Int(12),
            AnyValue::Double(1.5),
            AnyValue::Text("x".into()),
            AnyValue::Bool(true),
            AnyValue::Unset,
            AnyValue::Array(vec![
                AnyValue::Int(1),
                AnyValue::Text("a".into()),
                AnyValue::Unset
            ]),
            AnyValue::KvList(vec![("k".into(), AnyValue::Int(1))]),
        ]
    );
}

#[test]
fn agent_bom_traces_are_accepted_with_times_as_numbers_or_text() {
    let mut spans_seen = 0;
    for path in files("agent-bom/v1_traces", ".json") {
        let sample: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let body = &sample["request_body"];
        let Value::Object(_) = body else {
            // Not OTLP/JSON: an array (400), or bytes shown as text.
            let sent = serde_json::to_vec(body).unwrap();
            assert_eq!(json(&sent).unwrap_err().status().http_status(), 400);
            continue;
        };
        let decoded = json(&serde_json::to_vec(body).unwrap()).unwrap();
        assert_eq!(decoded.rejected_count, 0, "{}", path.display());
        for row in spans(&decoded.rows) {
            spans_seen += 1;
            assert!(row.trace_id.len() == 32 && !row.attributes.0.is_empty());
        }
    }
    assert!(spans_seen >= 7, "{spans_seen}");
}

#[test]
fn an_empty_object_is_an_empty_request_here() {
    // agent-bom answers 422; the OTLP specification wants success.
    assert_eq!(json(b"{}").unwrap().rows.num_rows(), 0);
    assert_eq!(json(br#"{"spans":[]}"#).unwrap().rows.num_rows(), 0);
}
