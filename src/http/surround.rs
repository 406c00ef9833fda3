//! What surrounds every request: its id, its time limit, and the rendering of refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::Node;
use crate::http::problem;
use crate::http::refusal::Refusal;

/// The header that carries a request's id, both ways.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const ID_BYTES_MAX: usize = 128;

/// Runs `request` within its time limit and gives the answer its id.
pub(crate) async fn request(
    State(node): State<Arc<Node>>,
    request: Request,
    next: Next,
) -> Response {
    let id = id_of(request.headers().get(&REQUEST_ID));
    let answer = tokio::time::timeout(node.request_timeout, next.run(request)).await;
    let answer = answer.unwrap_or_else(|_| timed_out());
    let mut answer = problem::complete(answer, id.to_str().unwrap_or_default());
    if answer.status().is_server_error() {
        let status = answer.status().as_u16();
        tracing::debug!(
            request_id = id.to_str().unwrap_or_default(),
            status,
            "http.failed"
        );
    }
    answer.headers_mut().insert(REQUEST_ID, id);
    answer
}

/// The client's own id where it is fit for a header and a log, else a new one.
fn id_of(sent: Option<&HeaderValue>) -> HeaderValue {
    let fit = |id: &&HeaderValue| {
        let text = id.as_bytes();
        !text.is_empty() && text.len() <= ID_BYTES_MAX && text.iter().all(u8::is_ascii_graphic)
    };
    if let Some(id) = sent.filter(fit) {
        return id.clone();
    }
    // Unique within this process, and unlikely to be met again after a restart.
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let start = *START.get_or_init(rand::random);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let text = format!("{start:016x}{number:08x}");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("none"))
}

fn timed_out() -> Response {
    let text = "the request took too long; it may be sent again, and is not stored twice";
    Refusal::unavailable("request_timeout", text, Duration::from_secs(1)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_is_replaced() {
        let sent = HeaderValue::from_static("abc-123");
        assert_eq!(id_of(Some(&sent)), sent);
        let long = HeaderValue::try_from("x".repeat(200)).unwrap();
        for bad in [None, Some(&HeaderValue::from_static("a b")), Some(&long)] {
            let id = id_of(bad);
            assert_eq!(id.len(), 24);
            assert_ne!(id, id_of(bad));
        }
    }
}
