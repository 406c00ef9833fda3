//! The moment in which a client cannot know: its rows are durable, and the process dies before the
//! answer leaves.

#![cfg(test)]

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use support::http::Connection;
use support::server::{Settings, Weir};

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

/// Three spans, one of them a model call with a price.
fn body() -> Vec<u8> {
    let span = |number: u32, attributes: serde_json::Value| {
        serde_json::json!({
            "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": format!("{number:016x}"),
            "name": format!("step {number}"),
            "startTimeUnixNano": "1763719200000000000",
            "endTimeUnixNano": "1763719201000000000",
            "attributes": attributes,
        })
    };
    let text =
        |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
    let count =
        |key: &str, value: u32| serde_json::json!({"key": key, "value": {"intValue": value}});
    let call = serde_json::json!([
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        count("gen_ai.usage.input_tokens", 1000),
        count("gen_ai.usage.output_tokens", 100),
    ]);
    let none = serde_json::json!([]);
    let spans = [span(1, call), span(2, none.clone()), span(3, none)];
    serde_json::json!({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]})
        .to_string()
        .into_bytes()
}

/// The value of a metric without labels but for those given in `series`.
fn metric(server: &Weir, series: &str) -> u64 {
    let text = support::http::get(server.http, "/metrics").unwrap().text();
    let line = text.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("{series} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_crash_after_the_fsync_and_before_the_answer_costs_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = support::shim::compile(folder.path()) else {
        return support::not_run("a crash at an fsync: there is no cc");
    };
    // What a server that does not crash says to the same body.
    let other = Settings::hasty(&folder.path().join("other")).start();
    let mut connection = Connection::open(other.http).unwrap();
    let expected = connection
        .send("POST", "/v1/traces", &JSON, &body())
        .unwrap();
    assert!(expected.is_success(), "{}", expected.text());

    let sound = Settings::hasty(&folder.path().join("data"));
    let armed = folder.path().join("armed");
    let mut server = support::shim::kill_after_fsync(sound.clone(), &library, &armed).start();
    let mut connection = Connection::open(server.http).unwrap();
    // The log has its first segment, and nothing of its own to write any more.
    let before = br#"{"events":[{"class_uid":6003,"time":1763719200000}]}"#;
    let ready = connection
        .send("POST", "/v1/ocsf/ingest", &JSON, before)
        .unwrap();
    assert!(ready.is_success(), "{}", ready.text());
    server.wait_stored();
    fs::write(&armed, "").unwrap();
    let answer = connection.send("POST", "/v1/traces", &JSON, &body());
    assert!(answer.is_err(), "answered: {answer:?}");
    let status = server.process.wait_within(Duration::from_secs(10)).unwrap();
    assert_eq!(status.signal(), Some(9), "{status}");

    let server = sound.start();
    let mut connection = Connection::open(server.http).unwrap();
    let again = connection
        .send("POST", "/v1/traces", &JSON, &body())
        .unwrap();
    assert_eq!(again.status, expected.status);
    assert_eq!(again.text(), expected.text(), "the first answer");
    assert_eq!(
        metric(&server, "weir_requests_folded_total{route=\"traces\"}"),
        1
    );
    assert_eq!(metric(&server, "weir_requests_total{route=\"traces\"}"), 0);
    assert_eq!(server.number("SELECT count(*) FROM spans"), 3);
    server.wait_stored();
    assert_eq!(server.number("SELECT count(*) FROM spans"), 3);
    let doubled = "SELECT count(*) FROM (SELECT 1 FROM spans GROUP BY span_id HAVING count(*) > 1)";
    assert_eq!(server.number(doubled), 0);
}
