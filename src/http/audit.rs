//! `POST /v1/proxy/audit`: 200, with the body that its senders know.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use weir_ingest::log::Route;
use weir_store::Scope;

use crate::app::Node;
use crate::http::ocsf::{json_only, success};
use crate::http::otlp::arrive;
use crate::http::refusal::Refusal;
use crate::telemetry::Rows;

/// Takes audit events of a gateway or proxy.
pub(crate) async fn ingest(State(node): State<Arc<Node>>, request: Request) -> Response {
    let passage = node.intake.counters.enter(Route::ProxyAudit);
    let result = take(&node, request).await;
    passage.end(&result);
    result.unwrap_or_else(Refusal::into_response)
}

async fn take(node: &Node, request: Request) -> Result<Response, Refusal> {
    json_only(request.headers())?;
    let arrived = arrive(node, request, Scope::Ingest).await?;
    let taken = node.intake.audit(arrived).await?;
    if taken.repeated {
        tracing::debug!("audit.replayed");
    }
    let mut response = success(StatusCode::OK, taken.answer);
    response.extensions_mut().insert(Rows(taken.rows));
    Ok(response)
}
