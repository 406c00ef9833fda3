use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use serde_json::{Value, json};
use weir_sinks::outbound::WebhookConfig;

use super::*;
use crate::app::rig::Rig;
use crate::config::Target;

/// A strict receiver of rows: a post without what was promised is refused for good, a name that
/// was seen before stores nothing.
#[derive(Debug, Default)]
struct Received(Mutex<BTreeMap<String, Vec<Value>>>, AtomicBool);

async fn take(
    State(received): State<Arc<Received>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if received.1.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let (Some(key), Some("application/x-ndjson")) =
        (header("idempotency-key"), header("content-type"))
    else {
        return StatusCode::BAD_REQUEST;
    };
    let lines = body.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
    let rows: Result<Vec<Value>, _> = lines.map(serde_json::from_slice).collect();
    let Ok(rows) = rows else {
        return StatusCode::BAD_REQUEST;
    };
    received.0.lock().entry(key.to_owned()).or_insert(rows);
    StatusCode::NO_CONTENT
}

impl Received {
    async fn serve() -> (Arc<Self>, SocketAddr) {
        let received = Arc::new(Self::default());
        let routes = Router::new().route("/rows", post(take));
        let routes = routes.with_state(Arc::clone(&received));
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(socket, routes).await });
        (received, address)
    }

    /// Waits for as many rows.
    async fn rows(&self, count: usize) -> Vec<Value> {
        for _ in 0..500 {
            let rows: Vec<Value> = self.0.lock().values().flatten().cloned().collect();
            if rows.len() >= count {
                return rows;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} posts came", self.0.lock().len());
    }
}

fn webhook(address: SocketAddr) -> SinkConfig {
    let target = Target::Webhook(WebhookConfig {
        url: format!("http://{address}/rows"),
        ..WebhookConfig::default()
    });
    SinkConfig {
        target,
        ..crate::config::sinks::first()
    }
}

fn event(n: usize) -> String {
    let time = 1_767_225_600_000_i64;
    json!({ "class_uid": 6003, "time": time, "message": format!("hello {n}") }).to_string()
}

async fn send(rig: &Rig, numbers: std::ops::Range<usize>) {
    for n in numbers {
        let reply = rig.post("/v1/ocsf/ingest", "application/json", event(n));
        assert_eq!(reply.await.status, StatusCode::ACCEPTED);
    }
}

/// The messages, each as often as it came.
fn messages(rows: &[Value]) -> Vec<String> {
    let mut found: Vec<String> = rows
        .iter()
        .map(|row| row["message"].as_str().unwrap_or("?").to_owned())
        .collect();
    found.sort();
    found
}

/// Waits until the recount closes, and gives the line of a sink and dataset.
async fn line(rig: &Rig, sink: &str, dataset: &str) -> Value {
    for _ in 0..300 {
        let report = rig.get("/v1/admin/verify").await.json();
        let lines = report["lines"].as_array().cloned().unwrap_or_default();
        let ours = lines
            .into_iter()
            .find(|l| l["sink"] == sink && l["dataset"] == dataset);
        if let Some(ours) = ours.filter(|l| report["ok"] == true && l["pending"] == 0) {
            return ours;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", rig.get("/v1/admin/verify").await.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_reaches_a_webhook_once_and_is_accounted_for() {
    let (received, address) = Received::serve().await;
    let rig = Rig::start_with(|config| {
        config.sinks.insert("hook".into(), webhook(address));
    })
    .await;
    send(&rig, 0..3).await;
    let rows = received.rows(3).await;
    assert!(rows.iter().all(|row| row["_node"].is_string()), "{rows:?}");
    assert_eq!(messages(&rows), ["hello 0", "hello 1", "hello 2"]);
    let line = line(&rig, "hook", "ocsf_events").await;
    assert_eq!(
        (&line["stored"], &line["routed_out"]),
        (&json!(3), &json!(0))
    );
    let metrics = rig.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let stored = "weir_stored_rows_total{sink=\"hook\",dataset=\"ocsf_events\"} 3";
    assert!(metrics.contains(stored), "{metrics}");
    rig.app.stop().await.unwrap();
}

/// Sends forty events, more than a segment holds, so that the first ones go once they may.
async fn fill(rig: &Rig) {
    // Nothing that could be compressed.
    let mut state = 1_u64;
    for n in 0..40 {
        let text: String = (0..512)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                format!("{state:016x}")
            })
            .collect();
        let event = json!({
            "class_uid": 6003,
            "time": 1_767_225_600_000_i64,
            "message": format!("{n:02}"),
            "raw_data": format!("{n} {text}"),
        });
        let reply = rig.post("/v1/ocsf/ingest", "application/json", event.to_string());
        assert_eq!(reply.await.status, StatusCode::ACCEPTED);
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Whether the log lets go of the first batch within some seconds, while events go on to come.
async fn let_go(rig: &Rig) -> bool {
    for _ in 0..60 {
        if !rig.app.node().log.holds_batch(Dataset::OcsfEvents, 1) {
            return true;
        }
        send(rig, 0..1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

fn small_log(config: &mut Config) {
    config.wal.retain = Duration::ZERO;
    config.wal.segment_size = 64 << 10;
}

/// The log waits for a sink that is required, and not for one that need not be waited for; the
/// latter lacks nothing in the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_required_sink_holds_the_log_back_and_a_detached_one_is_parked_and_filled() {
    tokio::join!(away(true), away(false));
}

async fn away(required: bool) {
    let (received, address) = Received::serve().await;
    received.1.store(true, Ordering::Relaxed);
    let rig = Rig::start_with(|config| {
        small_log(config);
        let mut sink = webhook(address);
        sink.shared.required = required;
        sink.shared.lag_max = Duration::from_millis(500);
        config.sinks.insert("away".into(), sink);
    })
    .await;
    fill(&rig).await;
    assert_eq!(let_go(&rig).await, !required, "required: {required}");
    let states = rig.get("/v1/admin/sinks").await.json();
    assert_eq!(states[1]["parked"], !required, "{states}");
    received.1.store(false, Ordering::Relaxed);
    let whole = line(&rig, "away", "ocsf_events").await;
    assert_eq!(whole["stored"], whole["accepted"], "{whole}");
    let found = messages(&received.rows(40).await);
    for n in 0..40 {
        let times = found.iter().filter(|m| **m == format!("{n:02}")).count();
        assert_eq!(times, 1, "{n}: {found:?}");
    }
    rig.app.stop().await.unwrap();
}

/// A booking of cost reaches a sink though it never was in the log.
#[tokio::test(flavor = "multi_thread")]
async fn bookings_of_cost_reach_a_sink() {
    let (received, address) = Received::serve().await;
    let rig = Rig::start_with(|config| {
        config.ledger.interval = Duration::from_millis(50);
        let mut sink = webhook(address);
        sink.shared.datasets = vec!["cost_ledger".into()];
        config.sinks.insert("finance".into(), sink);
    })
    .await;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/demo/16_litellm_otel.pb"
    );
    let reply = rig.post(
        "/v1/traces",
        "application/x-protobuf",
        std::fs::read(path).unwrap(),
    );
    assert_eq!(reply.await.status, StatusCode::OK);
    let rows = received.rows(1).await;
    let booked = rig.sql("SELECT count(*) FROM cost_ledger").await[0][0].clone();
    let rows = match booked.as_u64() {
        Some(count) => received.rows(usize::try_from(count).unwrap()).await,
        None => rows,
    };
    assert!(
        rows.iter().all(|row| row["cost_usd"].is_string()),
        "{rows:?}"
    );
    rig.app.stop().await.unwrap();
}

/// Routes may change while the node runs; what was sealed before keeps its own.
#[tokio::test(flavor = "multi_thread")]
async fn routes_change_while_the_node_runs() {
    let (received, address) = Received::serve().await;
    let mut sink = webhook(address);
    sink.shared.datasets = vec!["spans".into()];
    let rig = Rig::start_with(|config| {
        config.sinks.insert("hook".into(), sink.clone());
    })
    .await;
    send(&rig, 0..2).await;
    line(&rig, "lake", "ocsf_events").await;
    sink.shared.datasets.push("ocsf_events".into());
    let sinks: Sinks = [("hook".to_owned(), sink)].into();
    rig.app.reroute(sinks).await;
    send(&rig, 2..4).await;
    let line = line(&rig, "hook", "ocsf_events").await;
    assert_eq!(
        (&line["stored"], &line["routed_out"]),
        (&json!(2), &json!(2)),
        "{line}"
    );
    assert_eq!(messages(&received.rows(2).await), ["hello 2", "hello 3"]);
    rig.app.stop().await.unwrap();
}

/// A sink that was added after the log had let its rows go gets them from the lake; one that says
/// `backfill: false` does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_added_later_is_filled_from_the_lake() {
    let dir = tempfile::tempdir().unwrap();
    let start = |sinks: Vec<(&'static str, SinkConfig)>| {
        let mut config = crate::app::rig::config_in(dir.path());
        small_log(&mut config);
        config.sinks.extend(
            sinks
                .into_iter()
                .map(|(name, sink)| (name.to_owned(), sink)),
        );
        async move { Box::pin(crate::app::App::start(&config)).await.unwrap() }
    };
    let app = start(Vec::new()).await;
    let rig = Rig {
        app,
        dir: tempfile::tempdir().unwrap(),
    };
    fill(&rig).await;
    line(&rig, "lake", "ocsf_events").await;
    let log = Arc::clone(&rig.app.node().log);
    assert!(let_go(&rig).await, "the log let go of the first batch");
    rig.app.stop().await.unwrap();
    drop(log);
    let (received, address) = Received::serve().await;
    let (fresh, elsewhere) = Received::serve().await;
    let mut from_now = webhook(elsewhere);
    from_now.shared.backfill = false;
    let app = start(vec![("later", webhook(address)), ("fresh", from_now)]).await;
    let rig = Rig { app, dir: rig.dir };
    send(&rig, 1_000..1_001).await;
    let whole = line(&rig, "later", "ocsf_events").await;
    let part = line(&rig, "fresh", "ocsf_events").await;
    assert_eq!(whole["stored"], whole["accepted"], "{whole}");
    assert_eq!(
        (&part["stored"], part["routed_out"].as_u64() > Some(39)),
        (&json!(1), true),
        "{part}"
    );
    let rows = received.rows(41).await;
    let found = messages(&rows);
    for n in 0..40 {
        let times = found.iter().filter(|m| **m == format!("{n:02}")).count();
        assert_eq!(times, 1, "{n}: {found:?}");
    }
    assert_eq!(messages(&fresh.rows(1).await), ["hello 1000"]);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_sink_hinders_neither_the_start_nor_readiness_nor_the_stop() {
    // Bound, and never answered.
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let began = std::time::Instant::now();
    let rig = Rig::start_with(|config| {
        for n in 0..4 {
            config.sinks.insert(format!("dead-{n}"), webhook(address));
        }
        let mut paused = webhook(address);
        paused.shared.required = true;
        config.sinks.insert("paused".into(), paused);
    })
    .await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    let act = |action: &str, sink: &str| json!({ "action": action, "sink": sink }).to_string();
    let path = "/v1/admin/sinks";
    let reply = rig
        .post(path, "application/json", act("pause", "paused"))
        .await;
    assert_eq!(reply.json()["paused"], true, "{:?}", reply.body);
    for (body, status) in [
        (act("pause", "nobody"), StatusCode::NOT_FOUND),
        (act("explode", "paused"), StatusCode::BAD_REQUEST),
        ("[]".to_owned(), StatusCode::BAD_REQUEST),
    ] {
        let reply = rig.post(path, "application/json", body).await;
        assert_eq!(reply.status, status, "{:?}", reply.body);
    }
    send(&rig, 0..2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.get("/readyz").await.status, StatusCode::OK);
    let states = rig.get(path).await.json();
    assert_eq!(states.as_array().map(Vec::len), Some(6), "{states}");
    let began = std::time::Instant::now();
    rig.app.stop().await.unwrap();
    assert!(
        began.elapsed() <= Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(socket);
}

/// The receiver is another weir: what it stores of a span is what was sent to the first.
#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_another_collector_as_they_were_sent() {
    let receiver = Rig::start().await;
    let to = receiver.app.addresses().otlp_http;
    let rig = Rig::start_with(|config| {
        let target = Target::Otlp(weir_sinks::outbound::OtlpConfig {
            url: format!("http://{to}"),
            ..weir_sinks::outbound::OtlpConfig::default()
        });
        let mut sink = webhook(to);
        sink.shared.datasets = vec!["spans".into()];
        config
            .sinks
            .insert("copy".into(), SinkConfig { target, ..sink });
    })
    .await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/demo");
    let mut sent = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "pb") {
            let reply = rig.post(
                "/v1/traces",
                "application/x-protobuf",
                std::fs::read(path).unwrap(),
            );
            sent += usize::from(reply.await.status == StatusCode::OK);
        }
    }
    assert!(sent > 0, "no request in {folder}");
    let own: Vec<&str> = Dataset::Spans
        .columns()
        .iter()
        .map(|c| c.name)
        .filter(|name| {
            !matches!(
                *name,
                "tenant_id" | "part_date" | "received_at" | "_node" | "_batch" | "_row"
            )
        })
        .collect();
    let sql = format!(
        "SELECT {} FROM spans ORDER BY trace_id, span_id, content_key",
        own.join(", ")
    );
    let wanted = rig.sql(&sql).await;
    assert!(!wanted.is_empty());
    let mut found = Vec::new();
    for _ in 0..200 {
        found = receiver.sql(&sql).await;
        if found.len() >= wanted.len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        for (at, name) in own.iter().enumerate() {
            assert_eq!(found[at], wanted[at], "{name}");
        }
    }
    rig.app.stop().await.unwrap();
    receiver.app.stop().await.unwrap();
    crate::app::sinks::receivers::at_least_once("otlp", "weir", env!("CARGO_PKG_VERSION"));
}
