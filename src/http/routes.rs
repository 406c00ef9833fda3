//! Which route each listener serves.
//!
//! The OTLP listeners serve both transports: a client that confuses 4317 with 4318 is understood.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};

use crate::app::Node;
use crate::http::refusal::Refusal;
use crate::http::{
    admin, audit, costs, events, health, metrics, ocsf, openapi, otlp, query, rollups, settings,
    surround, tail, tariffs,
};

/// The HTTP API: everything.
pub(crate) fn api(node: &Arc<Node>) -> Router {
    let routes = receivers()
        .route("/v1/proxy/audit", post(audit::ingest).fallback(only_post))
        .route("/v1/ocsf/ingest", post(ocsf::ingest).fallback(only_post))
        .route(
            "/api/v1/telemetry/events",
            post(events::one).fallback(only_post),
        )
        .route(
            "/api/v1/telemetry/events:batch",
            post(events::batch).fallback(only_post),
        )
        .route("/v1/query", post(query::run).fallback(only_post))
        .route(
            "/v1/rollups/cost-per-skill",
            get(rollups::cost_per_skill).fallback(only_get),
        )
        .route(
            "/v1/observability/costs",
            get(costs::costs).fallback(only_get),
        )
        .route(
            "/v1/observability/costs/forecast",
            get(costs::forecast).fallback(only_get),
        )
        .route(
            "/v1/observability/costs/budget",
            get(settings::budgets)
                .put(settings::put_budget)
                .delete(settings::drop_budget)
                .fallback(only_set),
        )
        .route(
            "/v1/reconciliations",
            get(settings::marks)
                .put(settings::put_mark)
                .delete(settings::drop_mark)
                .fallback(only_set),
        )
        .route(
            "/v1/prices/tariffs/{name}",
            get(tariffs::tariff).fallback(only_get),
        )
        .route(
            "/v1/prices/tariffs/{name}/list",
            get(tariffs::list).fallback(only_get),
        )
        .route("/v1/tail", get(tail::watch).fallback(only_get))
        .route("/v1/status", get(admin::status).fallback(only_get))
        .route("/v1/admin/verify", get(admin::verify).fallback(only_get))
        .route("/metrics", get(metrics::scrape).fallback(only_get))
        .route("/v1/openapi.json", get(openapi::json).fallback(only_get))
        .route("/docs", get(openapi::page).fallback(only_get))
        .route(
            "/",
            get(health::hello).post(otlp::no_path).fallback(only_get),
        )
        .fallback(unknown);
    surrounded(routes, node)
}

/// OTLP over HTTP and gRPC.
pub(crate) fn otlp(node: &Arc<Node>) -> Router {
    let routes = receivers()
        .route(
            "/",
            post(otlp::no_path).get(health::hello).fallback(only_post),
        )
        .fallback(unknown);
    surrounded(routes, node)
}

fn receivers() -> Router<Arc<Node>> {
    Router::new()
        .route("/v1/traces", any(otlp::traces))
        // Where Langfuse's SDKs post to.
        .route("/api/public/otel/v1/traces", any(otlp::traces))
        .route("/v1/logs", any(otlp::logs))
        .route("/v1/metrics", any(otlp::metrics))
        .route("/livez", get(health::live).fallback(only_get))
        .route("/readyz", get(health::ready).fallback(only_get))
        .merge(crate::grpc::routes())
}

fn surrounded(routes: Router<Arc<Node>>, node: &Arc<Node>) -> Router {
    routes
        .layer(from_fn_with_state(Arc::clone(node), surround::request))
        .with_state(Arc::clone(node))
}

async fn only_post() -> Response {
    Refusal::method("POST").into_response()
}

async fn only_get() -> Response {
    Refusal::method("GET").into_response()
}

async fn only_set() -> Response {
    Refusal::method("GET, PUT and DELETE").into_response()
}

async fn unknown(State(_): State<Arc<Node>>, request: Request) -> Response {
    if crate::grpc::is_grpc(request.headers()) {
        return crate::grpc::unimplemented();
    }
    let text = "there is nothing at this path; POST /v1/traces, /v1/logs, /v1/proxy/audit, \
                /v1/ocsf/ingest, /api/v1/telemetry/events and /v1/query are what this server takes";
    Refusal::new(StatusCode::NOT_FOUND, "not_found", text).into_response()
}
