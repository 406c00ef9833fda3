//! OTLP over gRPC: one message in, one out, on the same body reader as HTTP.
//!
//! A unary call is small enough to be spoken directly, and that gives what a generic codec does
//! not: the byte budget counts a message before it is read, and a message beyond the limit is
//! `RESOURCE_EXHAUSTED`, whether it is announced too long or grows too long when decompressed.
//!
//! ```text
//! body     = compressed (1 byte, 0 or 1) | length (4 bytes, big-endian) | message
//! answer   = the same, then trailers with grpc-status
//! refusal  = headers only, with grpc-status, grpc-message, grpc-status-details-bin
//! ```

mod call;
mod reply;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::any;
use weir_ingest::decode::otlp::OtlpEncoding;
use weir_ingest::log::Route;

use crate::app::{Node, counters};
use crate::http::{otlp, unstored};
use crate::telemetry::Rows;

pub(crate) use reply::{refused, unimplemented};

/// The export calls of the three signals.
pub(crate) fn routes() -> Router<Arc<Node>> {
    const PREFIX: &str = "/opentelemetry.proto.collector";
    Router::new()
        .route(
            &format!("{PREFIX}.trace.v1.TraceService/Export"),
            any(traces),
        )
        .route(&format!("{PREFIX}.logs.v1.LogsService/Export"), any(logs))
        .route(
            &format!("{PREFIX}.metrics.v1.MetricsService/Export"),
            any(metrics),
        )
}

/// Whether a request means gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

async fn traces(State(node): State<Arc<Node>>, request: Request) -> Response {
    stored_signal(&node, request, Route::Traces).await
}

async fn logs(State(node): State<Arc<Node>>, request: Request) -> Response {
    stored_signal(&node, request, Route::Logs).await
}

async fn stored_signal(node: &Node, request: Request, route: Route) -> Response {
    let passage = node.intake.counters.enter(route);
    let result = async {
        let arrived = call::arrive(node, request).await?;
        otlp::store(node, arrived, (route, OtlpEncoding::Protobuf)).await
    };
    let result = result.await;
    passage.end(&result);
    match result {
        Ok(taken) => {
            let mut response = reply::message(&taken.answer);
            response.extensions_mut().insert(Rows(taken.rows));
            response
        }
        Err(refusal) => refused(&refusal),
    }
}

async fn metrics(State(node): State<Arc<Node>>, request: Request) -> Response {
    let told = async {
        let arrived = call::arrive(&node, request).await?;
        let encoding = OtlpEncoding::Protobuf;
        unstored::answer_beside(&node.intake, &arrived.body, encoding).await
    };
    match told.await {
        Ok(told) => {
            counters::add(&node.intake.counters.unstored, told.records);
            reply::message(&told.body)
        }
        Err(refusal) => refused(&refusal),
    }
}
