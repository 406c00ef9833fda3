//! What the binary says to input that is wrong: in requests, in its configuration, in commands.

#![cfg(test)]

mod support;

use std::fs;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use support::grpc;
use support::http::{self, Answer};
use support::server::{Settings, Weir, run_cli, weir};
use support::traffic::{Kind, spans_protobuf};

fn started() -> (tempfile::TempDir, Weir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::plain(&folder.path().join("data"))
        .with("WEIR_LIMITS_BODY_COMPRESSED", "64KiB")
        .with("WEIR_LIMITS_BODY_DECOMPRESSED", "128KiB");
    let server = settings.start();
    (folder, server)
}

fn post(server: &Weir, path: &str, content_type: &str, body: &[u8]) -> Answer {
    http::post(server.http, path, content_type, body).unwrap()
}

#[test]
fn each_kind_of_bad_request_has_its_status_and_nothing_is_stored() {
    let (_folder, server) = started();
    let protobuf = "application/x-protobuf";
    let json = "application/json";
    let large = vec![b' '; 70 << 10];
    let cases: [(&str, &str, &[u8], u16); 8] = [
        ("/v1/traces", protobuf, b"\xff\xff\xff", 400),
        ("/v1/traces", json, b"{", 400),
        ("/v1/traces", "text/plain", b"{}", 415),
        ("/v1/traces", json, &large, 413),
        ("/v1/proxy/audit", json, b"[", 400),
        ("/v1/ocsf/ingest", json, b"\"text\"", 422),
        ("/v1/query", json, b"{}", 400),
        ("/v1/nowhere", json, b"{}", 404),
    ];
    for (path, content_type, body, status) in cases {
        let answer = post(&server, path, content_type, body);
        let body = String::from_utf8_lossy(&body[..body.len().min(20)]);
        assert_eq!(answer.status, status, "{path} {body:?}: {}", answer.text());
    }
    for table in ["spans", "proxy_audit", "ocsf_events"] {
        assert_eq!(server.number(&format!("SELECT count(*) FROM {table}")), 0);
    }
}

#[test]
fn an_otlp_error_is_a_status_in_the_encoding_of_the_request() {
    let (_folder, server) = started();
    let answer = post(
        &server,
        "/v1/traces",
        "application/x-protobuf",
        b"\xff\xff\xff",
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    let answer = post(&server, "/v1/traces", "application/json", b"{");
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("application/json")
    );
    assert!(answer.json()["message"].is_string(), "{}", answer.text());
    let answer = post(&server, "/v1/proxy/audit", "application/json", b"[");
    let content_type = answer.header("content-type").unwrap();
    assert!(
        content_type.starts_with("application/problem+json"),
        "{content_type}"
    );
    assert!(answer.json()["detail"].is_string(), "{}", answer.text());
}

#[test]
fn a_small_bomb_does_not_get_in() {
    let (_folder, server) = started();
    let zeros = vec![0_u8; 64 << 20];
    let bomb = zstd::encode_all(zeros.as_slice(), 3).unwrap();
    let headers = [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "zstd"),
    ];
    let mut connection = http::Connection::open(server.http).unwrap();
    let answer = connection
        .send("POST", "/v1/traces", &headers, &bomb)
        .unwrap();
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[test]
fn one_unusable_span_is_refused_and_the_others_are_kept() {
    let (_folder, server) = started();
    let mut request = spans_protobuf(0..3);
    request.resource_spans[0].scope_spans[0].spans[1].trace_id = vec![1, 2];
    let answer = post(
        &server,
        "/v1/traces",
        "application/x-protobuf",
        &request.encode_to_vec(),
    );
    assert_eq!(answer.status, 200);
    let answer = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(!partial.error_message.is_empty());
    let answer = grpc::export(server.otlp_grpc, request, None).unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 1);
    assert_eq!(server.number("SELECT count(*) FROM rejected_events"), 1);
    assert_eq!(server.number("SELECT count(*) FROM spans"), 2);
}

#[test]
fn logs_and_metrics_are_told_that_they_are_not_stored() {
    let (_folder, server) = started();
    for (path, field, count) in [
        (
            "/v1/logs",
            "rejectedLogRecords",
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]}]}"#,
        ),
        (
            "/v1/metrics",
            "rejectedDataPoints",
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[{},{}]}}]}]}]}"#,
        ),
    ] {
        let answer = post(&server, path, "application/json", count.as_bytes());
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let partial = &answer.json()["partialSuccess"];
        let rejected = &partial[field];
        assert!(rejected == "2" || rejected == 2, "{path}: {partial}");
        assert!(
            partial["errorMessage"]
                .as_str()
                .unwrap()
                .contains("not stored"),
            "{partial}"
        );
    }
}

#[test]
fn every_fault_of_a_configuration_is_reported_at_once_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.yaml");
    fs::write(
        &file,
        "wal:\n  segment_size: soon\n  budgett: 1GiB\nquery:\n  rows: -1\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let output = run_cli(&["config", "check", "--config", path]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for place in [":2:", ":3:", ":5:"] {
        assert!(said.contains(place), "{place} in {said}");
    }
    assert!(said.contains("wal.budget"), "no hint in {said}");
    let output = run_cli(&["serve", "--config", path]);
    assert_eq!(output.status.code(), Some(2));
    let output = weir()
        .args(["config", "check"])
        .env("WEIR_QUERY_ROWS", "many")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn an_open_port_without_keys_or_tls_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let output = run_cli(&[
        "serve",
        "--data-dir",
        data_dir.to_str().unwrap(),
        "--http",
        "0.0.0.0:0",
        "--otlp-http",
        "127.0.0.1:0",
        "--otlp-grpc",
        "127.0.0.1:0",
    ]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_server_that_is_not_there_has_an_exit_code_of_its_own() {
    // Port 9 of loopback: reserved for "discard", which nobody runs.
    let output = run_cli(&["query", "--url", "http://127.0.0.1:9", "SELECT 1"]);
    assert_eq!(output.status.code(), Some(75));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("weir serve"), "no advice in {said}");
}

#[test]
fn hostile_sql_is_refused_and_the_server_lives() {
    let (_folder, server) = started();
    let kind = Kind::SpansJson;
    let answer = post(&server, kind.path(), kind.content_type(), &kind.body(0, 3));
    assert_eq!(answer.status, 200);
    for sql in [
        "DELETE FROM spans",
        "COPY spans TO '/tmp/out.csv'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "SELECT * FROM '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "SELECT 1; SELECT 2",
    ] {
        assert!(server.try_query(sql).is_err(), "{sql}");
    }
    assert_eq!(server.number("SELECT count(*) FROM spans"), 3);
}
