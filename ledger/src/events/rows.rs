//! Rows of events as rows of the ledger. A pure function but for the time.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Int32Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter_record_batch;
use weir_model::Dataset;
use xxhash_rust::xxh3::xxh3_128;

use super::EventTable;
use super::price::{EventTerms, Repriced};
use crate::cells::Cells;
use crate::trace::part_date;

/// What the error is called where a sender says only that there was one, as OpenTelemetry has it.
const OTHER_ERROR: &str = "_OTHER";

/// Columns of events that a booking is made of under another name, or that say whether there is
/// one.
const ALSO: [&str; 9] = [
    "skill_name",
    "skill_source",
    "success",
    "is_call",
    "event_time",
    "received_at",
    "model_request",
    "model_response",
    "service_tier",
];

/// The columns that are read of a table of events: those that the ledger has too, and a few more.
pub(crate) fn columns(dataset: Dataset) -> Vec<&'static str> {
    let ledger = Dataset::CostLedger.columns();
    let names = dataset.columns().iter().map(|c| c.name);
    names
        .filter(|name| ALSO.contains(name) || ledger.iter().any(|c| c.name == *name))
        .collect()
}

/// The bookings of `pieces`, one for each row that is a call, in the accepted schema of the ledger;
/// `None` where there are none. They are made at `now_us`, as batch `turn`.
pub(crate) fn to_bookings(
    table: EventTable,
    pieces: &[RecordBatch],
    terms: &EventTerms<'_>,
    (now_us, turn): (i64, i64),
) -> Result<Option<RecordBatch>, ArrowError> {
    let Some(first) = pieces.first() else {
        return Ok(None);
    };
    let rows = concat_batches(&first.schema(), pieces)?;
    let rows = filter_record_batch(&rows, &is_booked(&rows))?;
    if rows.num_rows() == 0 {
        return Ok(None);
    }
    let events = Events {
        table,
        rows: Cells(&rows),
        now_us,
        turn,
    };
    let received = |at| events.rows.time("received_at", at);
    let repriced = Repriced::of(&rows, terms, (|at| events.began_us(at), received));
    let schema = Dataset::CostLedger.accepted_schema();
    let made = schema.fields().iter().map(|field| {
        let again = repriced
            .as_ref()
            .and_then(|r| r.column(field.name(), &rows));
        let made = again.or_else(|| events.column(field.name()));
        made.unwrap_or_else(|| new_null_array(field.data_type(), rows.num_rows()))
    });
    let made: Vec<ArrayRef> = made.collect();
    RecordBatch::try_new(Arc::clone(&schema), made).map(Some)
}

/// Which rows tell of a call. Every telemetry event does; of log records those that say so and
/// whose operation is one that a provider bills.
fn is_booked(rows: &RecordBatch) -> BooleanArray {
    let cells = Cells(rows);
    let has_calls = rows.column_by_name("is_call").is_some();
    let booked = |at| {
        let call = !has_calls || cells.truth("is_call", at) == Some(true);
        call && cells.array("cost_status", at).is_some()
    };
    (0..rows.num_rows()).map(|at| Some(booked(at))).collect()
}

/// Rows that are booked.
struct Events<'a> {
    table: EventTable,
    rows: Cells<'a>,
    now_us: i64,
    turn: i64,
}

impl Events<'_> {
    /// The ledger's column `name`; `None` where events do not say it.
    fn column(&self, name: &str) -> Option<ArrayRef> {
        let count = self.rows.0.num_rows();
        let telemetry = self.table.dataset == Dataset::TelemetryEvents;
        Some(match name {
            "sign" => Arc::new(Int32Array::from_iter_values(std::iter::repeat_n(1, count))),
            "source" => constant(self.table.source, count),
            "booking_id" => self.booking_ids(),
            "event_time" => self.times(|at| self.began_us(at)),
            "booked_at" | "received_at" => self.times(|_| self.now_us),
            "part_date" => {
                let day = |at| part_date(self.began_us(at).saturating_mul(1_000), self.now_us);
                Arc::new(Date32Array::from_iter_values((0..count).map(day)))
            }
            "skill" => Arc::clone(self.rows.0.column_by_name("skill_name")?),
            "skill_attribution" => self.texts(|at| Some(self.attribution(at))),
            "op_kind" if telemetry => constant("llm", count),
            "error_type" => self.texts(|at| self.error(at)),
            // A log record's flags are not those of a booking.
            "flags" => return None,
            name => Arc::clone(self.rows.0.column_by_name(name)?),
        })
    }

    /// When the call began; one without a time of its own about when it was received.
    fn began_us(&self, at: usize) -> i64 {
        let said = self.rows.time("event_time", at);
        said.or_else(|| self.rows.time("received_at", at))
            .unwrap_or(self.now_us)
    }

    /// How the event names its skill.
    fn attribution(&self, at: usize) -> &str {
        match self.rows.text("skill_name", at) {
            None => "none",
            Some(_) => self.rows.text("skill_source", at).unwrap_or("direct"),
        }
    }

    fn error(&self, at: usize) -> Option<&str> {
        let failed = self.rows.truth("success", at) == Some(false);
        let named = self.rows.text("error_type", at);
        named.or_else(|| failed.then_some(OTHER_ERROR))
    }

    fn booking_ids(&self) -> ArrayRef {
        let id = |at| {
            let tenant = self.rows.text("tenant_id", at).unwrap_or_default();
            let event = self.rows.text("event_id", at).unwrap_or_default();
            let text = format!(
                "{}/{tenant}/{event}/{}/{at}/1",
                self.table.source, self.turn
            );
            format!("{:032x}", xxh3_128(text.as_bytes()))
        };
        let ids = (0..self.rows.0.num_rows()).map(id);
        Arc::new(StringArray::from_iter_values(ids))
    }

    fn texts<'t>(&'t self, of: impl Fn(usize) -> Option<&'t str>) -> ArrayRef {
        Arc::new((0..self.rows.0.num_rows()).map(of).collect::<StringArray>())
    }

    fn times(&self, of: impl Fn(usize) -> i64) -> ArrayRef {
        let times = (0..self.rows.0.num_rows()).map(of);
        let times = TimestampMicrosecondArray::from_iter_values(times);
        Arc::new(times.with_timezone("UTC"))
    }
}

fn constant(text: &str, count: usize) -> ArrayRef {
    let all = std::iter::repeat_n(text, count);
    Arc::new(StringArray::from_iter_values(all))
}
