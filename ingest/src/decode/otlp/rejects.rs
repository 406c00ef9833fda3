//! Spans that cannot be stored, for want of ids.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use arrow_array::RecordBatch;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::decode::rejected::{Rejection, Rejections};
use crate::decode::{Acceptance, DecodeError};

/// The longest record that is kept beside its reason, in bytes.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Why a span is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// The trace id is not 16 bytes, or all zero.
    TraceId,
    /// The span id is not 8 bytes, or all zero.
    SpanId,
}

impl Flaw {
    /// What is wrong with the ids, if anything.
    #[inline]
    pub(super) fn of(trace_id: &[u8], span_id: &[u8]) -> Option<Self> {
        if trace_id.len() != 16 || is_zero(trace_id) {
            Some(Self::TraceId)
        } else if span_id.len() != 8 || is_zero(span_id) {
            Some(Self::SpanId)
        } else {
            None
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::TraceId => "invalid_trace_id",
            Self::SpanId => "invalid_span_id",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::TraceId => "the trace id must be 16 bytes (32 hex digits in JSON), not all zero",
            Self::SpanId => "the span id must be 8 bytes (16 hex digits in JSON), not all zero",
        }
    }
}

/// Whether all bytes are zero.
#[inline]
pub(super) fn is_zero(id: &[u8]) -> bool {
    id.iter().all(|byte| *byte == 0)
}

/// The refused spans of a request.
#[derive(Debug)]
pub(super) struct Rejects {
    rows: Rejections,
    counts: BTreeMap<Flaw, (usize, usize)>,
    total: usize,
}

impl Rejects {
    pub(super) fn new() -> Self {
        Self {
            rows: Rejections::new("otlp_traces"),
            counts: BTreeMap::new(),
            total: 0,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Adds the `index`th span of the request, with its parents, so that it can be replayed: the
    /// payload is an export request with this span alone, as base64.
    pub(super) fn push(&mut self, flaw: Flaw, index: usize, parts: &SpanParts<'_>) {
        self.total += 1;
        let (count, _) = self.counts.entry(flaw).or_insert((0, index));
        *count += 1;
        let id = [hex::encode(parts.trace_id), hex::encode(parts.span_id)].join(":");
        self.rows.push(Rejection {
            code: flaw.code(),
            reason: flaw.reason().into(),
            index,
            id: Some(id).filter(|id| id.len() <= 200),
            payload: parts.request().map(|bytes| STANDARD.encode(bytes)),
        });
    }

    /// The rows, and the reason for the sender.
    pub(super) fn finish(
        self,
        at: &Acceptance,
    ) -> Result<(Option<RecordBatch>, Option<String>), DecodeError> {
        if self.total == 0 {
            return Ok((None, None));
        }
        let mut text = format!("{} spans were refused:", self.total);
        for (flaw, (count, first)) in &self.counts {
            let reason = flaw.reason();
            let _ = write!(
                text,
                " {count} because {reason} (the first is span {first});"
            );
        }
        text.push_str(" the others were accepted.");
        Ok((self.rows.finish(at)?, Some(text)))
    }
}

/// A span with what it belongs to, as messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanParts<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    pub(super) resource: &'a [u8],
    pub(super) scope: &'a [u8],
    pub(super) span: &'a [u8],
}

impl SpanParts<'_> {
    /// An export request that holds nothing else; none where it would be too long.
    fn request(&self) -> Option<Vec<u8>> {
        let size = self.resource.len() + self.scope.len() + self.span.len();
        if size > PAYLOAD_BYTES_MAX / 4 * 3 {
            return None;
        }
        let mut scope_spans = Vec::new();
        put(1, self.scope, &mut scope_spans);
        put(2, self.span, &mut scope_spans);
        let mut resource_spans = Vec::new();
        put(1, self.resource, &mut resource_spans);
        put(2, &scope_spans, &mut resource_spans);
        let mut request = Vec::new();
        put(1, &resource_spans, &mut request);
        Some(request)
    }
}

/// Appends a message field.
fn put(number: u8, message: &[u8], out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    super::json::put_varint(u64::try_from(message.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(message);
}
