//! A unary call answered.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;

use crate::http::refusal::{self, Refusal};
use crate::http::rpc_status;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
const ACCEPTS: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The coding names that a call may use.
const CODINGS: &str = "identity,gzip,deflate,zstd";

/// One message and status 0.
pub(super) fn message(message: &Bytes) -> Response {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    // An answer is a few kilobytes at most.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(STATUS, HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze());
    let body = body.with_trailers(std::future::ready(Some(Ok(trailers))));
    grpc(Body::new(body))
}

/// A status other than 0, with its details.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = rpc_status::status_of(refusal);
    let mut response = grpc(Body::empty());
    if refusal.code == "not_grpc" {
        // Who does not speak gRPC would take a 200 for success.
        *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    let headers = response.headers_mut();
    headers.insert(STATUS, status.code.into());
    if let Ok(text) = HeaderValue::try_from(percent_encoded(&status.message)) {
        headers.insert(MESSAGE, text);
    }
    let details = STANDARD_NO_PAD.encode(status.encode_to_vec());
    if let Ok(details) = HeaderValue::try_from(details) {
        headers.insert(DETAILS, details);
    }
    refusal::note(refusal, &mut response);
    response
}

/// The answer to a call that nobody serves.
pub(crate) fn unimplemented() -> Response {
    let text = "no such call; OTLP's TraceService, LogsService and MetricsService are served";
    refused(&Refusal::new(
        StatusCode::NOT_IMPLEMENTED,
        "unimplemented",
        text,
    ))
}

fn grpc(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(ACCEPTS, HeaderValue::from_static(CODINGS));
    response
}

/// A message as gRPC wants it in a header: printable ASCII without `%` stays.
fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn messages_are_printable_ascii() {
        assert_eq!(percent_encoded("50% of \u{e9}\n"), "50%25 of %C3%A9%0A");
    }
}
