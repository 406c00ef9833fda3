//! `weir bench generate`: to files, to a running server, and always with the truth.

#![cfg(test)]

mod support;

use std::path::Path;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::Value;
use support::server::{Settings, run_cli};
use support::wait_for;

fn generate(more: &[&str]) -> Value {
    let mut arguments = vec!["bench", "generate", "--seed", "5", "--spans", "3000"];
    arguments.extend(more);
    let output = run_cli(&arguments);
    let faults = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{faults}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The requests of a file, and how many spans they have.
fn read(path: &Path) -> (u64, u64) {
    let bytes = std::fs::read(path).unwrap();
    let (mut rest, mut requests, mut spans) = (bytes.as_slice(), 0, 0);
    while !rest.is_empty() {
        let request = ExportTraceServiceRequest::decode_length_delimited(&mut rest).unwrap();
        let scopes = request.resource_spans.iter().flat_map(|r| &r.scope_spans);
        spans += scopes.map(|s| s.spans.len() as u64).sum::<u64>();
        requests += 1;
    }
    (requests, spans)
}

#[test]
fn files_hold_what_the_truth_counts_and_are_the_same_again() {
    let folder = tempfile::tempdir().unwrap();
    let twice = ["a", "b"].map(|name| {
        let into = folder.path().join(name);
        let truth = generate(&["--out", into.to_str().unwrap()]);
        let kept: Value =
            serde_json::from_slice(&std::fs::read(into.join("truth.json")).unwrap()).unwrap();
        assert_eq!(kept, truth);
        let mut files: Vec<_> = into
            .read_dir()
            .unwrap()
            .map(|f| f.unwrap().path())
            .collect();
        files.sort();
        files.retain(|path| path.extension().is_some_and(|e| e == "otlp"));
        let (mut requests, mut spans) = (0, 0);
        for file in &files {
            let of_file = read(file);
            requests += of_file.0;
            spans += of_file.1;
        }
        assert_eq!(truth["requests"], requests);
        assert_eq!(truth["spans_sent"], spans);
        assert!(files.len() > 3, "{files:?}");
        let bytes: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
        (truth, bytes)
    });
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn a_server_takes_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Settings::hasty(&folder.path().join("data")).start();
    let url = server.url();
    let truth = generate(&["--url", &url, "--tenants", "3"]);
    let spans = truth["spans"].as_u64().unwrap();
    let distinct = "SELECT count(DISTINCT trace_id || span_id) FROM spans";
    wait_for("all spans", Duration::from_secs(60), || {
        (server.number(distinct) == spans).then_some(())
    });
    // Without the rules of a trace twins are billed twice, so that there is something to get right.
    let naive = server.number(
        "SELECT count(DISTINCT trace_id || span_id) FROM spans WHERE cost_status IS NOT NULL",
    );
    assert!(naive > truth["total"]["calls"].as_u64().unwrap());
    assert_eq!(generate(&["--tenants", "3"]), truth);
}
