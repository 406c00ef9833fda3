//! The columns that are read.

use arrow_array::{
    Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::ArrowError;

use crate::derive::Span;
use crate::source::{self, Attributes};

/// The columns of a batch that are read.
pub(super) struct Input<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) types: Attributes<'a>,
    pub(super) resource: Attributes<'a>,
    /// Spans have them, log records do not.
    pub(super) events: Option<&'a ListArray>,
    names: &'a StringArray,
    scopes: &'a StringArray,
    starts: &'a TimestampMicrosecondArray,
    start_nanos: &'a Int64Array,
    received: &'a TimestampMicrosecondArray,
}

impl<'a> Input<'a> {
    /// The columns of `rows`, which are spans or log records.
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        let logs = rows.column_by_name("event_name").is_some();
        let [name, start, nanos] = if logs {
            ["event_name", "event_time", "event_time_unix_nano"]
        } else {
            ["name", "start_time", "start_time_unix_nano"]
        };
        let events = || source::column(rows, "events");
        Ok(Self {
            attributes: Attributes::named(rows, "attributes")?,
            types: Attributes::named(rows, "attribute_types")?,
            resource: Attributes::named(rows, "resource_attributes")?,
            events: (!logs).then(events).transpose()?,
            names: source::column(rows, name)?,
            scopes: source::column(rows, "scope_name")?,
            starts: source::column(rows, start)?,
            start_nanos: source::column(rows, nanos)?,
            received: source::column(rows, "received_at")?,
        })
    }

    /// The span at `row`, beside its attributes.
    pub(super) fn span(&self, row: usize) -> Span<'a> {
        Span {
            name: self.names.value(row),
            scope: if self.scopes.is_valid(row) {
                self.scopes.value(row)
            } else {
                ""
            },
            start_unix_nano: self
                .start_nanos
                .is_valid(row)
                .then(|| self.start_nanos.value(row)),
        }
    }

    /// When the call began, as far as a price needs it: a span without a start was made about when
    /// it was received.
    pub(super) fn priced_at_us(&self, row: usize) -> i64 {
        let start = self.starts.is_valid(row).then(|| self.starts.value(row));
        match start {
            Some(start) if start > 0 => start,
            Some(_) | None => self.received.value(row),
        }
    }
}
