//! OTLP traces in, rows of `spans` out.
use arrow_array::RecordBatch;
use super::{Acceptance, DecodeError, Limits};

/// How an OTLP request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpEncoding {
    /// `application/x-protobuf`, and every gRPC message.
    Protobuf,
    /// `application/json`.
    Json,
}

/// What a request became.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// The spans, in the accepted schema of `spans`; the canonical and cost columns are NULL.
    pub rows: RecordBatch,
    /// The first refused spans, at most 100, in the accepted schema of `rejected_events`.
    pub rejected: Option<RecordBatch>,
    /// How many spans were refused.
    pub rejected_count: usize,
    /// Why, for the sender: at most 2 KiB of English.
    pub reason: Option<String>,
}

/// Decodes the body of an export request.
///
/// # Errors
///
/// [`DecodeError`] where the body as a whole is refused; no row was made.
pub fn decode_traces(
    _body: &[u8],
    _encoding: OtlpEncoding,
    _at: &Acceptance,
    _limits: &Limits,
) -> Result<Decoded, DecodeError> {
    Err(DecodeError::Internal)
}
