//! Two servers on one lake, each killed again and again: every call is booked once, with the skill
//! that its parent on the other server names.

#![cfg(test)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use support::random::Random;
use support::server::{Settings, Weir, memory_mib, run_cli};

/// Traces of one request to each server.
const TRACES: u64 = 20;
/// 1,000 input and 100 output tokens of gpt-4o: 2.50 and 10 USD a million.
const CALL_USD: f64 = 0.0035;

fn settings(folder: &Path, name: &str) -> Settings {
    let lake = folder.join("lake");
    Settings::hasty(&folder.join(name))
        .with("WEIR_LAKE_URL", lake.to_str().unwrap())
        .with("WEIR_LEDGER_INTERVAL", "50ms")
        .with("WEIR_LEDGER_LEASE", "1s")
        .with("WEIR_LEDGER_FACTS_WRITTEN", "500ms")
}

/// The agents of some traces, or their calls.
#[expect(clippy::disallowed_methods, reason = "the spans are of now")]
fn body(first: u64, calls: bool) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_nanos()).unwrap();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let number = |key: &str, value: &str| json!({"key": key, "value": {"intValue": value}});
    let span = |trace: u64| {
        let mut span = json!({
            "traceId": format!("{:032x}", trace + 1),
            "spanId": format!("{:016x}", if calls { 2 } else { 1 }),
            "name": if calls { "chat gpt-4o" } else { "invoke_agent a" },
            "kind": 3,
            "startTimeUnixNano": now.to_string(),
            "endTimeUnixNano": (now + 1_000_000).to_string(),
            "attributes": [
                text("gen_ai.operation.name", "invoke_agent"),
                text("gen_ai.skill.name", &format!("skill-{}", trace % 5)),
            ],
        });
        if calls {
            span["parentSpanId"] = json!(format!("{:016x}", 1));
            span["attributes"] = json!([
                text("gen_ai.operation.name", "chat"),
                text("gen_ai.provider.name", "openai"),
                text("gen_ai.request.model", "gpt-4o"),
                number("gen_ai.usage.input_tokens", "1000"),
                number("gen_ai.usage.output_tokens", "100"),
            ]);
        }
        span
    };
    let spans: Vec<_> = (first..first + TRACES).map(span).collect();
    let request = json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]});
    request.to_string().into_bytes()
}

/// Posts until somebody takes it, in turn to each server that lives.
fn post(doors: &Mutex<[Option<SocketAddr>; 2]>, prefer: usize, body: &[u8]) {
    let began = Instant::now();
    for turn in 0.. {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "nobody takes it"
        );
        let door = doors.lock().unwrap()[(prefer + turn / 10) % 2];
        let sent = door.map(|to| support::http::post(to, "/v1/traces", "application/json", body));
        if matches!(sent, Some(Ok(answer)) if answer.is_success()) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn wait_booked(server: &Weir, calls: u64) {
    let sql = "SELECT coalesce(sum(sign), 0) FROM cost_ledger WHERE skill IS NOT NULL";
    support::wait_for("all is booked", Duration::from_secs(90), || {
        let rows = server.try_query(sql).ok()?;
        (rows[0][0].parse() == Ok(calls)).then_some(())
    });
}

fn verify(server: &Weir) {
    let output = run_cli(&["verify", "--json", "--url", &server.url()]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["ledger"]["ok"], true, "{report}");
    println!("{}", report["ledger"]);
}

#[test]
fn every_call_is_booked_once_however_often_the_nodes_are_killed() {
    if support::skip_unless_heavy() {
        return;
    }
    let cycles = support::count_from("WEIR_LEDGER_CYCLES", 20);
    let mut random = Random::from_env();
    let folder = tempfile::tempdir().unwrap();
    let both = ["one", "two"].map(|name| settings(folder.path(), name));
    let mut servers = both.each_ref().map(|s| Some(s.start()));
    let doors = Arc::new(Mutex::new(
        servers.each_ref().map(|s| s.as_ref().map(|s| s.http)),
    ));
    let ended = Arc::new(AtomicBool::new(false));
    let load = {
        let (doors, ended) = (Arc::clone(&doors), Arc::clone(&ended));
        thread::spawn(move || {
            let mut traces = 0;
            while !ended.load(Ordering::Relaxed) {
                // The call first: its skill comes later, and on the other node.
                post(&doors, 0, &body(traces, true));
                post(&doors, 1, &body(traces, false));
                traces += TRACES;
                thread::sleep(Duration::from_millis(10));
            }
            traces
        })
    };
    for cycle in 0..cycles {
        thread::sleep(random.millis(100, 1_500));
        let which = usize::try_from(random.within(0, 2)).unwrap();
        if let Some(mut server) = servers[which].take() {
            doors.lock().unwrap()[which] = None;
            server.process.kill();
        }
        if random.chance(25) {
            // The facts are a cache: a lost disk costs nothing but a look into the lake.
            let _ =
                std::fs::remove_dir_all(folder.path().join(["one", "two"][which]).join("ledger"));
        }
        thread::sleep(random.millis(0, 1_500));
        let server = both[which].start();
        doors.lock().unwrap()[which] = Some(server.http);
        println!(
            "cycle {cycle}: node {which} again, {} MiB",
            memory_mib(server.process.id(), "VmRSS:")
        );
        servers[which] = Some(server);
    }
    ended.store(true, Ordering::Relaxed);
    let calls = load.join().unwrap();
    for server in servers.iter().flatten() {
        server.wait_stored();
        wait_booked(server, calls);
        verify(server);
    }
    let server = servers[0].as_ref().unwrap();
    let sql = "SELECT skill, calls, cost_usd FROM cost_per_skill ORDER BY skill";
    let rows = server.query(sql);
    println!("{calls} calls: {rows:?}");
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(row[1], (calls / 5).to_string());
        let cost: f64 = row[2].parse().unwrap();
        let expected = CALL_USD * (calls / 5) as f64;
        assert!((cost - expected).abs() < 1e-9, "{cost} for {expected}");
    }
}
