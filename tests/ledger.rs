//! The ledger of the whole binary: what is sent is booked, verified, priced anew and kept.

#![cfg(test)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::server::{Settings, Weir, run_cli};

/// The agent's span.
const AGENT: u64 = 9;

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

fn number(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"intValue": value}})
}

fn span(trace: u64, span: u64, operation: &str, more: Vec<Value>) -> Value {
    let mut attributes = vec![text("gen_ai.operation.name", operation)];
    attributes.extend(more);
    let start = 1_790_000_000_000_000_000 + span * 1_000_000_000;
    let parent = if span == AGENT {
        String::new()
    } else {
        format!("{AGENT:016x}")
    };
    json!({
        "traceId": format!("{trace:032x}"),
        "spanId": format!("{span:016x}"),
        "parentSpanId": parent,
        "name": operation,
        "kind": 3,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": (start + 500_000_000).to_string(),
        "attributes": attributes,
    })
}

/// A model call, then what came before it: the agent and its tool call that loads a skill.
fn bodies(trace: u64) -> [Vec<u8>; 2] {
    let call = vec![
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", "gpt-4o"),
        number("gen_ai.usage.input_tokens", "1000"),
        number("gen_ai.usage.output_tokens", "100"),
    ];
    let tool = vec![
        text("gen_ai.tool.name", "load_skill"),
        text("gen_ai.skill.name", "review"),
    ];
    let agent = vec![text("gen_ai.agent.name", "planner")];
    let request = |spans: Vec<Value>| {
        let request =
            json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]});
        request.to_string().into_bytes()
    };
    let tool = span(trace, 1, "execute_tool", tool);
    [
        request(vec![span(trace, 2, "chat", call)]),
        request(vec![tool, span(trace, AGENT, "invoke_agent", agent)]),
    ]
}

fn send(server: &Weir, body: &[u8]) {
    let answer = support::http::post(server.http, "/v1/traces", "application/json", body).unwrap();
    assert!(answer.is_success(), "{}", answer.text());
}

fn wait_for_answer(server: &Weir, sql: &str, wanted: &[&str]) {
    support::wait_for(sql, Duration::from_secs(60), || {
        let rows = server.try_query(sql).ok()?;
        (rows.first()? == wanted).then_some(())
    });
}

fn json_of(arguments: &[&str]) -> Value {
    let output = run_cli(arguments);
    let said = String::from_utf8_lossy(&output.stdout);
    let faults = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}{faults}");
    serde_json::from_str(&said).unwrap()
}

const SKILLS: &str = "SELECT skill, calls, cost_usd FROM cost_per_skill";

#[test]
fn what_is_sent_is_booked_corrected_verified_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings::hasty(&folder.path().join("data")).with("WEIR_LEDGER_INTERVAL", "50ms");
    let mut server = settings.start();
    let [call, tool] = bodies(7);
    send(&server, &call);
    wait_for_answer(&server, SKILLS, &["(unattributed)", "1", "0.003500000000"]);
    send(&server, &tool);
    wait_for_answer(&server, SKILLS, &["review", "1", "0.003500000000"]);
    // What was booked first is taken back, not forgotten.
    wait_for_answer(
        &server,
        "SELECT count(*), sum(sign) FROM cost_ledger",
        &["3", "1"],
    );
    let url = server.url();
    let report = json_of(&["verify", "--json", "--url", &url]);
    assert_eq!(report["ledger"]["booked_usd"], "0.003500000000", "{report}");
    let ready = support::http::get(server.http, "/readyz").unwrap().json();
    assert_eq!(ready["reasons"], json!([]));

    let data_dir = settings.data_dir().to_str().unwrap();
    let reprice = [
        "reprice",
        "--from",
        "2026-01-01",
        "--to",
        "2027-01-01",
        "--json",
        "--data-dir",
        data_dir,
    ];
    let tried = json_of(&[&reprice[..], &["--dry-run"]].concat());
    assert_eq!(
        (&tried["entry"], &tried["traces"]),
        (&Value::Null, &json!(1)),
        "{tried}"
    );
    let made = json_of(&reprice);
    assert_eq!(
        (&made["entry"], &made["calls"]),
        (&json!(1), &json!(0)),
        "the same list: {made}"
    );

    let (status, took) = server.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after {took:?}");
    let server = settings.start();
    let [call, tool] = bodies(8);
    send(&server, &tool);
    send(&server, &call);
    wait_for_answer(&server, SKILLS, &["review", "2", "0.007000000000"]);
    let report = json_of(&["verify", "--json", "--url", &server.url()]);
    assert_eq!(report["ledger"]["ok"], true, "{report}");
    let metrics = support::http::get(server.http, "/metrics").unwrap().text();
    assert!(metrics.contains("\nweir_ledger_booking 1\n"), "{metrics}");
    // The entry was applied, which the table says by a number of the ledger's own.
    let log = settings.data_dir().join("lake/cost_ledger/_delta_log");
    support::wait_for("the entry is applied", Duration::from_secs(30), || {
        let files = std::fs::read_dir(&log).unwrap();
        let mut texts = files.filter_map(|f| std::fs::read_to_string(f.unwrap().path()).ok());
        texts
            .any(|text| text.contains("weir/ledger/entries"))
            .then_some(())
    });
}
