//! `GET /v1/tail`: what arrives from now on, one JSON object a line (NDJSON), of the caller's
//! tenant only.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream;
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use weir_model::TenantId;
use weir_store::Scope;

use crate::app::Node;
use crate::app::arrivals::Arrival;
use crate::http::auth;

/// How often a stream asks whether its key still holds.
const CHECK: Duration = Duration::from_secs(2);

/// An empty line every so many checks tells both sides that the other is there.
const CHECKS_PER_HEARTBEAT: u32 = 5;

/// Streams lines until the client leaves or the node stops.
pub(crate) async fn watch(State(node): State<Arc<Node>>, request: Request) -> Response {
    let tenant = match auth::tenant(&node, request.headers(), Scope::Query) {
        Ok(tenant) => tenant,
        Err(refusal) => return refusal.into_response(),
    };
    let mut check = tokio::time::interval(CHECK);
    check.reset();
    let watch = Watch {
        headers: request.headers().clone(),
        check,
        checks: 0,
        arrivals: node.intake.arrivals.watch(),
        node: Arc::clone(&node),
        tenant,
    };
    let lines = stream::unfold(watch, |mut watch| async move {
        let lines = watch.next().await?;
        Some((Ok::<_, Infallible>(lines), watch))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

struct Watch {
    /// Of the request, with its key.
    headers: HeaderMap,
    check: tokio::time::Interval,
    checks: u32,
    arrivals: Receiver<Arrival>,
    node: Arc<Node>,
    tenant: TenantId,
}

impl Watch {
    /// Whether the one who watches still may.
    fn is_allowed(&self) -> bool {
        let tenant = auth::tenant(&self.node, &self.headers, Scope::Query);
        tenant.is_ok_and(|tenant| tenant == self.tenant)
    }

    /// The next lines; `None` where the node stops, or the key holds no more.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.node.stopping() => return None,
                _ = self.check.tick() => {
                    if !self.is_allowed() {
                        return None;
                    }
                    self.checks += 1;
                    if self.checks.is_multiple_of(CHECKS_PER_HEARTBEAT) {
                        return Some(Bytes::from_static(b"\n"));
                    }
                }
                heard = self.arrivals.recv() => match heard {
                    Ok(arrival) if arrival.tenant == self.tenant => return Some(text(&arrival)),
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => {
                        let line = json!({ "missed_requests": missed });
                        return Some(format!("{line}\n").into());
                    }
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}

fn text(arrival: &Arrival) -> Bytes {
    let lines = arrival.lines.iter().map(|line| format!("{line}\n"));
    lines.collect::<String>().into()
}
