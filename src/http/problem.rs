//! Problem documents (RFC 9457): what the HTTP API answers where it refuses.
//!
//! `detail` is always a string, as the clients of the seed product read it; `code` is for programs.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::contract;
use crate::http::refusal::{self, Refusal};

/// A refusal that the outermost layer turns into a document, since it knows the request's id.
#[derive(Clone, Debug)]
pub(crate) struct Pending(Refusal);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        if let Some(seconds) = self.retry_seconds() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.headers_mut().extend(self.headers.iter().cloned());
        response.extensions_mut().insert(Pending(self));
        response
    }
}

/// Writes the document of a pending refusal into `response`.
pub(crate) fn complete(mut response: Response, request_id: &str) -> Response {
    let Some(Pending(refusal)) = response.extensions_mut().remove::<Pending>() else {
        return response;
    };
    contract::check(&refusal);
    let title = refusal.status.canonical_reason().unwrap_or("Error");
    let document = json!({
        "type": "about:blank",
        "title": title,
        "status": refusal.status.as_u16(),
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request_id,
    });
    *response.body_mut() = Body::from(document.to_string());
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    refusal::note(&refusal, &mut response);
    response
}
