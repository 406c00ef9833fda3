//! A tenant with a lake of its own, on real servers that are killed.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::http::Connection;
use super::support::keys::{create, tool};
use super::support::server::{Settings, Weir, weir};
use super::support::wait_for;

/// Tenants by key; the names are such that no other text holds them by chance.
const OWN: &str = "acme-quux";
const SHARED: &str = "zeta-quux";

/// A call of a model that costs 0.0035 US dollars, in a trace of its own.
fn call(number: u64) -> Vec<u8> {
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let number_of = |key: &str, value: &str| json!({"key": key, "value": {"intValue": value}});
    let start = 1_790_000_000_000_000_000 + number * 1_000_000_000;
    let span = json!({
        "traceId": format!("{:032x}", number + 1),
        "spanId": format!("{:016x}", number + 1),
        "name": "chat",
        "kind": 3,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": (start + 500_000_000).to_string(),
        "attributes": [
            text("gen_ai.operation.name", "chat"),
            text("gen_ai.provider.name", "openai"),
            text("gen_ai.request.model", "gpt-4o"),
            number_of("gen_ai.usage.input_tokens", "1000"),
            number_of("gen_ai.usage.output_tokens", "100"),
        ],
    });
    let spans = json!({"scopeSpans": [{"spans": [span]}], "resource": {}});
    json!({ "resourceSpans": [spans] }).to_string().into_bytes()
}

/// The server's state and the keys of the two tenants.
struct Site {
    settings: Settings,
    own: String,
    shared: String,
    sent: u64,
}

impl Site {
    fn ask(server: &Weir, key: &str, (method, path): (&str, &str), body: &[u8]) -> (u16, Value) {
        let headers = [("content-type", "application/json"), ("x-api-key", key)];
        let mut connection = Connection::open(server.http).unwrap();
        let answer = connection.send(method, path, &headers, body).unwrap();
        let body = serde_json::from_str(&answer.text()).unwrap_or_default();
        (answer.status, body)
    }

    fn sql(server: &Weir, key: &str, sql: &str) -> (u16, Value) {
        let body = json!({ "sql": sql }).to_string();
        let (status, body) = Self::ask(server, key, ("POST", "/v1/query"), body.as_bytes());
        (status, body["rows"][0].clone())
    }

    /// Sends calls of both tenants, each in a request of its own.
    fn send(&mut self, server: &Weir, count: u64) {
        for _ in 0..count {
            for key in [&self.own, &self.shared] {
                let body = call(self.sent);
                let (status, answer) = Self::ask(server, key, ("POST", "/v1/traces"), &body);
                assert_eq!(status, 200, "{answer}");
            }
            self.sent += 1;
        }
    }

    /// Each tenant sees what it has sent, once, wherever the rows are now.
    fn check(&self, server: &Weir) {
        let sql = "SELECT count(*), count(DISTINCT trace_id) FROM spans";
        for key in [&self.own, &self.shared] {
            let (status, row) = Self::sql(server, key, sql);
            assert_eq!((status, row), (200, json!([self.sent, self.sent])));
        }
    }

    /// Waits until all is stored and booked; the account must close at every look.
    fn settle(&self, server: &Weir) -> Value {
        wait_for("all is stored and booked", Duration::from_secs(60), || {
            let path = ("GET", "/v1/admin/verify");
            let (status, report) = Self::ask(server, &self.own, path, b"");
            assert_eq!((status, &report["ok"]), (200, &json!(true)), "{report}");
            let lines = report["lines"].as_array().unwrap();
            let pending: u64 = lines.iter().map(|l| l["pending"].as_u64().unwrap()).sum();
            let booked = report["ledger"]["bookings"] == json!(2 * self.sent);
            (pending == 0 && booked).then_some(report)
        })
    }
}

/// The files below `folder` with their content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            all.push((path.to_str().unwrap().to_owned(), bytes));
        }
    }
    all
}

#[test]
fn a_tenants_rows_and_bookings_lie_in_its_own_lake_through_kills() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("elsewhere");
    let tenants = json!({ OWN: { "url": own } }).to_string();
    let settings = Settings::hasty(&folder.path().join("data"))
        .with("WEIR_LAKE_TENANTS", &tenants)
        .with("WEIR_LEDGER_INTERVAL", "50ms");
    let mut site = Site {
        own: create(&settings, OWN, &[]).1,
        shared: create(&settings, SHARED, &[]).1,
        settings,
        sent: 0,
    };
    // Killed before, about when, and after the first commits are made.
    for pause_ms in [0, 250, 350, 600] {
        let mut server = site.settings.start();
        site.check(&server);
        site.send(&server, 10);
        std::thread::sleep(Duration::from_millis(pause_ms));
        site.check(&server);
        server.process.kill();
    }
    let mut server = site.settings.start();
    site.check(&server);
    let report = site.settle(&server);
    assert_eq!(report["ledger"]["booked_usd"], "0.280000000000", "{report}");
    site.check(&server);
    let cost = "SELECT sum(sign), sum(cost_usd) FROM cost_ledger";
    for key in [&site.own, &site.shared] {
        let (_, row) = Site::sql(&server, key, cost);
        assert_eq!(row, json!([site.sent, "0.140000000000"]));
    }
    server.terminate(Duration::from_secs(10));

    let offline = weir()
        .args(["verify", "--json", "--data-dir"])
        .arg(site.settings.data_dir())
        .envs(site.settings.environment())
        .output()
        .unwrap();
    assert!(offline.status.success(), "{offline:?}");
    let years = ["--from", "2026-01-01", "--to", "2027-01-01", "--dry-run"];
    let preview = tool(&site.settings, &[&["reprice"], &years[..]].concat());
    assert_eq!(preview["traces"], 2 * site.sent, "{preview}");
    let layouts = tool(&site.settings, &["upgrade", "--check"]).to_string();
    for table in ["/data/lake/spans/", "/elsewhere/spans/"] {
        assert!(layouts.contains(table), "{table} in {layouts}");
    }
    for (lake, others) in [
        (site.settings.data_dir().join("lake"), OWN),
        (own.clone(), SHARED),
    ] {
        let all = files(&lake);
        let tables = ["/spans/part_date=", "/cost_ledger/part_date="];
        assert!(
            tables
                .iter()
                .all(|t| all.iter().any(|(p, _)| p.contains(t)))
        );
        for (path, bytes) in all {
            let told = path.contains(others)
                || bytes.windows(others.len()).any(|w| w == others.as_bytes());
            assert!(!told, "{others} in {path}");
        }
    }
    away(site);
}

/// Whoever owns a lake can take it away; that is not to be the others' trouble.
fn away(mut site: Site) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let options = json!({
        "aws_endpoint": endpoint,
        "aws_allow_http": "true",
        "aws_region": "us-east-1",
        "aws_access_key_id": "x",
        "aws_secret_access_key": "hunter2",
    });
    let tenants = json!({ OWN: { "url": "s3://bucket/own", "options": options } });
    site.settings = site
        .settings
        .with("WEIR_LAKE_TENANTS", &tenants.to_string());
    let server = site.settings.start();
    site.send(&server, 10);
    let count = "SELECT count(*) FROM spans";
    let (status, row) = Site::sql(&server, &site.shared, count);
    assert_eq!((status, row), (200, json!([site.sent])));
    for at_most_ms in [4_000, 500] {
        let began = Instant::now();
        let (status, _) = Site::sql(&server, &site.own, count);
        assert_eq!(status, 503, "not a part of the rows as if they were all");
        let took = began.elapsed();
        assert!(took < Duration::from_millis(at_most_ms), "{took:?}");
    }
    let (status, ready) = Site::ask(&server, "", ("GET", "/readyz"), b"");
    assert_eq!(status, 200, "{ready}");
    assert_eq!(ready["reasons"][0]["reason"], "lake_unreachable");
    let log = server.process.log();
    assert!(
        log.contains("s3://bucket/own") && !log.contains("hunter2"),
        "{log}"
    );
}
