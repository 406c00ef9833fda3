//! A request that is turned away: one value, rendered as each protocol wants it.
//!
//! ```text
//!                 /-- problem+json (RFC 9457)          the HTTP API
//! Refusal --------+-- google.rpc.Status, JSON or pb    OTLP over HTTP
//!                 \-- grpc-status, details, RetryInfo  OTLP over gRPC
//! ```

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use weir_ingest::admission::Overloaded;
use weir_ingest::compression::{DecompressError, UnsupportedCoding};
use weir_ingest::decode::DecodeError;

/// Why a request was turned away; nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// A stable word for programs.
    pub(crate) code: &'static str,
    /// A sentence for people; never quotes what was sent.
    pub(crate) detail: String,
    /// When to try again, where trying again can help.
    pub(crate) retry_after: Option<Duration>,
    /// Headers of its own, over HTTP.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The header that names the code of a refusal, since a `google.rpc.Status` has no place for it.
pub(crate) const CODE: HeaderName = HeaderName::from_static("x-weir-error");

/// The code of a refusal, left with the answer for whoever logs, counts or traces it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code(pub(crate) &'static str);

/// Notes the code of `refusal` in the headers and beside them.
pub(crate) fn note(refusal: &Refusal, response: &mut Response) {
    let value = HeaderValue::from_static(refusal.code);
    response.headers_mut().insert(CODE, value);
    response.extensions_mut().insert(Code(refusal.code));
}

impl Refusal {
    /// A refusal that a retry does not mend.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// The same with one more header.
    pub(crate) fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// 503: try again after `after`.
    pub(crate) fn unavailable(
        code: &'static str,
        detail: impl Into<String>,
        after: Duration,
    ) -> Self {
        Self {
            retry_after: Some(after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        }
    }

    /// 413, for a body beyond `limit` bytes.
    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("Request body too large (max {limit} bytes); send smaller batches"),
        )
    }

    /// 405, for a route that takes only `allowed`.
    pub(crate) fn method(allowed: &str) -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this route takes {allowed} only"),
        )
    }

    /// 500, for a defect of ours, which the log has in full.
    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "an internal error; the server's log says more under this request id",
        )
    }

    /// Whole seconds for `Retry-After`, at least one.
    pub(crate) fn retry_seconds(&self) -> Option<u64> {
        self.retry_after.map(|after| {
            let whole = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            whole.max(1)
        })
    }

    /// The code of `google.rpc.Code` that means the same.
    pub(crate) fn rpc_code(&self) -> i32 {
        let status = self.status.as_u16();
        let known = RPC_CODES.iter().find(|(known, _, _)| *known == status);
        known.map_or(INVALID_ARGUMENT, |(_, code, _)| *code)
    }
}

/// The code for what the sender must mend.
const INVALID_ARGUMENT: i32 = 3;

/// HTTP statuses and the codes of `google.rpc.Code` that mean the same; any other is
/// `INVALID_ARGUMENT`.
pub(crate) const RPC_CODES: [(u16, i32, &str); 14] = [
    (400, INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    (401, 16, "UNAUTHENTICATED"),
    (403, 7, "PERMISSION_DENIED"),
    (404, 12, "UNIMPLEMENTED"),
    (405, 12, "UNIMPLEMENTED"),
    (408, 4, "DEADLINE_EXCEEDED"),
    // Not ABORTED, which exporters send again.
    (409, 6, "ALREADY_EXISTS"),
    (413, 8, "RESOURCE_EXHAUSTED"),
    (415, INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    (422, INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    (429, 8, "RESOURCE_EXHAUSTED"),
    (500, 13, "INTERNAL"),
    (501, 12, "UNIMPLEMENTED"),
    (503, 14, "UNAVAILABLE"),
];

impl From<Overloaded> for Refusal {
    fn from(error: Overloaded) -> Self {
        Self::unavailable("overloaded", error.to_string(), error.retry_after)
    }
}

impl From<UnsupportedCoding> for Refusal {
    fn from(error: UnsupportedCoding) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_encoding",
            error.to_string(),
        )
    }
}

impl From<DecompressError> for Refusal {
    fn from(error: DecompressError) -> Self {
        if let DecompressError::TooLarge { limit } = error {
            return Self::too_large(limit);
        }
        Self::new(StatusCode::BAD_REQUEST, "corrupt_body", error.to_string())
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        if matches!(error, DecodeError::Internal) {
            tracing::error!("decode.failed");
            return Self::internal();
        }
        let status = StatusCode::from_u16(error.status().http_status());
        let status = status.unwrap_or(StatusCode::BAD_REQUEST);
        Self::new(status, error.code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        let wait = |ms| Refusal::unavailable("x", "x", Duration::from_millis(ms)).retry_seconds();
        assert_eq!(wait(1), Some(1));
        assert_eq!(wait(1_001), Some(2));
        assert_eq!(wait(0), Some(1));
        assert_eq!(Refusal::internal().retry_seconds(), None);
    }

    #[test]
    fn transient_statuses_become_codes_that_clients_retry() {
        let code = |status| Refusal::new(status, "x", "x").rpc_code();
        assert_eq!(code(StatusCode::SERVICE_UNAVAILABLE), 14);
        assert_eq!(code(StatusCode::PAYLOAD_TOO_LARGE), 8);
        assert_eq!(code(StatusCode::BAD_REQUEST), 3);
        assert_eq!(code(StatusCode::UNAUTHORIZED), 16);
    }
}
