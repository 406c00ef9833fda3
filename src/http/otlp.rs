//! OTLP over HTTP: `/v1/traces`, `/v1/logs`, `/v1/metrics`.
//!
//! An answer has the type of its request, refusals included (`google.rpc.Status`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use weir_ingest::decode::otlp::OtlpEncoding;
use weir_ingest::log::Route;
use weir_store::Scope;

use crate::app::intake::{Arrived, Taken};
use crate::app::{Node, counters};
use crate::http::body::BodyLimits;
use crate::http::refusal::Refusal;
use crate::http::{auth, body, charge, rpc_status, unstored};
use crate::telemetry::Rows;

/// The paths whose refusals are `google.rpc.Status`.
pub(crate) const PATHS: [&str; 4] = [
    "/v1/traces",
    "/api/public/otel/v1/traces",
    "/v1/logs",
    "/v1/metrics",
];

/// `POST /v1/traces`.
pub(crate) async fn traces(State(node): State<Arc<Node>>, request: Request) -> Response {
    stored_signal(&node, request, Route::Traces).await
}

/// `POST /v1/logs`: what tells of calls of models is stored, all else counted and answered.
pub(crate) async fn logs(State(node): State<Arc<Node>>, request: Request) -> Response {
    stored_signal(&node, request, Route::Logs).await
}

async fn stored_signal(node: &Node, request: Request, route: Route) -> Response {
    let passage = node.intake.counters.enter(route);
    let encoding = post_in(&request);
    let result = match encoding {
        Ok(encoding) => take(node, request, (route, encoding)).await,
        Err(ref refusal) => Err(refusal.clone()),
    };
    passage.end(&result);
    let rows = result.as_ref().map_or(0, |taken| taken.rows);
    let result = result.map(|taken| taken.answer);
    let mut response = respond(result, encoding.unwrap_or(OtlpEncoding::Json));
    response.extensions_mut().insert(Rows(rows));
    response
}

/// The encoding of a request whose method is right.
fn post_in(request: &Request) -> Result<OtlpEncoding, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::method("POST"));
    }
    encoding_of(request.headers())
}

async fn take(
    node: &Node,
    request: Request,
    (route, encoding): (Route, OtlpEncoding),
) -> Result<Taken, Refusal> {
    let arrived = arrive(node, request, Scope::Ingest).await?;
    store(node, arrived, (route, encoding)).await
}

/// Stores an export request of a signal.
///
/// # Errors
///
/// Where it is turned away; nothing of it is kept.
pub(crate) async fn store(
    node: &Node,
    arrived: Arrived,
    (route, encoding): (Route, OtlpEncoding),
) -> Result<Taken, Refusal> {
    match route {
        Route::Logs => node.intake.logs(arrived, encoding).await,
        Route::Traces | Route::ProxyAudit | Route::Ocsf | Route::TelemetryEvents => {
            node.intake.traces(arrived, encoding).await
        }
    }
}

/// `POST /v1/metrics`: counted, answered, not stored.
pub(crate) async fn metrics(State(node): State<Arc<Node>>, request: Request) -> Response {
    let node = &*node;
    let encoding = match post_in(&request) {
        Ok(encoding) => encoding,
        Err(refusal) => return respond(Err(refusal), OtlpEncoding::Json),
    };
    let result = match arrive(node, request, Scope::Ingest).await {
        Ok(arrived) => unstored::answer_beside(&node.intake, &arrived.body, encoding).await,
        Err(refusal) => Err(refusal),
    };
    let result = result.map(|told| {
        counters::add(&node.intake.counters.unstored, told.records);
        told.body
    });
    respond(result, encoding)
}

/// `POST /`: a per-signal endpoint was configured without its path.
pub(crate) async fn no_path(request: Request) -> Response {
    let text = "OTLP has no route at `/`: an endpoint variable of one signal is used as it is, so \
                OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must end in /v1/traces; or set \
                OTEL_EXPORTER_OTLP_ENDPOINT, to which the path is added";
    let refusal = Refusal::new(StatusCode::NOT_FOUND, "no_signal_path", text);
    let encoding = encoding_of(request.headers()).unwrap_or(OtlpEncoding::Json);
    rpc_status::respond(&refusal, encoding)
}

/// Checks method and credential, reads the body and decompresses it.
///
/// # Errors
///
/// Where the request is turned away before its body is looked into.
pub(crate) async fn arrive(
    node: &Node,
    request: Request,
    scope: Scope,
) -> Result<Arrived, Refusal> {
    arrive_within(node, request, scope, node.intake.body).await
}

/// As [`arrive`], with limits of the route's own.
///
/// # Errors
///
/// As there.
pub(crate) async fn arrive_within(
    node: &Node,
    request: Request,
    scope: Scope,
    limits: BodyLimits,
) -> Result<Arrived, Refusal> {
    if request.method() != Method::POST {
        return Err(Refusal::method("POST"));
    }
    arrive_by_any(node, request, scope, limits).await
}

/// As [`arrive_within`], whatever the method.
///
/// # Errors
///
/// As there.
pub(crate) async fn arrive_by_any(
    node: &Node,
    request: Request,
    scope: Scope,
    limits: BodyLimits,
) -> Result<Arrived, Refusal> {
    let (head, stream) = request.into_parts();
    let caller = auth::caller(node, &head.headers, scope)?;
    node.check_open()?;
    let coding = body::coding(&head.headers)?;
    let budget = caller.budget(&node.intake.budget);
    let coded = match scope {
        Scope::Ingest => charge::read(&caller, (&head.headers, stream), &budget, limits).await?,
        Scope::Query | Scope::Admin => body::read(&head.headers, stream, &budget, limits).await?,
    };
    let body = coded.plain(coding, &budget, limits).await?;
    Ok(Arrived { caller, body })
}

/// The encoding that `Content-Type` names.
///
/// # Errors
///
/// 415 for any other.
pub(crate) fn encoding_of(headers: &HeaderMap) -> Result<OtlpEncoding, Refusal> {
    let value = headers.get(header::CONTENT_TYPE);
    let text = value.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-protobuf")
        || kind.eq_ignore_ascii_case("application/protobuf")
    {
        return Ok(OtlpEncoding::Protobuf);
    }
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(OtlpEncoding::Json);
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        "Content-Type must be application/x-protobuf or application/json",
    ))
}

fn respond(result: Result<Bytes, Refusal>, encoding: OtlpEncoding) -> Response {
    match result {
        Ok(answer) => {
            let mut response = Response::new(Body::from(answer));
            let kind = rpc_status::content_type(encoding);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        Err(refusal) => {
            let mut response = rpc_status::respond(&refusal, encoding);
            if refusal.status == StatusCode::METHOD_NOT_ALLOWED {
                let allow = header::HeaderValue::from_static("POST");
                response.headers_mut().insert(header::ALLOW, allow);
            }
            response
        }
    }
}
