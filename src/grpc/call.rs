//! A unary call read: credential, frame, message.

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use weir_ingest::compression::Coding;
use weir_store::Scope;

use crate::app::Node;
use crate::app::intake::Arrived;
use crate::http::body::BodyLimits;
use crate::http::refusal::Refusal;
use crate::http::{auth, charge};

/// The bytes before a message: a flag and a length.
const PREFIX_BYTES: usize = 5;

/// Reads the call's one message and decompresses it.
///
/// # Errors
///
/// Where the call is turned away before its message is looked into.
pub(super) async fn arrive(node: &Node, request: Request) -> Result<Arrived, Refusal> {
    if request.method() != Method::POST || !super::is_grpc(request.headers()) {
        let text = "this path takes gRPC; send OTLP over HTTP to /v1/traces";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, "not_grpc", text));
    }
    let (head, stream) = request.into_parts();
    let caller = auth::caller(node, &head.headers, Scope::Ingest)?;
    node.check_open()?;
    let coding = coding(&head.headers)?;
    let budget = &caller.budget(&node.intake.budget);
    let limits = BodyLimits {
        coded_bytes_max: frame_limit(node.intake.body, coding),
        ..node.intake.body
    };
    let mut taken = charge::read(&caller, (&head.headers, stream), budget, limits).await?;
    let compressed = match taken.bytes.first() {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(broken("a gRPC frame must begin with 0 or 1")),
    };
    let length = taken
        .bytes
        .get(1..PREFIX_BYTES)
        .and_then(|b| <[u8; 4]>::try_from(b).ok());
    let length = length
        .map(u32::from_be_bytes)
        .and_then(|n| usize::try_from(n).ok());
    let length = length.ok_or_else(|| broken("the gRPC frame is incomplete"))?;
    let message = taken.bytes.split_off(PREFIX_BYTES);
    if message.len() != length {
        return Err(broken("the call must hold one whole gRPC frame"));
    }
    taken.bytes = message;
    let coding = match (compressed, coding) {
        (true, Coding::Identity) => {
            return Err(broken("a compressed frame without grpc-encoding"));
        }
        (true, coding) => coding,
        (false, _) => Coding::Identity,
    };
    let body = taken.plain(coding, budget, node.intake.body).await?;
    Ok(Arrived { caller, body })
}

/// A plain message may be as long as a decompressed one; there is no header that tells before the
/// body which of the two it is, so the flag in the frame decides later.
fn frame_limit(limits: BodyLimits, coding: Coding) -> usize {
    let message = match coding {
        Coding::Identity => limits.plain_bytes_max,
        Coding::Gzip | Coding::Deflate | Coding::Zstd => limits.coded_bytes_max,
    };
    message.saturating_add(PREFIX_BYTES)
}

/// The coding that `grpc-encoding` names.
fn coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let text = match headers.get("grpc-encoding") {
        None => None,
        Some(value) => Some(value.to_str().unwrap_or("?")),
    };
    Coding::from_header(text).map_err(|_| {
        let text = "grpc-encoding must be identity, gzip, deflate or zstd";
        Refusal::new(StatusCode::NOT_IMPLEMENTED, "unsupported_encoding", text)
    })
}

fn broken(text: &'static str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "bad_frame", text)
}
