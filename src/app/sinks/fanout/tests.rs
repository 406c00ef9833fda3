use std::collections::BTreeMap;
use std::net::SocketAddr;
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
struct Received(Mutex<BTreeMap<String, Vec<Value>>>);

async fn take(
    State(received): State<Arc<Received>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
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

#[tokio::test]
async fn what_is_accepted_reaches_a_webhook() {
    let (received, address) = Received::serve().await;
    let rig = Rig::start_with(|config| {
        config.sinks.insert("hook".into(), webhook(address));
    })
    .await;
    let event = json!({ "class_uid": 6003, "time": 1_767_225_600_000_i64, "message": "hello" });
    for _ in 0..3 {
        let reply = rig.post("/v1/ocsf/ingest", "application/json", event.to_string());
        assert_eq!(reply.await.status, StatusCode::ACCEPTED);
    }
    let rows = received.rows(3).await;
    assert!(rows.iter().all(|row| row["_node"].is_string()), "{rows:?}");
    rig.app.stop().await.unwrap();
}
