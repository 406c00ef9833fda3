//! OTLP traces in, rows of `spans` out.
//!
//! Protobuf is walked where it lies: each span's fields go straight from the body into the
//! columns. JSON is first written as Protobuf, so that both encodings become rows in one place
//! and by one set of rules.
//!
//! # What becomes of odd input
//!
//! | input | what happens |
//! |---|---|
//! | a trace id that is not 16 bytes or all zero, a span id that is not 8 bytes or all zero | the span is refused, the others are kept |
//! | times of zero, beyond 64 signed bits, in the wrong order, far away | kept, named in `time_flags` |
//! | a key twice, too many attributes, events or links, too long values, other ids of the wrong length | kept, as far as the limits go, named in `decode_flags` |
//! | unknown fields, kinds and status codes | skipped; kept as digits |
//! | broken encoding, text that is not UTF-8, values that nest too deeply | the request is refused |
//!
//! A parent id of zeros means a root, as an empty one does.
//!
//! # The content key
//!
//! 128 bits of XXH3 over the span's own bytes as they were sent, keyed by a BLAKE3 digest of its
//! resource, its scope and their schema URLs. The same span sent again by the same exporter has
//! the same key; a span that differs in anything has another, unless someone made it not to: the
//! key is no proof against a sender who forges its own spans. (BLAKE3 over each span would be one,
//! and takes more than a third of the whole decoding.) Two encodings of one span (Protobuf and
//! JSON, or other field orders) may have different keys: an equal key tells a resend, a different
//! one does not disprove it.

mod columns;
mod json;
mod lists;
mod log_columns;
mod logs;
mod parents;
mod rejects;
mod span;
mod walk;

use arrow_array::RecordBatch;

use super::{Acceptance, DecodeError, Limits};

pub use logs::{LogsDecoded, decode_logs};

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

/// One of several bodies that are decoded together.
#[derive(Clone, Copy, Debug)]
pub struct TraceBody<'a> {
    /// The request, as Protobuf.
    pub bytes: &'a [u8],
    /// Whose it is, and since when.
    pub at: &'a Acceptance,
}

/// What requests became that were decoded together.
#[derive(Clone, Debug)]
pub struct DecodedTogether {
    /// The spans of all, in the accepted schema of `spans`; the canonical and cost columns are
    /// NULL.
    pub rows: RecordBatch,
    /// How many rows each request has.
    pub counts: Vec<usize>,
}

/// Decodes several small Protobuf requests into one batch, which is cheaper by the making of a
/// hundred columns for each. The rows are those that [`decode_traces`] makes of each alone.
///
/// `None` where any of it is to be refused: decoded alone, each request gets its own verdict.
pub fn decode_together(bodies: &[TraceBody<'_>], limits: &Limits) -> Option<DecodedTogether> {
    walk::walk_together(bodies, limits)
}

/// How many spans a Protobuf request has, sound or not, without looking into them; `None` where its
/// outer messages are malformed.
pub fn count_spans(body: &[u8]) -> Option<usize> {
    walk::count_spans(body)
}

/// Decodes the body of an export request. JSON is read tolerantly, and also in the flat form
/// `{"spans":[...]}`.
///
/// # Errors
///
/// [`DecodeError`] where the body as a whole is refused; no row was made.
pub fn decode_traces(
    body: &[u8],
    encoding: OtlpEncoding,
    at: &Acceptance,
    limits: &Limits,
) -> Result<Decoded, DecodeError> {
    match encoding {
        OtlpEncoding::Protobuf => walk::walk(body, at, limits),
        OtlpEncoding::Json => walk::walk(&json::to_protobuf(body, limits)?, at, limits),
    }
}
