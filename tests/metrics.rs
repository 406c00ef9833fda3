//! What a scrape of the whole binary says: that its accounts close to the row after mixed traffic,
//! that Prometheus' own tool finds nothing to complain about, and that the alerting rules hold.

#![cfg(test)]

mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use prost::Message as _;
use support::http::{self, Connection};
use support::server::{Settings, Weir};
use support::traffic::{KINDS, Kind, spans_protobuf};
use support::{grpc, wait_for};

/// A scrape: values by series, as `name{label="value"}`.
#[derive(Debug)]
struct Scrape {
    text: String,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(server: &Weir) -> Self {
        let answer = http::get(server.http, "/metrics").unwrap();
        assert_eq!(answer.status, 200);
        let kind = answer.header("content-type").unwrap();
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let text = answer.text();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        let series = series.collect();
        Self { text, series }
    }

    /// The sum over all series of `name` whose labels hold `part`.
    fn sum(&self, name: &str, part: &str) -> f64 {
        let ours = self.series.iter().filter(|(series, _)| {
            let family = series.split('{').next().unwrap();
            family == name && series.contains(part)
        });
        ours.map(|(_, value)| value).sum()
    }
}

fn started(change: impl FnOnce(Settings) -> Settings) -> (tempfile::TempDir, Settings, Weir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = change(Settings::hasty(&folder.path().join("data")));
    let server = settings.start();
    (folder, settings, server)
}

/// Accepted, resent, partly rejected, refused, over HTTP and gRPC: 9 + 2 + 4 + 2 requests of which
/// the accepted ones bring 20 rows each, or two and one that is rejected.
fn mixed_traffic(server: &Weir) {
    for (place, kind) in (0_u64..).zip(KINDS) {
        let body = kind.body(place * 100, 20);
        for _ in 0..2 {
            let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
            assert!(answer.is_success(), "{kind:?}: {}", answer.text());
        }
        let answer = http::post(server.http, kind.path(), kind.content_type(), b"\x01{").unwrap();
        assert_eq!(answer.status, 400, "{kind:?}: {}", answer.text());
    }
    let mut partly = spans_protobuf(900..903);
    partly.resource_spans[0].scope_spans[0].spans[1].trace_id = vec![1, 2];
    let body = partly.encode_to_vec();
    let kind = Kind::SpansProtobuf;
    let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
    assert_eq!(answer.status, 200);
    grpc::export(server.otlp_grpc, spans_protobuf(950..960), None).unwrap();
    let wrong = http::post(server.http, "/v1/traces", "image/png", b"x").unwrap();
    assert_eq!(wrong.status, 415);
    let mut connection = Connection::open(server.http).unwrap();
    let refused = connection.send("GET", "/v1/traces", &[], b"").unwrap();
    assert_eq!(refused.status, 405);
}

#[test]
fn both_accounts_close_to_the_row_after_mixed_traffic() {
    let (_folder, _settings, server) = started(|s| s);
    mixed_traffic(&server);
    // A request whose client goes away before its body is whole.
    {
        use std::net::TcpStream;
        let mut stream = TcpStream::connect(server.http).unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 1000\r\n\r\n{";
        stream.write_all(head.as_bytes()).unwrap();
    }
    let scrape = wait_for("the requests end", Duration::from_secs(20), || {
        let scrape = Scrape::of(&server);
        let received = scrape.sum("weir_requests_received_total", "route=\"traces\"");
        let ends = ended(&scrape, "traces");
        (received >= 11.0 && (received - ends).abs() < 0.5).then_some(scrape)
    });
    for route in ["traces", "proxy_audit", "ocsf"] {
        let received = scrape.sum("weir_requests_received_total", route);
        assert_eq!(received, ended(&scrape, route), "{route}\n{}", scrape.text);
        assert!(received >= 3.0, "{route}");
    }
    let refused = |code: &str| scrape.sum("weir_requests_refused_total", code);
    assert_eq!(refused("code=\"malformed_json\""), 3.0, "{}", scrape.text);
    assert_eq!(refused("code=\"malformed_protobuf\""), 1.0);
    assert_eq!(refused("code=\"unsupported_media_type\""), 1.0);
    assert_eq!(refused("code=\"method_not_allowed\""), 1.0);
    assert_eq!(scrape.sum("weir_requests_folded_total", "traces"), 2.0);
    let acknowledged = scrape.sum("weir_acknowledgement_seconds_count", "traces");
    assert_eq!(
        acknowledged,
        scrape.sum("weir_requests_total", "traces") + 2.0
    );

    let scrape = settled(&server);
    let rows = scrape.sum("weir_request_rows_total", "")
        + scrape.sum("weir_request_rejected_rows_total", "");
    assert_eq!(
        rows,
        scrape.sum("weir_accepted_rows_total", ""),
        "{}",
        scrape.text
    );
    for dataset in ["spans", "proxy_audit", "ocsf_events", "rejected_events"] {
        let of = |name| scrape.sum(name, &format!("dataset=\"{dataset}\""));
        let settled = of("weir_stored_rows_total") + of("weir_set_aside_rows_total");
        let rest = of("weir_pending_rows") + of("weir_lost_rows_total");
        assert_eq!(of("weir_accepted_rows_total"), settled + rest, "{dataset}");
        assert_eq!(of("weir_unaccounted_rows"), 0.0, "{dataset}");
        assert_eq!(of("weir_pending_rows"), 0.0, "{dataset}");
        assert_eq!(of("weir_lag_seconds"), 0.0, "{dataset}");
        // And the lake itself has as many.
        let sql = format!("SELECT count(*) FROM {dataset}");
        assert_eq!(
            of("weir_stored_rows_total"),
            server.number(&sql) as f64,
            "{dataset}"
        );
    }
    assert_eq!(scrape.sum("weir_stored_rows_total", "\"spans\""), 52.0);
    assert!(scrape.sum("weir_batch_commit_seconds_count", "lake") >= 4.0);
    let fsyncs = scrape.sum("weir_log_fsync_seconds_count", "");
    assert_eq!(fsyncs, scrape.sum("weir_log_frames_total", ""));
}

/// A scrape once nothing is pending. The lake has the rows a moment before the cursor says so, so
/// that a recount is no sign of it.
fn settled(server: &Weir) -> Scrape {
    wait_for("nothing is pending", Duration::from_secs(30), || {
        let scrape = Scrape::of(server);
        (scrape.sum("weir_pending_rows", "") == 0.0).then_some(scrape)
    })
}

fn ended(scrape: &Scrape, route: &str) -> f64 {
    let ends = [
        "weir_requests_total",
        "weir_requests_folded_total",
        "weir_requests_refused_total",
        "weir_requests_abandoned_total",
    ];
    ends.iter().map(|name| scrape.sum(name, route)).sum()
}

#[test]
fn the_account_closes_after_a_restart_too() {
    let (_folder, settings, mut server) = started(|s| s);
    mixed_traffic(&server);
    server.wait_stored();
    server.process.kill();
    let server = settings.start();
    mixed_traffic(&server);
    let scrape = settled(&server);
    assert_eq!(scrape.sum("weir_unaccounted_rows", ""), 0.0);
    let stored = scrape.sum("weir_stored_rows_total", "\"ocsf_events\"");
    assert_eq!(
        stored,
        server.number("SELECT count(*) FROM ocsf_events") as f64
    );
}

#[test]
fn tenants_are_named_only_where_that_is_wanted() {
    let named = |server: &Weir| {
        let kind = Kind::SpansJson;
        let body = kind.body(0, 3);
        http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
        Scrape::of(server).sum("weir_tenant_rows_total", "tenant=\"default\"")
    };
    let (_folder, _settings, server) = started(|s| s);
    assert_eq!(named(&server), 0.0);
    let (_folder, _settings, server) = started(|s| s.with("WEIR_METRICS_TENANTS", "true"));
    assert_eq!(named(&server), 3.0);
}

/// Runs promtool; `None` where there is none.
fn promtool(arguments: &[&str], input: Option<&str>) -> Option<(bool, String)> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let child = Command::new("promtool")
        .args(arguments)
        .current_dir(docs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        support::not_run("promtool: it is missing (apt-get install prometheus)");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(input.unwrap_or_default().as_bytes())
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    Some((output.status.success(), said))
}

#[test]
fn prometheus_finds_nothing_wrong_with_a_scrape() {
    let (_folder, _settings, server) = started(|s| s.with("WEIR_METRICS_TENANTS", "true"));
    mixed_traffic(&server);
    server.wait_stored();
    let scrape = Scrape::of(&server);
    if let Some((fine, said)) = promtool(&["check", "metrics"], Some(&scrape.text)) {
        assert!(fine && said.trim().is_empty(), "{said}");
    }
}

#[test]
fn the_alerting_rules_fire_when_they_must_and_rest_when_all_is_well() {
    if let Some((fine, said)) = promtool(&["check", "rules", "alerts.yml"], None) {
        assert!(fine, "{said}");
        let (fine, said) = promtool(&["test", "rules", "alerts_test.yml"], None).unwrap();
        assert!(fine, "{said}");
    }
}

/// A rule about a metric that nobody exports never fires.
#[test]
fn every_metric_of_the_alerting_rules_is_exported() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let rules = std::fs::read_to_string(docs.join("alerts.yml")).unwrap();
    let page = std::fs::read_to_string(docs.join("metrics.md")).unwrap();
    let expressions = rules
        .split("expr:")
        .skip(1)
        .map(|rest| rest.split("labels:").next().unwrap());
    let mut seen = 0;
    for expression in expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("weir_")) {
            let family = word.trim_end_matches("_bucket");
            assert!(page.contains(&format!("`{family}`")), "{word}");
            seen += 1;
        }
    }
    assert!(seen > 10, "the rules name {seen} metrics");
}

#[test]
fn readiness_says_why_and_logs_are_json_with_stable_names() {
    let (_folder, _settings, mut server) = started(|s| s.with("WEIR_LOG_FORMAT", "json"));
    let ready = http::get(server.http, "/readyz").unwrap();
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &"ready".into())
    );
    assert_eq!(ready.json()["reasons"], serde_json::json!([]));
    let (status, _) = server.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    let log = server.process.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect();
    let events: Vec<&str> = lines.iter().filter_map(|l| l["message"].as_str()).collect();
    for event in ["wal.opened", "node.ready", "node.stopping", "node.stopped"] {
        assert!(events.contains(&event), "{event}: {log}");
    }
    let ready = lines.iter().find(|l| l["message"] == "node.ready").unwrap();
    assert!(
        ready["http"].is_string() && ready["level"] == "INFO",
        "{ready}"
    );
}

#[test]
fn a_full_log_is_told_by_readiness_and_by_metrics() {
    let (_folder, _settings, server) = started(|s| {
        s.with("WEIR_WAL_BUDGET", "4MiB")
            .with("WEIR_WAL_RETAIN", "1h")
    });
    let kind = Kind::SpansJson;
    let mut first = 0;
    let answer = wait_for("the log is full", Duration::from_secs(60), || {
        let body = kind.body(first, 2_000);
        first += 2_000;
        let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.header("x-weir-error"), Some("log_full"));
    let ready = http::get(server.http, "/readyz").unwrap();
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (503, &"disk_full".into())
    );
    assert_eq!(ready.json()["reasons"][0]["blocks"], true);
    assert_eq!(http::get(server.http, "/livez").unwrap().status, 200);
    assert_eq!(Scrape::of(&server).sum("weir_log_full", ""), 1.0);
}
