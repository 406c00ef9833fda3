//! The walk over an export request, from its bytes into columns.

use super::columns::SpanColumns;
use super::parents::{Resources, Scopes, read_scope};
use super::rejects::{Flaw, Rejects, SpanParts};
use super::span::{ResourceFields, SpanFields};
use super::{Decoded, DecodedTogether, TraceBody};
use crate::decode::attributes::ContentError;
use crate::decode::columns::assemble;
use crate::decode::rejected::common_columns_of;
use crate::decode::wire::Reader;
use crate::decode::{Acceptance, DecodeError, Limits};

use arrow_array::RecordBatch;
use weir_model::Dataset;
use xxhash_rust::xxh3::xxh3_128_with_secret;

/// How many bytes of a body make a row, for the first allocation.
const ROW_BYTES_GUESS: usize = 512;

/// The length of a secret of XXH3.
const SECRET_BYTES: usize = 192;

/// The walk over one request.
struct Walk<'w> {
    at: &'w Acceptance,
    /// Where the rows of the present request begin.
    first_row: usize,
    limits: &'w Limits,
    spans: SpanColumns,
    resources: Resources,
    scopes: Scopes,
    rejects: Rejects,
    /// The bytes that resources and scopes take once they are repeated.
    repeated_bytes: usize,
    bytes_max: usize,
    /// Resources and scopes so far, each bounded as rows are: empty ones take two bytes of a body
    /// and far more of time.
    parents: (usize, usize),
}

/// The span's parents while their spans are read.
struct Context<'c> {
    resource: &'c [u8],
    scope: &'c [u8],
    /// What the content keys of its spans are keyed by: a digest of both and their schema URLs.
    secret: [u8; SECRET_BYTES],
}

/// Decodes an `ExportTraceServiceRequest`.
pub(super) fn walk(body: &[u8], at: &Acceptance, limits: &Limits) -> Result<Decoded, DecodeError> {
    let mut walk = Walk::new(body.len(), at, limits);
    walk.request(body)
        .map_err(|stop| stop.error(body, limits))?;
    let rows = walk.spans.rows();
    let rejected_count = walk.rejects.total();
    let rejects = std::mem::replace(&mut walk.rejects, Rejects::new());
    let (rejected, reason) = rejects.finish(at)?;
    Ok(Decoded {
        rows: walk.finish(&[at], &[rows])?,
        rejected,
        rejected_count,
        reason,
    })
}

/// Decodes several requests into one batch; see [`super::decode_together`].
pub(super) fn walk_together(bodies: &[TraceBody<'_>], limits: &Limits) -> Option<DecodedTogether> {
    let bytes = bodies.iter().map(|b| b.bytes.len()).sum();
    let mut walk = Walk::new(bytes, bodies.first()?.at, limits);
    let mut counts = Vec::with_capacity(bodies.len());
    for body in bodies {
        walk.at = body.at;
        walk.first_row = walk.spans.rows();
        walk.parents = (0, 0);
        walk.request(body.bytes).ok()?;
        if walk.rejects.total() > 0 {
            return None;
        }
        counts.push(walk.spans.rows() - walk.first_row);
    }
    let all: Vec<&Acceptance> = bodies.iter().map(|b| b.at).collect();
    let rows = walk.finish(&all, &counts).ok()?;
    Some(DecodedTogether { rows, counts })
}

/// How many spans a request has, whatever is in them; `None` where that cannot be told.
pub(super) fn count_spans(body: &[u8]) -> Option<usize> {
    let mut count = 0;
    let mut request = Reader::new(body);
    while let Some(field) = request.next().ok()? {
        if field.number != 1 {
            continue;
        }
        let mut resource = Reader::new(field.bytes().ok()?);
        while let Some(field) = resource.next().ok()? {
            if field.number != 2 {
                continue;
            }
            let mut scope = Reader::new(field.bytes().ok()?);
            while let Some(field) = scope.next().ok()? {
                count += usize::from(field.number == 2);
            }
        }
    }
    Some(count)
}

/// Why the walk ended early.
pub(super) enum Stop {
    Content(ContentError),
    TooManyRows,
    TooManyBytes(usize),
}

impl<E: Into<ContentError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Content(error.into())
    }
}

impl Stop {
    pub(super) fn error(&self, body: &[u8], limits: &Limits) -> DecodeError {
        match self {
            Self::Content(ContentError::Wire(error)) => {
                let offset = error.at.wrapping_sub(body.as_ptr().addr());
                DecodeError::Protobuf {
                    what: error.what,
                    offset: if offset <= body.len() { offset } else { 0 },
                }
            }
            Self::Content(ContentError::TooDeep) => DecodeError::TooDeep {
                max: limits.value_depth_max,
            },
            Self::Content(ContentError::Utf8) => DecodeError::Utf8,
            Self::TooManyRows => DecodeError::TooManyRows {
                max: limits.rows_max,
            },
            Self::TooManyBytes(max) => DecodeError::TooManyBytes { max: *max },
        }
    }
}

impl<'w> Walk<'w> {
    fn new(body_bytes: usize, at: &'w Acceptance, limits: &'w Limits) -> Self {
        let rows = (body_bytes / ROW_BYTES_GUESS + 1).min(limits.rows_max);
        let offsets_max = usize::try_from(i32::MAX / 2).unwrap_or(0);
        Self {
            at,
            first_row: 0,
            limits,
            spans: SpanColumns::new(rows),
            resources: Resources::new(),
            scopes: Scopes::new(),
            rejects: Rejects::new(),
            repeated_bytes: 0,
            bytes_max: limits.decoded_bytes_max.min(offsets_max),
            parents: (0, 0),
        }
    }

    fn request(&mut self, body: &[u8]) -> Result<(), Stop> {
        let mut reader = Reader::new(body);
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                self.resource_spans(field.bytes()?)?;
            }
        }
        Ok(())
    }

    /// The spans may stand before the resource that they belong to, so it is looked for first.
    fn resource_spans(&mut self, message: &[u8]) -> Result<(), Stop> {
        self.parents.0 += 1;
        if self.parents.0 > self.limits.rows_max {
            return Err(Stop::TooManyRows);
        }
        let resource = ResourceFields::read(message)?;
        self.resources.begin(&resource, self.limits)?;
        let mut digest = blake3::Hasher::new();
        update_framed(&mut digest, &resource.message);
        update_framed(&mut digest, resource.schema_url);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 2 {
                self.scope_spans(field.bytes()?, &resource, digest.clone())?;
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        message: &[u8],
        resource: &ResourceFields<'_>,
        mut digest: blake3::Hasher,
    ) -> Result<(), Stop> {
        self.parents.1 += 1;
        if self.parents.1 > self.limits.rows_max {
            return Err(Stop::TooManyRows);
        }
        let (scope, schema_url) = read_scope(message)?;
        self.scopes.begin(&scope, schema_url, self.limits)?;
        update_framed(&mut digest, &scope);
        update_framed(&mut digest, schema_url);
        let mut secret = [0; SECRET_BYTES];
        digest.finalize_xof().fill(&mut secret);
        let context = Context {
            resource: &resource.message,
            scope: &scope,
            secret,
        };
        let mut fields = SpanFields::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 2 {
                let span = field.bytes()?;
                fields.read(span, self.limits)?;
                self.span(span, &fields, &context)?;
            }
        }
        Ok(())
    }

    fn span(
        &mut self,
        message: &[u8],
        fields: &SpanFields<'_>,
        context: &Context<'_>,
    ) -> Result<(), Stop> {
        let index = self.spans.rows() - self.first_row + self.rejects.total();
        if index >= self.limits.rows_max {
            return Err(Stop::TooManyRows);
        }
        if let Some(flaw) = Flaw::of(fields.trace_id, fields.span_id) {
            let parts = SpanParts {
                trace_id: fields.trace_id,
                span_id: fields.span_id,
                resource: context.resource,
                scope: context.scope,
                span: message,
            };
            self.rejects.push(flaw, index, &parts);
            return Ok(());
        }
        let (resource_bytes, resource_odd) = self.resources.count_row();
        let (scope_bytes, scope_odd) = self.scopes.count_row();
        let key = xxh3_128_with_secret(message, &context.secret).to_be_bytes();
        let odd = [resource_odd, scope_odd];
        self.spans.push(fields, &key, odd, (self.at, self.limits))?;
        self.repeated_bytes += resource_bytes + scope_bytes;
        if self.repeated_bytes + self.spans.byte_len() > self.bytes_max {
            return Err(Stop::TooManyBytes(self.bytes_max));
        }
        Ok(())
    }

    /// The rows, of which each acceptance has so many.
    fn finish(self, all: &[&Acceptance], counts: &[usize]) -> Result<RecordBatch, DecodeError> {
        let rows = self.spans.rows();
        let mut columns = Vec::with_capacity(48);
        self.spans.finish(&mut columns)?;
        self.resources.finish(rows, &mut columns)?;
        self.scopes.finish(rows, &mut columns)?;
        columns.extend(common_columns_of(all, counts)?);
        assemble(Dataset::Spans, rows, columns)
    }
}

/// Feeds a part with its length before it, so that no two lists of parts look alike.
pub(super) fn update_framed(digest: &mut blake3::Hasher, part: &[u8]) {
    let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
    digest.update(&length.to_le_bytes());
    digest.update(part);
}
