//! The audit contract, on what its senders really post.

use arrow_array::Array;
use serde_json::{Value, json};
use weir_ingest::decode::proxy_audit::{AuditDecoded, decode};
use weir_ingest::decode::{DecodeError, Limits};

use super::rows::{int, text, texts};
use super::{at, files, testdata};

fn audit(body: &Value) -> Result<AuditDecoded, DecodeError> {
    decode(body.to_string().as_bytes(), &at(), &Limits::default())
}

fn sample(name: &str) -> Value {
    let path = testdata("agent-bom/v1_proxy").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A canonical event, with some members changed.
fn canonical(changes: Value) -> Value {
    let mut event = sample("05_audit_canonical.json")["request_body"]["alerts"][0].clone();
    for (name, value) in changes.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

#[test]
fn every_sample_has_its_status_and_its_counts() {
    let mut answered = 0;
    for path in files("agent-bom/v1_proxy", ".json") {
        let sample: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let request = &sample["request_body"];
        let wanted = sample["status"].as_u64().unwrap();
        // 401 and 413 are told before the body is read, GET has none, and bytes are shown cut.
        if !request.is_object() || wanted == 401 {
            continue;
        }
        // Samples of 501 events show the first ten.
        let mut request = request.clone();
        if path.to_string_lossy().contains("501_") {
            let first = request["alerts"][0].clone();
            request["alerts"] = (0..501).map(|_| first.clone()).collect();
        }
        match audit(&request) {
            Err(error) => {
                assert_eq!(
                    u64::from(error.status().http_status()),
                    wanted,
                    "{}",
                    path.display()
                );
                assert_eq!(
                    json!(error.to_string()),
                    sample["response_body"]["error"]["message"]
                );
            }
            Ok(decoded) => {
                assert_eq!(wanted, 200, "{}", path.display());
                compare_answers(
                    &path.to_string_lossy(),
                    &decoded.answer(),
                    &sample["response_body"],
                );
                answered += 1;
            }
        }
    }
    assert!(answered >= 9, "{answered}");
}

/// Repeats are not known here, since they are told apart by columns: where the sample's sender
/// repeated itself on purpose, all counts say accepted.
fn compare_answers(path: &str, ours: &Value, theirs: &Value) {
    let repeated = ["04_", "07_", "08_"]
        .iter()
        .any(|number| path.contains(number));
    let members = theirs.as_object().unwrap().keys().collect::<Vec<_>>();
    assert_eq!(
        ours.as_object().unwrap().keys().collect::<Vec<_>>(),
        members,
        "{path}"
    );
    for name in members {
        let counts = name.contains("count") || name.contains("event_ids");
        if !(repeated && counts) {
            assert_eq!(ours[name], theirs[name], "{path}: {name}");
        }
    }
    if repeated {
        assert_eq!(
            (
                &ours["accepted_alert_count"],
                &ours["duplicate_alert_count"]
            ),
            (&json!(1), &json!(0))
        );
    }
}

#[test]
fn a_canonical_event_fills_its_columns() {
    let decoded = audit(&sample("05_audit_canonical.json")["request_body"]).unwrap();
    assert_eq!(decoded.canonical_count, 1);
    assert_eq!(decoded.idempotency_key.as_deref(), Some("gw_0001"));
    let text = |column| text(&decoded.rows, column, 0);
    let expected = [
        ("tenant_id", "acme"),
        ("event_id", "gw_0001"),
        ("source_kind", "agent_bom_gateway"),
        ("record_kind", "tool_call"),
        ("tenant_claimed", "other-tenant"),
        ("agent_id", "fleet-agent-1"),
        ("tool_name", "read_file"),
        ("mcp_server", "filesystem"),
        ("decision", "deny"),
        ("reason", "undeclared_tool"),
        ("policy_source", "runtime_profile"),
        ("trace_id", "trace-1"),
        ("session_id", "gs-1"),
    ];
    for (column, value) in expected {
        assert_eq!(text(column).as_deref(), Some(value), "{column}");
    }
    assert_eq!(texts(&decoded.rows, "policy_ids", 0), ["pol-1"]);
    assert!(int(&decoded.rows, "event_time_unix_nano", 0).is_some());
    assert!(texts(&decoded.rows, "time_flags", 0).is_empty());
}

#[test]
fn a_summary_is_a_row_of_its_own_kind_and_its_count_may_lead() {
    let body = json!({"alerts": [{"type": "runtime_alert"}], "summary": {"type": "proxy_summary", "runtime_alerts": 9}});
    let decoded = audit(&body).unwrap();
    assert_eq!(decoded.rows.num_rows(), 2);
    assert_eq!(
        text(&decoded.rows, "record_kind", 1).as_deref(),
        Some("summary")
    );
    let answer = decoded.answer();
    assert_eq!(
        (&answer["alert_count"], &answer["accepted_alert_count"]),
        (&json!(9), &json!(1))
    );
    assert_eq!(
        (&answer["source_id"], &answer["session_id"]),
        (&json!("unknown"), &json!("default"))
    );
}

#[test]
fn events_without_ids_never_share_one() {
    let k6 = audit(&sample("23_audit_k6.json")["request_body"]).unwrap();
    let mut ids = k6.event_ids.clone();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), k6.rows.num_rows());
    let twins = audit(&json!({"alerts": [{"a": 1}, {"a": 1}]})).unwrap();
    assert_ne!(twins.event_ids[0], twins.event_ids[1]);
    let keys = [0, 1].map(|row| text(&twins.rows, "content_key", row));
    assert_eq!(keys[0], keys[1], "but their content is the same");
    let again = audit(&json!({"alerts": [{"a": 1}, {"a": 1}]})).unwrap();
    assert_eq!(
        again.event_ids, twins.event_ids,
        "and a resend has the same ids"
    );
}

#[test]
fn the_payload_hash_is_blind_to_order_spaces_and_the_key() {
    let hash = |body: &str| {
        decode(body.as_bytes(), &at(), &Limits::default())
            .unwrap()
            .payload_hash
    };
    let first =
        hash(r#"{"source_id":"s","alerts":[{"a":1,"b":{"c":2,"d":3}}],"idempotency_key":"k"}"#);
    assert_eq!(
        first,
        hash(r#"{ "alerts":[{"b":{"d":3,"c":2}, "a":1}], "source_id":"s"}"#)
    );
    assert_ne!(
        first,
        hash(r#"{"source_id":"s","alerts":[{"a":1,"b":{"c":2,"d":4}}]}"#)
    );
    assert_ne!(
        first,
        hash(r#"{"source_id":"t","alerts":[{"a":1,"b":{"c":2,"d":3}}]}"#)
    );
}

#[test]
fn one_bad_canonical_event_refuses_the_whole_request() {
    let bad = [
        json!({"event_id": ""}),
        json!({"decision_id": "another"}),
        json!({"decision": "allow"}),
        json!({"schema_version": "v2"}),
        json!({"extra": 1}),
        json!({"tool": "x".repeat(201)}),
        json!({"policy_source": "x".repeat(121)}),
        json!({"policy_ids": [1]}),
        json!({"profile_revision": -1}),
        json!({"development_mode": "no"}),
        json!({"event_timestamp": "2026-01-01T00:00:00"}),
        json!({"event_timestamp": "2026-11-20T20:59:01Z"}),
        json!({"event_timestamp": null}),
    ];
    for changes in bad {
        let body = json!({"alerts": [canonical(json!({})), canonical(changes.clone())]});
        let error = audit(&body).unwrap_err();
        assert_eq!(error.status().http_status(), 422, "{changes}");
        assert_eq!(
            error.to_string(),
            "Invalid canonical gateway activity event"
        );
    }
    let good = [
        json!({"event_timestamp": "2026-11-20T20:59:00Z"}),
        json!({"event_timestamp": 1_795_206_000}),
        json!({"profile_revision": 3, "policy_ids": null}),
    ];
    for changes in good {
        assert!(
            audit(&json!({"alerts": [canonical(changes.clone())]})).is_ok(),
            "{changes}"
        );
    }
}

#[test]
fn redaction_is_no_plain_allow() {
    let event = canonical(
        json!({"event_type": "gateway.dlp.result_redacted", "decision": "allow", "data_action": "pii_redacted"}),
    );
    let rows = audit(&json!({"alerts": [event]})).unwrap().rows;
    assert_eq!(text(&rows, "decision", 0).as_deref(), Some("modify"));
    assert_eq!(text(&rows, "decision_raw", 0).as_deref(), Some("allow"));
}

#[test]
fn envelopes_that_break_the_contract_are_refused() {
    let cases = [
        (r#"{"alerts":[1]}"#, 422),
        (r#"{"alerts":{}}"#, 422),
        (r#"{"source_id":7}"#, 422),
        (r#"{"source_id":null}"#, 422),
        (r#"{"summary":[]}"#, 422),
        (r#"{"tenant_id":"x"}"#, 422),
        ("[]", 422),
        ("{", 400),
        ("", 400),
    ];
    for (body, status) in cases {
        let error = decode(body.as_bytes(), &at(), &Limits::default()).unwrap_err();
        assert_eq!(error.status().http_status(), status, "{body}");
    }
    let deep = format!(
        r#"{{"alerts":[{}1{}]}}"#,
        r#"{"a":"#.repeat(100),
        "}".repeat(100)
    );
    let error = decode(deep.as_bytes(), &at(), &Limits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Request payload is too deeply nested to process"
    );
    assert_eq!(error.status().http_status(), 422);
}

#[test]
fn details_are_the_senders_own_bytes() {
    let record =
        r#"{"record_hash":"ab12", "ts":1746033600.5 ,"n":1.0,"policy":"blocked","z":"\u00e4"}"#;
    let body = format!(r#"{{"source_id":"p","alerts":[{record}]}}"#);
    let rows = decode(body.as_bytes(), &at(), &Limits::default())
        .unwrap()
        .rows;
    assert_eq!(text(&rows, "details", 0).as_deref(), Some(record));
    assert_eq!(text(&rows, "event_id", 0).as_deref(), Some("ab12"));
    assert_eq!(text(&rows, "chain_id", 0).as_deref(), Some("p/default"));
    assert_eq!(text(&rows, "decision", 0).as_deref(), Some("deny"));
    assert_eq!(
        int(&rows, "event_time_unix_nano", 0),
        Some(1_746_033_600_500_000_000)
    );
    assert_eq!(
        texts(&rows, "time_flags", 0),
        ["unit_s", "part_date_received"]
    );
}

#[test]
fn proxy_log_lines_are_taken_as_alerts() {
    let lines = std::fs::read_to_string(testdata("proxy-audit/agent_bom_proxy.jsonl")).unwrap();
    let alerts: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let rows = audit(&json!({"source_id": "laptop", "alerts": alerts}))
        .unwrap()
        .rows;
    assert_eq!(rows.num_rows(), alerts.len());
    let kinds = rows.column_by_name("record_kind").unwrap();
    assert_eq!(kinds.null_count(), 0);
    assert!(
        (0..alerts.len())
            .any(|row| text(&rows, "record_kind", row).as_deref() == Some("tool_call"))
    );
}
