//! weir's own traces, exported over OTLP: they arrive, they say what was done, and a weir that sends
//! to itself comes to rest.

#![cfg(test)]

mod support;

use std::time::Duration;

use support::http;
use support::server::{Settings, Weir};
use support::traffic::Kind;
use support::wait_for;

const LIMIT: Duration = Duration::from_secs(30);

fn send(server: &Weir, first: u64) {
    let kind = Kind::SpansJson;
    let body = kind.body(first, 7);
    let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Starts a server that exports to `endpoint`, every 100 ms.
fn exporting(settings: Settings, protocol: &str, endpoint: &str) -> Weir {
    settings
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .with("OTEL_SERVICE_NAME", "weir-under-test")
        .with(
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        )
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start()
}

#[test]
fn a_second_weir_receives_requests_and_commits_over_both_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Settings::hasty(&folder.path().join("collector")).start();
    for (place, protocol) in [(0_u64, "http/protobuf"), (1, "grpc")] {
        let address = match protocol {
            "grpc" => collector.otlp_grpc,
            _ => collector.otlp_http,
        };
        let settings = Settings::hasty(&folder.path().join(protocol.replace('/', "-")));
        let server = exporting(settings, protocol, &format!("http://{address}"));
        send(&server, place * 100);
        let wrong = http::post(server.http, "/v1/proxy/audit", "application/json", b"[").unwrap();
        assert_eq!(wrong.status, 400);
        let count = |name: &str, more: &str| {
            let sql = format!(
                "SELECT count(*) FROM spans WHERE service_name = 'weir-under-test' \
                 AND name = '{name}' {more}"
            );
            collector.number(&sql)
        };
        wait_for(protocol, LIMIT, || {
            let all = count("POST /v1/traces", "") > place
                && count("POST /v1/proxy/audit", "") > place
                && count("commit spans", "") > place;
            all.then_some(())
        });
        let attribute = "AND attributes['weir.rows'] = '7' \
                         AND attributes['http.response.status_code'] = '200'";
        assert_eq!(count("POST /v1/traces", attribute), place + 1);
        let refused = "AND attributes['error.type'] = 'malformed_json'";
        assert_eq!(count("POST /v1/proxy/audit", refused), place + 1);
        assert_eq!(count("GET /metrics", ""), 0);
    }
}

#[test]
fn a_weir_that_exports_to_itself_traces_what_others_send_and_then_rests() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::hasty(&folder.path().join("data"));
    // The port must be known before the start, so it is taken and given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let settings = settings.at_otlp_http(address);
    let server = exporting(settings, "http/protobuf", &format!("http://{address}"));
    send(&server, 0);
    let own = || server.number("SELECT count(*) FROM spans WHERE service_name = 'weir-under-test'");
    let commits = "SELECT count(*) FROM spans WHERE name = 'commit spans'";
    wait_for("its own spans arrive", LIMIT, || {
        (server.number(commits) > 0).then_some(())
    });
    server.wait_stored();
    // Questions of this test are requests too; the commits that store their spans are not.
    let (before, commits_before) = (own(), server.number(commits));
    std::thread::sleep(Duration::from_secs(2));
    let (after, commits_after) = (own(), server.number(commits));
    // At most the questions above and the verify calls lie between; a loop makes ten a second.
    assert!(after - before <= 6, "{before} -> {after}");
    assert!(
        commits_after - commits_before <= 3,
        "{commits_before} -> {commits_after}"
    );
}

#[test]
fn a_wrong_protocol_is_told_and_takes_nothing_down() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::hasty(&folder.path().join("data"));
    let server = exporting(settings, "carrier-pigeon", "http://127.0.0.1:1");
    send(&server, 0);
    let log = server.process.log();
    assert!(log.contains("traces.export.off"), "{log}");
}
