//! What surrounds every request: its id, its time limit, and the rendering of refusals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use weir_ingest::decode::otlp::OtlpEncoding;

use crate::app::Node;
use crate::http::refusal::{Code, Refusal};
use crate::http::{otlp, problem, rpc_status};

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
    let door = Dress::of(&request);
    let work = node.telemetry.request(&request);
    let answer = tokio::time::timeout(node.request_timeout, next.run(request)).await;
    let answer = answer.unwrap_or_else(|_| door.render(&timed_out()));
    let mut answer = problem::complete(answer, id.to_str().unwrap_or_default());
    if let Some(Code(code)) = answer.extensions().get() {
        let request_id = id.to_str().unwrap_or_default();
        match *code {
            // The answer says that the log knows more under this id.
            "internal" => tracing::error!(request_id, code, "http.request.failed"),
            code => tracing::debug!(request_id, code, "http.request.refused"),
        }
    }
    work.answered(&answer);
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

fn timed_out() -> Refusal {
    let text = "the request took too long; it may be sent again";
    Refusal::unavailable("request_timeout", text, Duration::from_secs(1))
}

/// How a refusal from outside the route must look, for the route's clients to read it.
enum Dress {
    Grpc,
    Otlp(OtlpEncoding),
    Problem,
}

impl Dress {
    fn of(request: &Request) -> Self {
        if crate::grpc::is_grpc(request.headers()) {
            return Self::Grpc;
        }
        if otlp::PATHS.contains(&request.uri().path()) {
            let encoding = otlp::encoding_of(request.headers());
            return Self::Otlp(encoding.unwrap_or(OtlpEncoding::Json));
        }
        Self::Problem
    }

    fn render(self, refusal: &Refusal) -> Response {
        match self {
            Self::Grpc => crate::grpc::refused(refusal),
            Self::Otlp(encoding) => rpc_status::respond(refusal, encoding),
            Self::Problem => refusal.clone().into_response(),
        }
    }
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
