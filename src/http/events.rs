//! `POST /api/v1/telemetry/events` and `.../events:batch`: 201, with the ids of what was stored.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use weir_ingest::decode::telemetry::TelemetryForm;
use weir_ingest::log::Route;
use weir_model::TenantId;
use weir_store::Scope;

use crate::app::Node;
use crate::http::ocsf::{json_only, success};
use crate::http::otlp::arrive;
use crate::http::refusal::Refusal;
use crate::telemetry::Rows;

/// The header by which senders name their tenant; it can only agree with the credential.
const TENANT: &str = "x-claresia-tenant";

/// Takes one event.
pub(crate) async fn one(State(node): State<Arc<Node>>, request: Request) -> Response {
    ingest(&node, request, TelemetryForm::One).await
}

/// Takes a batch of events.
pub(crate) async fn batch(State(node): State<Arc<Node>>, request: Request) -> Response {
    ingest(&node, request, TelemetryForm::Batch).await
}

async fn ingest(node: &Node, request: Request, form: TelemetryForm) -> Response {
    let passage = node.intake.counters.enter(Route::TelemetryEvents);
    let result = take(node, request, form).await;
    passage.end(&result);
    result.unwrap_or_else(Refusal::into_response)
}

async fn take(node: &Node, request: Request, form: TelemetryForm) -> Result<Response, Refusal> {
    json_only(request.headers())?;
    let headers = request.headers().clone();
    let arrived = arrive(node, request, Scope::Ingest).await?;
    agree(&headers, &arrived.caller.tenant)?;
    let taken = node.intake.telemetry(arrived, form).await?;
    let mut response = success(StatusCode::CREATED, taken.answer);
    response.extensions_mut().insert(Rows(taken.rows));
    Ok(response)
}

/// Refuses a header that names another tenant than the credential; none, or an empty one, says
/// nothing.
fn agree(headers: &HeaderMap, tenant: &TenantId) -> Result<(), Refusal> {
    let mut named = headers.get_all(TENANT).iter();
    let same = named.all(|name| {
        let name = name.to_str().map(str::trim);
        name.is_ok_and(|name| name.is_empty() || name == tenant.as_str())
    });
    if same {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "tenant_mismatch",
        "X-Claresia-Tenant names another tenant than the key; the key alone says whose events \
         these are",
    ))
}
