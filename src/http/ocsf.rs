//! `POST /v1/ocsf/ingest`: 202, with counts by class, and what is to be said of single events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use weir_ingest::log::Route;
use weir_store::Scope;

use crate::app::Node;
use crate::http::otlp::arrive;
use crate::http::refusal::Refusal;
use crate::telemetry::Rows;

/// Takes security events.
pub(crate) async fn ingest(State(node): State<Arc<Node>>, request: Request) -> Response {
    let passage = node.intake.counters.enter(Route::Ocsf);
    let result = take(&node, request).await;
    passage.end(&result);
    result.unwrap_or_else(Refusal::into_response)
}

async fn take(node: &Node, request: Request) -> Result<Response, Refusal> {
    json_only(request.headers())?;
    let arrived = arrive(node, request, Scope::Ingest).await?;
    let taken = node.intake.events(arrived).await?;
    let mut response = success(StatusCode::ACCEPTED, taken.answer);
    response.extensions_mut().insert(Rows(taken.rows));
    Ok(response)
}

/// Takes JSON under any of its names, or a body that names no type.
///
/// # Errors
///
/// 415 for any other type.
pub(crate) fn json_only(headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let text = value.to_str().unwrap_or_default();
    let kind = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let json = kind == "application/json" || kind.ends_with("+json");
    // `curl -d` sends a form's type whatever the body is.
    let loose = [
        "",
        "application/x-ndjson",
        "application/ndjson",
        "text/plain",
    ];
    if json || loose.contains(&kind.as_str()) || kind == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Content-Type must be application/json",
    ))
}

/// A JSON answer.
pub(crate) fn success(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
