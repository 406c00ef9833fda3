//! The columns that each log record fills itself.

use arrow_array::ArrayRef;

use super::logs::{Found, LogFields, as_value};
use super::rejects::is_zero;
use crate::decode::attributes::{ContentError, KeyValue};
use crate::decode::columns::{
    AttributeColumns, Numbers, Oddities, Text, TextLists, Truths, push_long,
};
use crate::decode::{Acceptance, DecodeError, Limits};

/// The growing columns of log records; see the schema for what each means.
#[derive(Debug)]
pub(super) struct LogColumns {
    rows: usize,
    event_id: Text,
    event_name: Text,
    is_call: Truths,
    event_time: Numbers<i64>,
    event_nanos: Numbers<i64>,
    observed_nanos: Numbers<i64>,
    time_flags: TextLists,
    severity: Numbers<i64>,
    severity_text: Text,
    body: Text,
    trace_id: Text,
    span_id: Text,
    flags: Numbers<i64>,
    attributes: AttributeColumns,
    dropped_attributes: Numbers<i64>,
    decode_flags: TextLists,
    duration_ms: Numbers<f64>,
    part_date: Numbers<i32>,
}

impl Default for LogColumns {
    fn default() -> Self {
        Self {
            rows: 0,
            event_id: Text::new(0, 0),
            event_name: Text::new(0, 0),
            is_call: Truths::new(0),
            event_time: Numbers::new(0),
            event_nanos: Numbers::new(0),
            observed_nanos: Numbers::new(0),
            time_flags: TextLists::new(0),
            severity: Numbers::new(0),
            severity_text: Text::new(0, 0),
            body: Text::new(0, 0),
            trace_id: Text::new(0, 0),
            span_id: Text::new(0, 0),
            flags: Numbers::new(0),
            attributes: AttributeColumns::new(0, 0),
            dropped_attributes: Numbers::new(0),
            decode_flags: TextLists::new(0),
            duration_ms: Numbers::new(0),
            part_date: Numbers::new(0),
        }
    }
}

impl LogColumns {
    /// The rows so far.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// The bytes of those columns that input can blow up.
    pub(super) fn byte_len(&self) -> usize {
        self.attributes.byte_len()
            + self.body.byte_len()
            + self.event_name.byte_len()
            + self.severity_text.byte_len()
    }

    /// Adds a record under an id; `inherited` is what was odd about its resource and scope.
    pub(super) fn push(
        &mut self,
        record: &LogFields<'_>,
        found: &Found,
        (id, inherited): (&[u8; 16], [Oddities; 2]),
        (at, limits): (&Acceptance, &Limits),
    ) -> Result<(), ContentError> {
        self.rows += 1;
        self.event_id.push_hex(id);
        self.event_name.push(found.name.as_bytes());
        self.is_call.push_opt(Some(found.is_call));
        self.push_times(record, at);
        self.severity.push_count(i64::from(record.severity));
        self.severity_text.push_non_empty(record.severity_text);
        self.flags.push_count(i64::from(record.flags));
        self.dropped_attributes
            .push_count(record.dropped_attributes);
        self.duration_ms.push_opt(found.duration_ms);
        let mut odd = Oddities::default();
        for of in inherited {
            odd.duplicate_key |= of.duplicate_key;
            odd.attributes_cut |= of.attributes_cut;
            odd.value_cut |= of.value_cut;
        }
        self.attributes
            .push_row(&record.attributes, limits, &mut odd)?;
        odd.value_cut |= self.push_body(record.body, limits)?;
        let bad_trace = push_id(&mut self.trace_id, record.trace_id, 16);
        let bad_span = push_id(&mut self.span_id, record.span_id, 8);
        let flags: [(bool, &[u8]); 5] = [
            (odd.duplicate_key, b"duplicate_key"),
            (odd.attributes_cut, b"attributes_cut"),
            (odd.value_cut, b"value_cut"),
            (bad_trace, b"bad_trace_id"),
            (bad_span, b"bad_span_id"),
        ];
        push_flags(&mut self.decode_flags, &flags);
        Ok(())
    }

    /// The record's own time, else that at which it was seen.
    fn push_times(&mut self, record: &LogFields<'_>, at: &Acceptance) {
        let observed = record.time == 0 && record.observed != 0;
        let nanos = match observed {
            true => record.observed,
            false => record.time,
        };
        let said = nanos != 0;
        let us = i64::try_from(nanos / 1000).ok().filter(|_| said);
        let (date, by_receipt) = at.part_date(us);
        let exact = i64::try_from(nanos).ok();
        self.event_time.push_opt(us);
        self.event_nanos.push_opt(exact.filter(|_| said));
        let seen = i64::try_from(record.observed).ok();
        self.observed_nanos.push_opt(seen.filter(|seen| *seen != 0));
        self.part_date.push(date);
        let flags: [(bool, &[u8]); 4] = [
            (!said, b"missing"),
            (observed, b"observed"),
            (exact.is_none(), b"overflow"),
            (by_receipt, b"part_date_received"),
        ];
        push_flags(&mut self.time_flags, &flags);
    }

    /// Adds the body as text, and says whether it was cut.
    fn push_body(&mut self, body: Option<&[u8]>, limits: &Limits) -> Result<bool, ContentError> {
        let message = as_value(body.unwrap_or_default());
        let value = KeyValue::read(&message)?.value;
        if value.kind() == Some("unset") {
            self.body.push_null();
            return Ok(false);
        }
        push_long(&mut self.body, &value, limits)
    }

    /// The finished columns.
    pub(super) fn finish(
        self,
        columns: &mut Vec<(&'static str, ArrayRef)>,
    ) -> Result<(), DecodeError> {
        let (attributes, attribute_types) = self.attributes.finish()?;
        columns.extend([
            ("event_id", self.event_id.finish()?),
            ("event_name", self.event_name.finish()?),
            ("is_call", self.is_call.finish()),
            ("event_time", self.event_time.finish_times()),
            ("event_time_unix_nano", self.event_nanos.finish()),
            ("observed_time_unix_nano", self.observed_nanos.finish()),
            ("time_flags", self.time_flags.finish()?),
            ("severity_number", self.severity.finish()),
            ("severity_text", self.severity_text.finish()?),
            ("body", self.body.finish()?),
            ("trace_id", self.trace_id.finish()?),
            ("span_id", self.span_id.finish()?),
            ("flags", self.flags.finish()),
            ("attributes", attributes),
            ("attribute_types", attribute_types),
            ("dropped_attributes_count", self.dropped_attributes.finish()),
            ("decode_flags", self.decode_flags.finish()?),
            ("duration_ms", self.duration_ms.finish_doubles()),
            ("part_date", self.part_date.finish_dates()),
        ]);
        Ok(())
    }
}

/// Adds an id that may be missing, and says whether it is one of another length.
fn push_id(column: &mut Text, id: &[u8], length: usize) -> bool {
    let none = id.is_empty() || is_zero(id);
    if none || id.len() != length {
        column.push_null();
    } else {
        column.push_hex(id);
    }
    !none && id.len() != length
}

fn push_flags(column: &mut TextLists, flags: &[(bool, &[u8])]) {
    for (_, name) in flags.iter().filter(|(is_so, _)| *is_so) {
        column.items().push(name);
    }
    column.end_row();
}
