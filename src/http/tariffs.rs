//! `GET /v1/prices/tariffs/{name}`: the prices that bookings name, for whoever wants to price alike.
//!
//! `current` is the one that the caller's calls are priced by now. The answer is the text that the
//! tariff's name is a hash of, and where its list is. What is for another tenant is shown to nobody
//! else: it is not there.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use weir_store::Scope;
use weir_transforms::Tariff;

use crate::app::Node;
use crate::http::auth;
use crate::http::ocsf::success;
use crate::http::refusal::Refusal;

/// Answers with a tariff.
pub(crate) async fn tariff(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    match find(&node, &name, &headers).await {
        Ok(tariff) => {
            let body = json!({
                "name": tariff.name(),
                "kept": tariff.kept(),
                "list": tariff.list().version(),
                "list_hash": tariff.list().hash().to_hex().to_string(),
            });
            success(StatusCode::OK, body.to_string().into())
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// Answers with the text of the list that a tariff rests on.
pub(crate) async fn list(
    State(node): State<Arc<Node>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let found = match find(&node, &name, &headers).await {
        Ok(tariff) => {
            let prices = Arc::clone(&node.prices);
            let read = tokio::task::spawn_blocking(move || prices.list_text(&tariff)).await;
            read.ok().flatten().ok_or_else(not_kept)
        }
        Err(refusal) => Err(refusal),
    };
    match found {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            let kind = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn find(node: &Node, name: &str, headers: &HeaderMap) -> Result<Arc<Tariff>, Refusal> {
    let caller = auth::caller(node, headers, Scope::Query)?;
    if name == "current" {
        return Ok(node.prices.current(&caller.tenant));
    }
    let (prices, name) = (Arc::clone(&node.prices), name.to_owned());
    // One that is not in memory is read from a file.
    let found = tokio::task::spawn_blocking(move || prices.by_name(&name)).await;
    let found = found.map_err(|_| Refusal::internal())?;
    let theirs = found.filter(|tariff| !tariff.is_of_another(caller.tenant.as_str()));
    theirs.ok_or_else(not_kept)
}

fn not_kept() -> Refusal {
    let text = "no prices of that name were ever in effect on this node";
    Refusal::new(StatusCode::NOT_FOUND, "not_set", text)
}
