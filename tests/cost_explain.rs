//! `weir cost explain` against a running server: why a captured trace costs what it costs.

#![cfg(test)]

mod support;

use std::path::Path;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::Value;
use support::server::{Settings, Weir, run_cli, weir};
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

/// Prices all that is booked anew.
fn reprice(data: &Path, prices: &Path) {
    let mut command = weir();
    command.args(["reprice", "--from", "2025-01-01", "--to", "2030-01-01"]);
    command
        .arg("--data-dir")
        .arg(data)
        .env("WEIR_PRICES_FILE", prices);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The prices of the server explain its bookings, and of old ones those that they were booked by: not
/// the list that the command is built with.
#[test]
fn a_booking_is_explained_by_the_prices_that_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let prices = folder.path().join("prices.yaml");
    // Half of what the siblings cost is a price of the operator's own.
    let own = |rate: &str| format!("prices:\n  - {{provider: anthropic, percent_off: {rate}}}\n");
    std::fs::write(&prices, own("50")).unwrap();
    let settings = || {
        Settings::hasty(&data)
            .with("WEIR_PRICES_FILE", prices.to_str().unwrap())
            .with("WEIR_PRICES_RELOAD_INTERVAL", "100ms")
    };
    let mut server = settings().start();
    let body = std::fs::read(SIBLINGS).unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap();
    let trace = request["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"].clone();
    let trace = trace.as_str().unwrap();
    let answer = http::post(server.otlp_http, "/v1/traces", "application/json", &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let booked = "SELECT CAST(sum(sign * cost_usd) AS VARCHAR) FROM cost_ledger";
    let booked_now = |server: &Weir| server.query(booked).pop().and_then(|mut row| row.pop());
    let ledger = wait_for("the bookings", Duration::from_secs(30), || {
        let calls = server.number("SELECT coalesce(sum(sign), 0) FROM cost_ledger");
        (calls == 3).then(|| booked_now(&server).unwrap())
    });
    let cost = |server: &Weir| {
        let (code, json) = explain(server, trace, &["--format", "json"]);
        assert_eq!(code, Some(0), "{json}");
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["notes"], serde_json::json!([]), "{json}");
        json["cost_usd"].as_str().unwrap().to_owned()
    };
    assert_eq!(cost(&server), ledger.trim_end_matches('0'));
    assert_ne!(cost(&server), "0.02242345", "not by the list alone");
    // New prices change nothing that is booked.
    let (_, said) = explain(&server, trace, &[]);
    std::fs::write(&prices, own("25")).unwrap();
    let name = |server: &Weir| {
        let answer = http::get(server.http, "/v1/prices/tariffs/current").unwrap();
        answer.json()["name"].as_str().unwrap().to_owned()
    };
    let before = said.split("genai-prices-").nth(1).unwrap();
    let before = before.split(':').next().unwrap().to_owned();
    wait_for("the new prices", Duration::from_secs(30), || {
        (!name(&server).ends_with(&before)).then_some(())
    });
    assert_eq!(cost(&server), ledger.trim_end_matches('0'));
    // What is priced anew is explained by what it was priced by last.
    reprice(&data, &prices);
    let anew = wait_for("the new bookings", Duration::from_secs(30), || {
        let sum = booked_now(&server)?;
        (sum != ledger).then_some(sum)
    });
    assert_eq!(cost(&server), anew.trim_end_matches('0'));
    let (_, said) = explain(&server, trace, &[]);
    let name = said.split("genai-prices-").nth(1).unwrap();
    assert!(!name.starts_with(&before), "{said}");
    let before = name.split(':').next().unwrap().to_owned();
    // Where they are gone, those of now stand in, and it is said.
    std::fs::write(&prices, own("10")).unwrap();
    server.terminate(Duration::from_secs(30));
    let old = data.join(format!("prices/genai-prices-{before}.json"));
    std::fs::remove_file(old).unwrap();
    let server = settings().start();
    let (code, tree) = explain(&server, trace, &[]);
    assert_eq!(code, Some(0));
    let note = format!("note: the server does not give the prices genai-prices-{before}");
    assert!(tree.contains(&note), "{tree}");
}

/// A span of a long trace: the first is an agent, and all others are its calls.
fn long(number: u64) -> Span {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    };
    let attributes = match number {
        1 => vec![
            text("gen_ai.operation.name", "invoke_agent"),
            text("gen_ai.agent.name", "patient"),
        ],
        _ => vec![
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.request.model", "gpt-4o"),
            text("gen_ai.usage.input_tokens", "4"),
        ],
    };
    let root = 1_u64.to_be_bytes().to_vec();
    Span {
        trace_id: vec![7; 16],
        span_id: number.to_be_bytes().to_vec(),
        parent_span_id: if number == 1 { Vec::new() } else { root },
        name: "work".into(),
        start_time_unix_nano: 1_795_132_800_000_000_000 + number,
        end_time_unix_nano: 1_795_132_800_000_000_001 + number,
        attributes,
        ..Span::default()
    }
}

#[test]
fn a_trace_that_is_longer_than_an_answer_is_explained_whole() {
    const SPANS: u64 = 45_000;
    let folder = tempfile::tempdir().unwrap();
    let server = Settings::hasty(&folder.path().join("data")).start();
    // The last request comes twice, in another order: copies lie across the end of a page.
    let mut requests: Vec<Vec<u64>> = (0..5)
        .map(|n| (n * 9_000 + 1..=(n + 1) * 9_000).collect())
        .collect();
    requests.push((18_000..22_000).rev().collect());
    for numbers in &requests {
        let body = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: numbers.iter().copied().map(long).collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let body = body.encode_to_vec();
        let answer = http::post(
            server.otlp_http,
            "/v1/traces",
            "application/x-protobuf",
            &body,
        )
        .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    wait_for("the spans", Duration::from_secs(60), || {
        (server.number("SELECT count(*) FROM spans") == SPANS + 4_000).then_some(())
    });
    let (code, json) = explain(&server, &"07".repeat(16), &["--format", "json"]);
    assert_eq!(code, Some(0));
    let json: Value = serde_json::from_str(&json).unwrap();
    let spans = json["spans"].as_array().unwrap();
    assert_eq!(spans.len() as u64, SPANS);
    let copies = spans
        .iter()
        .map(|span| span["copies"].as_u64().unwrap())
        .sum::<u64>();
    assert_eq!(copies, SPANS + 4_000);
    assert_eq!(json["booked_calls"], SPANS - 1);
    // 4 tokens at 2.50 dollars a million each.
    assert_eq!(json["cost_usd"], "0.44999");
    let by_agent = spans
        .iter()
        .filter(|s| s["context"]["agent_name"]["value"] == "patient");
    assert_eq!(by_agent.count() as u64, SPANS);
}
