//! `GET /v1/tail`: what arrives from now on, one JSON object a line (NDJSON), of the caller's
//! tenant only.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
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

/// An empty line this often tells both sides that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Streams lines until the client leaves or the node stops.
pub(crate) async fn watch(State(node): State<Arc<Node>>, request: Request) -> Response {
    let tenant = match auth::tenant(&node, request.headers(), Scope::Query) {
        Ok(tenant) => tenant,
        Err(refusal) => return refusal.into_response(),
    };
    let watch = Watch {
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
    arrivals: Receiver<Arrival>,
    node: Arc<Node>,
    tenant: TenantId,
}

impl Watch {
    /// The next lines; `None` where the node stops.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.node.stopping() => return None,
                heard = self.arrivals.recv() => match heard {
                    Ok(arrival) if arrival.tenant == self.tenant => return Some(text(&arrival)),
                    Ok(_) => {}
                    Err(RecvError::Lagged(missed)) => {
                        let line = json!({ "missed_requests": missed });
                        return Some(format!("{line}\n").into());
                    }
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(HEARTBEAT) => return Some(Bytes::from_static(b"\n")),
            }
        }
    }
}

fn text(arrival: &Arrival) -> Bytes {
    let lines = arrival.lines.iter().map(|line| format!("{line}\n"));
    lines.collect::<String>().into()
}
