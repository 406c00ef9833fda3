//! Whether the node lives and takes requests, for load balancers and for people.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use crate::app::Node;
use crate::http::ocsf::success;

/// `GET /livez`: 200 while the process can go on.
pub(crate) async fn live(State(node): State<Arc<Node>>) -> Response {
    let broken = node.log.status().broken;
    let status = if broken {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let word = if broken { "broken" } else { "alive" };
    success(status, json!({ "status": word }).to_string().into())
}

/// `GET /readyz`: 200 while requests are taken, with a hint where none has come yet.
pub(crate) async fn ready(State(node): State<Arc<Node>>) -> Response {
    let log = node.log.status();
    let (status, word) = match () {
        () if log.broken => (StatusCode::SERVICE_UNAVAILABLE, "broken"),
        () if node.is_stopping() => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        () if log.full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
        () => (StatusCode::OK, "ready"),
    };
    let mut body = json!({ "status": word, "node": node.log.node().as_str() });
    if let (false, Some(fields)) = (node.anything_arrived(), body.as_object_mut()) {
        fields.insert("hint".into(), node.hint().into());
    }
    success(status, body.to_string().into())
}

/// `GET /`: what this is, and where to look.
pub(crate) async fn hello(State(node): State<Arc<Node>>) -> Response {
    let body = json!({
        "name": "weir",
        "version": env!("CARGO_PKG_VERSION"),
        "node": node.log.node().as_str(),
        "send": ["POST /v1/traces", "POST /v1/proxy/audit", "POST /v1/ocsf/ingest"],
        "ask": ["POST /v1/query", "GET /v1/tail", "GET /v1/status", "GET /metrics"],
    });
    success(StatusCode::OK, body.to_string().into())
}
