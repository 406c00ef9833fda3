//! The operator's own files, on the whole binary: prices that change under a running server, and
//! additions to the mapping.

#![cfg(test)]

mod support;

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::server::{Settings, Weir, run_cli, weir};
use support::{http, wait_for};

const SOON: Duration = Duration::from_secs(30);

/// A call of 1,000 input and 10 output tokens under words that only the additions know.
fn send(server: &Weir, id: u8, model: &str) {
    let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
    let span = json!({
        "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "ask",
        "startTimeUnixNano": "1795208519000000000", "endTimeUnixNano": "1795208520000000000",
        "attributes": [
            attribute("gen_ai.operation.name", json!({ "stringValue": "acme_ask" })),
            attribute("gen_ai.provider.name", json!({ "stringValue": "acme-gateway" })),
            attribute("gen_ai.request.model", json!({ "stringValue": model })),
            attribute("gen_ai.usage.input_tokens", json!({ "intValue": "1000" })),
            attribute("gen_ai.usage.output_tokens", json!({ "intValue": "10" })),
            attribute("acme.skill", json!({ "stringValue": "refunds" })),
        ],
    });
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span] }] }] });
    let body = body.to_string();
    let answer = http::post(
        server.otlp_http,
        "/v1/traces",
        "application/json",
        body.as_bytes(),
    );
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The cost and the price's reference of that span.
fn cost(server: &Weir, id: u8) -> (String, String) {
    let sql = format!(
        "SELECT CAST(cost_usd AS VARCHAR), price_ref, skill_name, skill_source, op_kind FROM spans \
         WHERE span_id = '{id:016x}'"
    );
    let row = wait_for("the span", SOON, || server.query(&sql).pop());
    let words: Vec<&str> = row.iter().map(String::as_str).collect();
    let [cost, reference, "refunds", "direct", "llm"] = words[..] else {
        panic!("{words:?}");
    };
    (cost.to_owned(), reference.to_owned())
}

/// Waits until the log has said `event` that often.
fn said(server: &Weir, event: &str, times: usize) -> String {
    wait_for(event, SOON, || {
        let log = server.process.log();
        (log.matches(event).count() >= times).then_some(log)
    })
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

const ADDITIONS: &str = "\
columns: {skill_name: {before: [acme.skill]}}
provider_alias: {acme-gateway: openai}
op_kind: {llm: [acme_ask]}
";

#[test]
fn prices_change_under_a_running_server_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let factor = |f: &str| format!("prices:\n  - {{name: deal, provider: openai, factor: {f}}}\n");
    let file = write(folder.path(), "prices.yaml", &factor("0.5"));
    let mapping = write(folder.path(), "mapping.yaml", ADDITIONS);
    let settings = Settings::hasty(&folder.path().join("data"))
        .with("WEIR_PRICES_FILE", &file)
        .with("WEIR_PRICES_RELOAD_INTERVAL", "1h")
        .with("WEIR_MAPPING_FILE", &mapping);
    let mut server = settings.start();
    send(&server, 1, "gpt-4o");
    let (half, first) = cost(&server, 1);
    assert_eq!(half, "0.001300000000");
    assert!(first.ends_with(":openai/gpt-4o*deal"), "{first}");

    write(
        folder.path(),
        "prices.yaml",
        "prices:\n  - {model: x}\n  - 3\n",
    );
    server.process.signal(Signal::HUP);
    let log = said(&server, "prices.reload.failed", 1);
    assert!(log.contains("prices.yaml:2:5: "), "{log}");
    assert!(log.contains("prices.yaml:3:5: "), "{log}");
    send(&server, 2, "gpt-4o");
    assert_eq!(cost(&server, 2), (half, first.clone()));

    write(folder.path(), "prices.yaml", &factor("0.25"));
    server.process.signal(Signal::HUP);
    said(&server, "prices.in_effect", 2);
    send(&server, 3, "gpt-4o");
    let (quarter, second) = cost(&server, 3);
    assert_eq!(quarter, "0.000650000000");
    assert_ne!(first, second);
    assert_eq!(server.terminate(SOON).0.code(), Some(0));

    // Without a signal, and with all that was in effect still kept.
    let settings = settings.with("WEIR_PRICES_RELOAD_INTERVAL", "100ms");
    let mut server = settings.start();
    write(folder.path(), "prices.yaml", "");
    said(&server, "prices.in_effect", 2);
    send(&server, 4, "gpt-4o");
    assert_eq!(cost(&server, 4).0, "0.002600000000");
    for reference in [first, second] {
        let (name, _) = reference.split_once(':').unwrap();
        let kept = settings.data_dir().join(format!("prices/{name}.json"));
        assert!(kept.is_file(), "{}", kept.display());
    }

    send(&server, 5, "acme-7b");
    wait_for("the span", SOON, || {
        let sql = "SELECT count(*) FROM spans WHERE cost_status = 'unpriced'";
        (server.number(sql) == 1).then_some(())
    });
    let url = server.url();
    let listed = run_cli(&["prices", "unpriced", "--url", &url, "--since", "2026-01-01"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("acme-7b") && listed.contains("1010"),
        "{listed}"
    );
    assert!(!listed.contains("gpt-4o"), "{listed}");
    assert_eq!(server.terminate(SOON).0.code(), Some(0));
}

#[test]
fn a_bad_file_at_the_start_ends_weir_with_all_its_faults() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let bad = write(
        folder.path(),
        "mapping.yaml",
        "columns: {skill_nam: {before: [a]}}\nskill_tools: 5\n",
    );
    let output = weir()
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--otlp-http",
            "127.0.0.1:0",
        ])
        .args(["--otlp-grpc", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .env("WEIR_MAPPING_FILE", &bad)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("mapping.yaml:1:32: "), "{said}");
    assert!(said.contains("mapping.yaml:2:14: "), "{said}");
    assert!(!data.try_exists().unwrap(), "nothing was made");
}

#[test]
fn a_file_is_explained_with_the_additions() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = write(
        folder.path(),
        "mapping.yaml",
        "columns: {agent_name: {before: [gen_ai.tool.name]}}\n",
    );
    let config = write(
        folder.path(),
        "weir.yaml",
        &format!("mapping:\n  file: {mapping}\n"),
    );
    let file = "testdata/otlp/captured/15_strands_agent_skills.pb";
    let output = run_cli(&["explain", "span", file, "--config", &config]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = said
        .lines()
        .find(|l| l.trim_start().starts_with("agent_name") && l.contains("skills"));
    assert!(
        line.is_some_and(|l| l.ends_with("gen_ai.tool.name (source 1)")),
        "{said}"
    );
    let output = run_cli(&["explain", "span", file, "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["spans"].as_array().unwrap().len() > 3);
    let missing = run_cli(&["explain", "span", "no-such-file"]);
    assert_eq!(missing.status.code(), Some(1));
}
