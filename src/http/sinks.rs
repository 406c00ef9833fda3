//! The sinks and their dead letters, for whoever runs the node: `/v1/admin/sinks`,
//! `/v1/admin/dead-letters`, and what this build was proven on: `/v1/backends`.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use weir_sinks::{DeadError, DeadLetters, LetterId};
use weir_store::Scope;

use crate::app::Node;
use crate::app::sinks::{ReplayError, letter_json, replay, rows_json, told};
use crate::http::auth;
use crate::http::ocsf::success;
use crate::http::refusal::Refusal;

/// The largest body of an action.
const BODY_BYTES_MAX: usize = 64 << 10;

fn ok(body: &Value) -> Response {
    success(StatusCode::OK, body.to_string().into())
}

fn bad(detail: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_action", detail)
}

fn admin(node: &Node, headers: &HeaderMap) -> Result<(), Refusal> {
    auth::tenant(node, headers, Scope::Admin).map(drop)
}

async fn body(request: Request) -> Result<Action, Refusal> {
    let body = to_bytes(request.into_body(), BODY_BYTES_MAX).await;
    let body = body.map_err(|_| bad("the body could not be read, or is larger than 64 KiB"))?;
    serde_json::from_slice(&body).map_err(|_| {
        bad("the body must be an object as {\"action\": \"pause\", \"sink\": \"NAME\"}")
    })
}

/// What is to be done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    action: String,
    #[serde(default)]
    sink: Option<String>,
    #[serde(default)]
    id: Option<String>,
}

/// `GET /v1/admin/sinks`.
pub(crate) async fn list(State(node): State<Arc<Node>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = admin(&node, &headers) {
        return refusal.into_response();
    }
    ok(&node.sink_states())
}

/// `POST /v1/admin/sinks`: pause, resume or backfill one.
pub(crate) async fn act(State(node): State<Arc<Node>>, request: Request) -> Response {
    if let Err(refusal) = admin(&node, request.headers()) {
        return refusal.into_response();
    }
    match sink_action(&node, request).await {
        Ok(state) => ok(&state),
        Err(refusal) => refusal.into_response(),
    }
}

async fn sink_action(node: &Arc<Node>, request: Request) -> Result<Value, Refusal> {
    let action = body(request).await?;
    let name = action.sink.ok_or_else(|| bad("`sink` is missing"))?;
    if node.fanout.find(&name).is_none() {
        let text = format!("this node has no sink `{name}` that can be paused or filled");
        return Err(Refusal::new(StatusCode::NOT_FOUND, "sink_unknown", text));
    }
    let paused = match action.action.as_str() {
        "pause" => true,
        // What a sink lacks is given to it from the lake without being asked; the word makes sure
        // that nothing stands in the way.
        "resume" | "backfill" => false,
        _ => return Err(bad("`action` is none of pause, resume and backfill")),
    };
    let (own, of) = (Arc::clone(node), name.clone());
    let done = tokio::task::spawn_blocking(move || {
        own.fanout
            .find(&of)
            .map(|outlet| outlet.book().pause(paused))
    });
    match done.await {
        Ok(Some(Ok(()))) => tracing::info!(sink = name, paused, "sink.switched"),
        Ok(Some(Err(error))) => {
            tracing::error!(sink = name, error = told(&error), "sink.switch.failed");
            return Err(Refusal::internal());
        }
        Ok(None) | Err(_) => return Err(Refusal::internal()),
    }
    let now_us = node.intake.now_us();
    let state = node
        .fanout
        .find(&name)
        .map(|outlet| outlet.state(&node.log, now_us));
    Ok(state.unwrap_or_default())
}

/// What of the letters is wanted.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    sink: Option<String>,
    #[serde(default)]
    id: Option<String>,
}

/// `GET /v1/admin/dead-letters`: all, those of one sink, or one with its rows.
pub(crate) async fn letters(
    State(node): State<Arc<Node>>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = admin(&node, &headers) {
        return refusal.into_response();
    }
    let found = match &wanted.id {
        Some(id) => show(&node, id).await,
        None => all(&node, wanted.sink).await,
    };
    match found {
        Ok(found) => ok(&found),
        Err(refusal) => refusal.into_response(),
    }
}

async fn all(node: &Node, sink: Option<String>) -> Result<Value, Refusal> {
    let letters = on_disk(node, DeadLetters::list).await?;
    let wanted = letters
        .iter()
        .filter(|l| sink.as_ref().is_none_or(|s| *s == l.id.sink));
    Ok(json!({ "letters": wanted.map(letter_json).collect::<Vec<_>>() }))
}

async fn show(node: &Node, id: &str) -> Result<Value, Refusal> {
    let id = parsed(id)?;
    let (letter, rows) = on_disk(node, move |dead| dead.show(&id)).await?;
    let rows = rows_json(&rows).map_err(|error| {
        tracing::error!(error = told(&error), "dlq.failed");
        Refusal::internal()
    })?;
    let mut shown = letter_json(&letter);
    if let Some(members) = shown.as_object_mut() {
        members.insert("content".to_owned(), rows);
    }
    Ok(shown)
}

/// `POST /v1/admin/dead-letters`: replay or drop one.
pub(crate) async fn settle(State(node): State<Arc<Node>>, request: Request) -> Response {
    if let Err(refusal) = admin(&node, request.headers()) {
        return refusal.into_response();
    }
    match letter_action(&node, request).await {
        Ok(letter) => ok(&letter),
        Err(refusal) => refusal.into_response(),
    }
}

async fn letter_action(node: &Arc<Node>, request: Request) -> Result<Value, Refusal> {
    let action = body(request).await?;
    let id = parsed(&action.id.ok_or_else(|| bad("`id` is missing"))?)?;
    let letter = match action.action.as_str() {
        "drop" => on_disk(node, move |dead| dead.drop_rows(&id)).await?,
        "replay" => Box::pin(replay(node, &id)).await.map_err(not_replayed)?,
        _ => return Err(bad("`action` is neither replay nor drop")),
    };
    tracing::info!(letter = %letter.id, action = action.action, "dlq.settled");
    Ok(letter_json(&letter))
}

fn parsed(id: &str) -> Result<LetterId, Refusal> {
    id.parse()
        .map_err(|error: weir_sinks::InvalidLetterId| bad(error.to_string()))
}

fn not_replayed(error: ReplayError) -> Refusal {
    let text = error.to_string();
    match error {
        ReplayError::NoSink(_) => Refusal::new(StatusCode::NOT_FOUND, "sink_unknown", text),
        ReplayError::Refused(_) => Refusal::new(StatusCode::CONFLICT, "replay_refused", text),
        ReplayError::Busy(_) => {
            let after = std::time::Duration::from_secs(5);
            Refusal::unavailable("replay_failed", text, after)
        }
        ReplayError::Letters(error) => unread(error),
        ReplayError::Worker => Refusal::internal(),
    }
}

fn unread(error: DeadError) -> Refusal {
    if matches!(error, DeadError::Missing { .. } | DeadError::Name { .. }) {
        return Refusal::new(StatusCode::NOT_FOUND, "letter_unknown", error.to_string());
    }
    tracing::error!(error = told(&error), "dlq.failed");
    Refusal::internal()
}

async fn on_disk<T: Send + 'static>(
    node: &Node,
    work: impl FnOnce(&DeadLetters) -> Result<T, DeadError> + Send + 'static,
) -> Result<T, Refusal> {
    let dead = Arc::clone(&node.dead);
    match tokio::task::spawn_blocking(move || work(&dead)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(unread(error)),
        Err(_) => Err(Refusal::internal()),
    }
}

/// `GET /v1/backends`: what this build was proven on; it names no state of the node.
pub(crate) async fn backends() -> Response {
    ok(&crate::app::backends::json())
}
