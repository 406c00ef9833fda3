//! `GET /v1/status` and `GET /v1/admin/verify`: how the node stands, and whether all is there.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use weir_store::Scope;

use crate::app::{Node, account};
use crate::http::auth;
use crate::http::ocsf::success;
use crate::http::refusal::Refusal;

/// The closing account as it stands in memory; cheap.
pub(crate) async fn status(State(node): State<Arc<Node>>, request: Request) -> Response {
    if let Err(refusal) = auth::tenant(&node, request.headers(), Scope::Admin) {
        return refusal.into_response();
    }
    let log = node.log.status();
    let (resends, window_s) = node.intake.resend_window();
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": log.node.as_str(),
        "uptime_s": node.uptime().as_secs(),
        "stopping": node.is_stopping(),
        "lake": node.lake_shown,
        "datasets": account::of_memory(&node),
        "sinks": node.sink_states(),
        "log": {
            "segments": log.segments,
            "disk_bytes": log.disk_bytes,
            "budget_bytes": log.budget_bytes,
            "recent_bytes": log.recent_bytes,
            "full": log.full,
            "broken": log.broken,
        },
        "ledger": node.booking.as_ref().map(|b| ledger_state(&b.shown())),
        "in_flight_bytes": node.intake.budget.used(),
        "resends": { "remembered": resends, "window_s": window_s },
    });
    success(StatusCode::OK, body.to_string().into())
}

fn ledger_state(shown: &weir_ledger::Shown) -> serde_json::Value {
    json!({
        "booking": shown.booking,
        "lag_s": shown.lag.as_secs_f64(),
        "lag_batches": shown.lag_batches,
        "rounds": shown.rounds,
        "fenced": shown.fenced,
        "spans": shown.spans,
        "traces": shown.traces,
        "bookings": shown.bookings,
        "facts": shown.facts,
        "last_error": shown.last_error,
    })
}

/// The closing account, recounted in the sinks themselves; it reads the lake's files.
pub(crate) async fn verify(State(node): State<Arc<Node>>, request: Request) -> Response {
    if let Err(refusal) = auth::tenant(&node, request.headers(), Scope::Admin) {
        return refusal.into_response();
    }
    match Box::pin(account::verify(&node)).await {
        Ok(report) => success(StatusCode::OK, report.json().to_string().into()),
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "verify.failed");
            let text = "the sinks could not be counted just now; the server's log says why";
            let after = std::time::Duration::from_secs(5);
            Refusal::unavailable("verify_failed", text, after).into_response()
        }
    }
}
