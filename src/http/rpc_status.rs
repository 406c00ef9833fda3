//! `google.rpc.Status`: what OTLP paths answer where they refuse, in the request's encoding.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::Response;
use prost::Message;
use serde_json::json;
use weir_ingest::decode::otlp::OtlpEncoding;

use crate::http::contract;
use crate::http::refusal::{self, Refusal};

/// The name under which `google.rpc.RetryInfo` travels.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    /// A `google.rpc.Code`.
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    /// For the developer, in English.
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    /// More, each under its type's name.
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<prost_types::Any>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RetryInfo {
    /// The least wait.
    #[prost(message, optional, tag = "1")]
    pub(crate) retry_delay: Option<prost_types::Duration>,
}

/// The message for `refusal`, with the wait where there is one.
pub(crate) fn status_of(refusal: &Refusal) -> Status {
    contract::check(refusal);
    let info = |seconds: u64| RetryInfo {
        retry_delay: Some(prost_types::Duration {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos: 0,
        }),
    };
    let any = |info: RetryInfo| prost_types::Any {
        type_url: RETRY_INFO.to_owned(),
        value: info.encode_to_vec(),
    };
    Status {
        code: refusal.rpc_code(),
        message: refusal.detail.clone(),
        details: refusal
            .retry_seconds()
            .map(info)
            .map(any)
            .into_iter()
            .collect(),
    }
}

/// The answer to an OTLP request in `encoding`.
pub(crate) fn respond(refusal: &Refusal, encoding: OtlpEncoding) -> Response {
    let body = match encoding {
        OtlpEncoding::Protobuf => status_of(refusal).encode_to_vec(),
        OtlpEncoding::Json => json_of(refusal).to_string().into_bytes(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(encoding));
    if let Some(seconds) = refusal.retry_seconds() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    headers.extend(refusal.headers.iter().cloned());
    refusal::note(refusal, &mut response);
    response
}

fn json_of(refusal: &Refusal) -> serde_json::Value {
    contract::check(refusal);
    let mut status = json!({ "code": refusal.rpc_code(), "message": refusal.detail });
    if let (Some(seconds), Some(fields)) = (refusal.retry_seconds(), status.as_object_mut()) {
        let info = json!([{ "@type": RETRY_INFO, "retryDelay": format!("{seconds}s") }]);
        fields.insert("details".into(), info);
    }
    // The seed product's clients read the reason here, whatever the route.
    if let Some(fields) = status.as_object_mut() {
        fields.insert("detail".into(), refusal.detail.clone().into());
    }
    status
}

/// The header for `encoding`: an answer's type equals the request's.
pub(crate) fn content_type(encoding: OtlpEncoding) -> HeaderValue {
    HeaderValue::from_static(match encoding {
        OtlpEncoding::Protobuf => "application/x-protobuf",
        OtlpEncoding::Json => "application/json",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn both_encodings_say_the_same_and_name_the_wait() {
        let refusal = Refusal::unavailable("overloaded", "come back", Duration::from_secs(2));
        let status = Status::decode(status_of(&refusal).encode_to_vec().as_slice()).unwrap();
        assert_eq!((status.code, status.message.as_str()), (14, "come back"));
        let info = RetryInfo::decode(status.details[0].value.as_slice()).unwrap();
        assert_eq!(info.retry_delay.unwrap().seconds, 2);
        let json = json_of(&refusal);
        assert_eq!(json["code"], 14);
        assert_eq!(json["details"][0]["retryDelay"], "2s");
    }

    #[test]
    fn a_refusal_for_good_has_no_retry_info() {
        assert!(status_of(&Refusal::too_large(10)).details.is_empty());
    }
}
