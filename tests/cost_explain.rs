//! `weir cost explain` against a running server: why a captured trace costs what it costs.

#![cfg(test)]

mod support;

use std::time::Duration;

use serde_json::Value;
use support::server::{Settings, Weir, run_cli};
use support::{http, wait_for};

/// Framework and provider's SDK as siblings below a workflow that names the skill.
const SIBLINGS: &str = "testdata/otlp/captured/08_openllmetry_openai_anthropic.canonical.json";

fn explain(server: &Weir, trace: &str, more: &[&str]) -> (Option<i32>, String) {
    let url = server.url();
    let mut arguments = vec!["cost", "explain", "--url", &url, trace];
    arguments.extend(more);
    let output = run_cli(&arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

#[test]
fn a_trace_is_explained_as_a_tree_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let server = Settings::hasty(&folder.path().join("data")).start();
    let body = std::fs::read(SIBLINGS).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let spans = &request["resourceSpans"][0]["scopeSpans"][0]["spans"];
    let trace = spans[0]["traceId"].as_str().unwrap();
    // Twice, the second time in other bytes: a copy is said and changes nothing.
    for body in [body, serde_json::to_vec_pretty(&request).unwrap()] {
        let answer = http::post(server.otlp_http, "/v1/traces", "application/json", &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let count = format!("SELECT count(*) FROM spans WHERE trace_id = '{trace}'");
    wait_for("the spans", Duration::from_secs(30), || {
        (server.number(&count) == 10).then_some(())
    });

    let (code, tree) = explain(&server, trace, &[]);
    assert_eq!(code, Some(0), "{tree}");
    let must = [
        "5 spans, 3 booked, $0.02242345, 1 of them without a cost",
        "BOOKED $0.02005845 (B1); came 2 times (B0)",
        "computed $0.02005845 by genai-prices-",
        "not billed: the same answer as a30533869a074457 (B3)",
        "skill refund-policy, ancestor of ",
        "filled by twins: usage_cache_write_1h_tokens from ",
        "no usage is known",
    ];
    for words in must {
        assert!(tree.contains(words), "no {words:?} in\n{tree}");
    }

    let (code, json) = explain(&server, trace, &["--format", "json"]);
    assert_eq!(code, Some(0), "{json}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["cost_usd"], "0.02242345");
    assert_eq!(json["booked_calls"], 3);
    let twin = json["spans"].as_array().unwrap().iter();
    let twin = twin.filter(|s| s["verdict"] == "same_response");
    let twins: Vec<&Value> = twin.collect();
    assert_eq!(twins.len(), 1);
    assert_eq!(twins[0]["booked_as"], "a30533869a074457");
    assert_eq!(twins[0]["copies"], 2);

    let (code, said) = explain(&server, &"ab".repeat(16), &[]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
}
