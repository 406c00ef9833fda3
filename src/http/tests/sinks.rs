//! Dead letters over HTTP, from the refusal to the replay.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use weir_sinks::outbound::WebhookConfig;

use crate::app::rig::{Reply, Rig};
use crate::config::{SinkConfig, Target};

const PATH: &str = "/v1/admin/dead-letters";

/// A receiver that answers with the status that it is told.
async fn receiver() -> (Arc<AtomicU16>, String) {
    let status = Arc::new(AtomicU16::new(422));
    async fn answer(State(status): State<Arc<AtomicU16>>, body: Bytes) -> Response {
        let status = StatusCode::from_u16(status.load(Ordering::Relaxed)).unwrap();
        drop(body);
        (status, [("retry-after", "60")]).into_response()
    }
    let routes = Router::new()
        .route("/", post(answer))
        .with_state(Arc::clone(&status));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, routes).await });
    (status, url)
}

async fn act(rig: &Rig, action: &str, id: &str) -> Reply {
    let body = json!({ "action": action, "id": id }).to_string();
    rig.post(PATH, "application/json", body).await
}

async fn refused(rig: &Rig, message: &str, letters: usize) -> Vec<Value> {
    let event = json!({ "class_uid": 6003, "time": 1_767_225_600_000_i64, "message": message });
    let reply = rig.post("/v1/ocsf/ingest", "application/json", event.to_string());
    assert_eq!(reply.await.status, StatusCode::ACCEPTED);
    for _ in 0..200 {
        let found = rig.get(PATH).await.json()["letters"].as_array().cloned();
        let found = found.unwrap_or_default();
        if found.len() == letters {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no letter came");
}

fn code(reply: &Reply) -> (u16, String) {
    (
        reply.status.as_u16(),
        reply.json()["code"].as_str().unwrap_or("-").to_owned(),
    )
}

fn is(reply: &Reply, status: u16, word: &str) {
    assert_eq!(code(reply), (status, word.to_owned()), "{:?}", reply.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_replayed_once_it_can_be_and_dropped() {
    let (status, url) = receiver().await;
    let rig = Rig::start_with(|config| {
        let target = Target::Webhook(WebhookConfig {
            url,
            ..WebhookConfig::default()
        });
        let sink = SinkConfig {
            target,
            ..crate::config::sinks::first()
        };
        config.sinks.insert("hook".into(), sink);
    })
    .await;
    let letters = refused(&rig, "hello", 1).await;
    let id = letters[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(letters[0]["rows"], 1, "{letters:?}");
    assert!(
        letters[0]["reason"].as_str().unwrap().contains("422"),
        "{letters:?}"
    );
    let shown = rig.get(&format!("{PATH}?id={id}")).await.json();
    assert_eq!(shown["content"][0]["message"], "hello", "{shown}");
    let none = rig.get(&format!("{PATH}?sink=other")).await.json();
    assert_eq!(none["letters"], json!([]));

    is(&act(&rig, "replay", &id).await, 409, "replay_refused");
    status.store(503, Ordering::Relaxed);
    is(&act(&rig, "replay", &id).await, 503, "replay_failed");
    status.store(200, Ordering::Relaxed);
    let replayed = act(&rig, "replay", &id).await;
    assert_eq!(replayed.json()["state"], "replayed", "{:?}", replayed.body);
    is(&act(&rig, "replay", &id).await, 404, "letter_unknown");

    status.store(422, Ordering::Relaxed);
    let letters = refused(&rig, "again", 2).await;
    let kept = letters.iter().find(|l| l["state"] == "kept").unwrap();
    let id = kept["id"].as_str().unwrap();
    assert_eq!(act(&rig, "drop", id).await.json()["state"], "dropped");
    let gone = rig.get(&format!("{PATH}?id={id}")).await;
    is(&gone, 404, "letter_unknown");

    is(&act(&rig, "burn", id).await, 400, "bad_action");
    is(&act(&rig, "drop", "nonsense").await, 400, "bad_action");
    let elsewhere = id.replace("hook/", "other/");
    is(&act(&rig, "replay", &elsewhere).await, 404, "sink_unknown");
    // The letter is durable before the cursor moves over its batch.
    let mut line = Value::Null;
    for _ in 0..200 {
        let report = rig.get("/v1/admin/verify").await.json();
        let lines = report["lines"].as_array().cloned().unwrap_or_default();
        let ours = |l: &&Value| l["sink"] == "hook" && l["dataset"] == "ocsf_events";
        line = lines.iter().find(ours).cloned().unwrap_or_default();
        if line["pending"] == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let found = ["difference", "set_aside", "stored"].map(|name| line[name].as_i64());
    assert_eq!(found, [Some(0), Some(1), Some(1)], "{line}");
    rig.app.stop().await.unwrap();
}
