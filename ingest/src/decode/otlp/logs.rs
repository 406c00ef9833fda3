//! OTLP logs in, rows of `log_events` out: of all records those that tell of calls of models.
//!
//! Kept are Claude Code's `claude_code.api_request`, which carries cost, tokens and model where no
//! span does, and events of the GenAI conventions, whose names begin with `gen_ai.`. Everything
//! else is counted and left out: weir is no store of logs. The event's name is the record's
//! `event_name`, else its attribute `event.name`, else a body that is text.
//!
//! A resource and a scope cost nothing until a record of theirs is kept, so that a body of millions
//! of other records takes no memory beside its own.

use super::log_columns::LogColumns;
use super::parents::{Resources, Scopes, read_scope};
use super::span::{ResourceFields, push_capped};
use super::walk::{Stop, update_framed};
use super::{OtlpEncoding, json};
use crate::decode::attributes::{Content, KeyValue};
use crate::decode::columns::assemble;
use crate::decode::rejected::common_columns_of;
use crate::decode::wire::{Reader, WireError};
use crate::decode::{Acceptance, DecodeError, Limits};

use std::borrow::Cow;

use arrow_array::RecordBatch;
use weir_model::Dataset;

/// Claude Code's record of a call.
const API_REQUEST: &str = "claude_code.api_request";
/// The GenAI conventions' record of a call.
const INFERENCE: &str = "gen_ai.client.inference.operation.details";
/// What names of GenAI events begin with.
const GEN_AI: &str = "gen_ai.";
/// What Claude Code's names begin with, where they are whole.
const CLAUDE_CODE: &str = "claude_code.";

/// What a request became.
#[derive(Clone, Debug)]
pub struct LogsDecoded {
    /// The records that are kept, in the accepted schema of `log_events`; the canonical and cost
    /// columns are NULL.
    pub rows: RecordBatch,
    /// How many records are not kept.
    pub unstored: usize,
}

/// Decodes the body of an `ExportLogsServiceRequest`. JSON is read as tolerantly as that of traces.
///
/// # Errors
///
/// [`DecodeError`] where the body as a whole is refused; no row was made.
pub fn decode_logs(
    body: &[u8],
    encoding: OtlpEncoding,
    at: &Acceptance,
    limits: &Limits,
) -> Result<LogsDecoded, DecodeError> {
    let body = match encoding {
        OtlpEncoding::Protobuf => Cow::Borrowed(body),
        OtlpEncoding::Json => Cow::Owned(json::logs_to_protobuf(body, limits)?),
    };
    let mut walk = Walk::new(at, limits);
    walk.request(&body)
        .map_err(|stop| stop.error(&body, limits))?;
    walk.finish()
}

/// The walk over one request.
struct Walk<'w> {
    at: &'w Acceptance,
    limits: &'w Limits,
    logs: LogColumns,
    resources: Resources,
    scopes: Scopes,
    unstored: usize,
    /// The bytes that resources and scopes take once they are repeated.
    repeated_bytes: usize,
}

/// What a record's parents are; they become columns with the first record that is kept.
struct Parents<'p> {
    resource: &'p ResourceFields<'p>,
    scope: Cow<'p, [u8]>,
    schema_url: &'p [u8],
    claude_code: bool,
    begun: bool,
}

/// The fields of a `LogRecord`.
#[derive(Debug, Default)]
pub(super) struct LogFields<'a> {
    pub(super) time: u64,
    pub(super) observed: u64,
    pub(super) severity: i32,
    pub(super) severity_text: &'a [u8],
    /// The `AnyValue`, where there is one.
    pub(super) body: Option<&'a [u8]>,
    pub(super) attributes: Vec<&'a [u8]>,
    pub(super) dropped_attributes: i64,
    pub(super) flags: u32,
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    event_name: &'a [u8],
}

/// What of a record is found by looking into its attributes.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) is_call: bool,
    pub(super) duration_ms: Option<f64>,
}

impl<'w> Walk<'w> {
    fn new(at: &'w Acceptance, limits: &'w Limits) -> Self {
        Self {
            at,
            limits,
            logs: LogColumns::default(),
            resources: Resources::new(),
            scopes: Scopes::new(),
            unstored: 0,
            repeated_bytes: 0,
        }
    }

    fn request(&mut self, body: &[u8]) -> Result<(), Stop> {
        let mut reader = Reader::new(body);
        while let Some(field) = reader.next()? {
            if field.number == 1 {
                self.resource_logs(field.bytes()?)?;
            }
        }
        Ok(())
    }

    fn resource_logs(&mut self, message: &[u8]) -> Result<(), Stop> {
        let resource = ResourceFields::read(message)?;
        let mut begun = false;
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number == 2 {
                begun = self.scope_logs(field.bytes()?, &resource, begun)?;
            }
        }
        Ok(())
    }

    /// Says whether the resource has become a row by now.
    fn scope_logs(
        &mut self,
        message: &[u8],
        resource: &ResourceFields<'_>,
        mut resource_begun: bool,
    ) -> Result<bool, Stop> {
        let (scope, schema_url) = read_scope(message)?;
        let mut parents = Parents {
            resource,
            claude_code: names_claude_code(&scope)?,
            scope,
            schema_url,
            begun: false,
        };
        let mut fields = LogFields::default();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            if field.number != 2 {
                continue;
            }
            let record = field.bytes()?;
            fields.read(record, self.limits)?;
            let Some(found) = fields.find(parents.claude_code)? else {
                self.unstored += 1;
                continue;
            };
            if !std::mem::replace(&mut resource_begun, true) {
                self.resources.begin(resource, self.limits)?;
            }
            if !std::mem::replace(&mut parents.begun, true) {
                self.scopes
                    .begin(&parents.scope, parents.schema_url, self.limits)?;
            }
            self.record((record, &fields), &found, &parents)?;
        }
        Ok(resource_begun)
    }

    fn record(
        &mut self,
        (record, fields): (&[u8], &LogFields<'_>),
        found: &Found,
        parents: &Parents<'_>,
    ) -> Result<(), Stop> {
        if self.logs.rows() >= self.limits.rows_max {
            return Err(Stop::TooManyRows);
        }
        let mut digest = blake3::Hasher::new();
        for part in [
            &*parents.resource.message,
            parents.resource.schema_url,
            &*parents.scope,
            parents.schema_url,
            record,
        ] {
            update_framed(&mut digest, part);
        }
        let mut id = [0; 16];
        digest.finalize_xof().fill(&mut id);
        let (resource_bytes, resource_odd) = self.resources.count_row();
        let (scope_bytes, scope_odd) = self.scopes.count_row();
        let odd = [resource_odd, scope_odd];
        self.logs
            .push(fields, found, (&id, odd), (self.at, self.limits))?;
        self.repeated_bytes += resource_bytes + scope_bytes;
        let offsets_max = usize::try_from(i32::MAX / 2).unwrap_or(0);
        let bytes_max = self.limits.decoded_bytes_max.min(offsets_max);
        if self.repeated_bytes + self.logs.byte_len() > bytes_max {
            return Err(Stop::TooManyBytes(bytes_max));
        }
        Ok(())
    }

    fn finish(self) -> Result<LogsDecoded, DecodeError> {
        let rows = self.logs.rows();
        let mut columns = Vec::with_capacity(32);
        self.logs.finish(&mut columns)?;
        self.resources.finish(rows, &mut columns)?;
        self.scopes.finish(rows, &mut columns)?;
        columns.extend(common_columns_of(&[self.at], &[rows])?);
        // Of resources and scopes less is kept here than spans keep.
        let schema = Dataset::LogEvents.accepted_schema();
        columns.retain(|(name, _)| schema.column_with_name(name).is_some());
        Ok(LogsDecoded {
            rows: assemble(Dataset::LogEvents, rows, columns)?,
            unstored: self.unstored,
        })
    }
}

/// Whether the scope is Claude Code's, whose records may have short names.
fn names_claude_code(scope: &[u8]) -> Result<bool, WireError> {
    let mut name: &[u8] = &[];
    let mut reader = Reader::new(scope);
    while let Some(field) = reader.next()? {
        if field.number == 1 {
            name = field.bytes()?;
        }
    }
    Ok(name
        .windows(b"claude_code".len())
        .any(|part| part == b"claude_code"))
}

impl<'a> LogFields<'a> {
    /// Reads a `LogRecord` over whatever was here before.
    fn read(&mut self, message: &'a [u8], limits: &Limits) -> Result<(), WireError> {
        let mut attributes = std::mem::take(&mut self.attributes);
        attributes.clear();
        *self = Self {
            attributes,
            ..Self::default()
        };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => self.time = field.fixed64()?,
                2 => self.severity = field.int32()?,
                3 => self.severity_text = field.bytes()?,
                5 => self.body = Some(field.bytes()?),
                6 => push_capped(&mut self.attributes, field.bytes()?, limits.attributes_max),
                7 => self.dropped_attributes = field.uint32()?,
                8 => self.flags = field.fixed32()?,
                9 => self.trace_id = field.bytes()?,
                10 => self.span_id = field.bytes()?,
                11 => self.observed = field.fixed64()?,
                12 => self.event_name = field.bytes()?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What the record tells of; `None` where it is not kept.
    fn find(&self, claude_code: bool) -> Result<Option<Found>, Stop> {
        let mut named: Cow<'_, [u8]> = Cow::Borrowed(self.event_name);
        let mut duration_ms = None;
        for attribute in &self.attributes {
            let KeyValue { key, value } = KeyValue::read(attribute)?;
            match (key, value) {
                (b"event.name", Content::Text(text)) if self.event_name.is_empty() => {
                    named = Cow::Borrowed(text);
                }
                (b"duration_ms", value) => duration_ms = number(&value),
                _ => {}
            }
        }
        if named.is_empty()
            && let Some(body) = self.body
            && let Content::Text(text) = KeyValue::read(&as_value(body))?.value
        {
            named = Cow::Owned(text.to_vec());
        }
        let Ok(name) = std::str::from_utf8(&named) else {
            return Ok(None);
        };
        let name = match claude_code && !name.starts_with(CLAUDE_CODE) {
            true => format!("{CLAUDE_CODE}{name}"),
            false => name.to_owned(),
        };
        let kept = name == API_REQUEST || name.starts_with(GEN_AI);
        Ok(kept.then(|| Found {
            is_call: name == API_REQUEST || name == INFERENCE,
            name,
            duration_ms,
        }))
    }
}

/// An `AnyValue` as the value of a `KeyValue`.
pub(super) fn as_value(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 8);
    json::put_bytes(2, body, &mut out);
    out
}

/// A number of milliseconds, also as text.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of one call lie far below 2^53"
)]
fn number(value: &Content<'_>) -> Option<f64> {
    let number = match value {
        Content::Int(value) => Some(*value as f64),
        Content::Double(value) => Some(*value),
        Content::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        Content::Unset
        | Content::Bool(_)
        | Content::Bytes(_)
        | Content::Array(_)
        | Content::KvList(_) => None,
    };
    number.filter(|number| number.is_finite() && *number >= 0.0)
}
