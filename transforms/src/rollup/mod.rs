//! Partial sums of the cost ledger: bookings to sums by hour and by day, and sums of such sums.
//!
//! ```text
//! batch 41 of cost_ledger --by(Hour)--> batch 41 of cost_hourly --.
//! batch 42 of cost_ledger --by(Hour)--> batch 42 of cost_hourly --+--merge--> fewer rows, same sums
//! ```
//!
//! # Invariants
//!
//! * Sums are of `sign * value`: a booking and its correction leave nothing, to the last digit and
//!   to the last count of the histogram.
//! * Adding is of integers modulo 2^64 (calls, tokens, counts) and 2^128 (money), so that it may be
//!   cut and ordered in any way: [`merge`] of the sums of parts gives the sums of the whole.
//! * A batch of the ledger always gives at least one row, also where its bookings cancel out, so
//!   that a table of sums can say up to which batch it has read.

mod columns;
mod sums;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use weir_model::schema::rollup::KEY_END;
use weir_model::{Dataset, NodeId};

use columns::{Bookings, Partials};
use sums::Sums;

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// How long the periods of a table of sums are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// An hour, UTC.
    Hour,
    /// A day, UTC.
    Day,
}

impl Grain {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// Where its sums are kept.
    pub const fn dataset(self) -> Dataset {
        match self {
            Self::Hour => Dataset::CostHourly,
            Self::Day => Dataset::CostDaily,
        }
    }

    /// The length of a period, in microseconds.
    pub const fn period_us(self) -> i64 {
        match self {
            Self::Hour => HOUR_US,
            Self::Day => DAY_US,
        }
    }

    /// The start of the period that holds a time, both in microseconds since the epoch.
    pub const fn period_of(self, time_us: i64) -> i64 {
        time_us.saturating_sub(time_us.rem_euclid(self.period_us()))
    }
}

/// Rows could not be summed up; nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RollupError {
    /// A column is missing or of another type than the model says.
    #[error("the column `{0}` is not what the schema says")]
    Column(&'static str),
    /// The rows do not fit together, which the schema forbids.
    #[error("the sums cannot be put into a table")]
    Arrow(#[from] ArrowError),
}

/// The columns that tell rows of sums apart: the tenant, the day of the partition, and those of
/// the body up to [`KEY_END`].
fn key_names() -> impl Iterator<Item = &'static str> {
    let columns = Dataset::CostHourly.columns().iter().map(|c| c.name);
    let body = columns.scan(false, |ended, name| {
        let go_on = !*ended;
        *ended |= name == KEY_END;
        go_on.then_some(name)
    });
    body.chain(["part_date"])
}

/// The columns of `cost_ledger` that are summed up, and `_node` and `_batch`.
pub fn reads() -> Vec<&'static str> {
    let of_ledger = Dataset::CostLedger.columns().iter().map(|c| c.name);
    let of_sums = Dataset::CostHourly.columns();
    let summed = |name: &&str| {
        of_sums.iter().any(|c| c.name == *name) || columns::BOOKING_ONLY.contains(name)
    };
    of_ledger.filter(summed).collect()
}

/// The sums of the bookings of one batch of `cost_ledger`, in the accepted schema of the grain's
/// dataset, ordered by their key. `received_at` is when the newest of the bookings was received.
///
/// The same rows in any order give the same sums, row for row.
///
/// # Errors
///
/// [`RollupError`] where the rows are not those of `cost_ledger`.
pub fn by(grain: Grain, bookings: &RecordBatch) -> Result<RecordBatch, RollupError> {
    sums_of(grain, std::slice::from_ref(bookings))
}

/// The sums of each batch of `node` within `batches`, by its number: what [`by`] gives for the rows
/// of that batch, wherever they stand in `rows`. Rows of other nodes and batches are passed over; a
/// batch without rows is not there.
///
/// # Errors
///
/// As [`by`].
pub fn by_batch(
    grain: Grain,
    rows: &[RecordBatch],
    (node, batches): (&NodeId, RangeInclusive<i64>),
) -> Result<BTreeMap<i64, RecordBatch>, RollupError> {
    let mut found: BTreeMap<i64, Vec<RecordBatch>> = BTreeMap::new();
    for piece in rows {
        let (nodes, numbers) = columns::places(piece)?;
        let mine = nodes.iter().zip(numbers).map(|(n, number)| {
            let here = n == Some(node.as_str());
            number.filter(|number| here && batches.contains(number))
        });
        let mine: Vec<Option<i64>> = mine.collect();
        let present: BTreeSet<i64> = mine.iter().flatten().copied().collect();
        for number in present {
            let of_batch: BooleanArray = mine.iter().map(|m| Some(*m == Some(number))).collect();
            let rows = filter_record_batch(piece, &of_batch)?;
            found.entry(number).or_default().push(rows);
        }
    }
    let sums = found.into_iter();
    sums.map(|(number, rows)| Ok((number, sums_of(grain, &rows)?)))
        .collect()
}

fn sums_of(grain: Grain, pieces: &[RecordBatch]) -> Result<RecordBatch, RollupError> {
    let mut groups = Groups::new()?;
    for piece in pieces {
        let read = Bookings::of(piece)?;
        let starts = (0..piece.num_rows()).map(|row| grain.period_of(read.event_time(row)));
        let starts = TimestampMicrosecondArray::from_iter_values(starts).with_timezone("UTC");
        let starts: ArrayRef = Arc::new(starts);
        groups.add(
            |name| match name {
                "period_start" => Some(Arc::clone(&starts)),
                name => piece.column_by_name(name).map(Arc::clone),
            },
            piece.num_rows(),
            |sums, row| read.add_to(sums, row),
        )?;
    }
    groups.finish(grain.dataset())
}

/// Adds up rows of sums that have the same key. Rows that are nothing but zeros are left out:
/// the answer may have no rows.
///
/// # Errors
///
/// [`RollupError`] where rows are not those of the dataset.
pub fn merge(grain: Grain, partials: &[RecordBatch]) -> Result<RecordBatch, RollupError> {
    let mut groups = Groups::new()?;
    for rows in partials {
        let read = Partials::of(rows)?;
        groups.add(
            |name| rows.column_by_name(name).map(Arc::clone),
            rows.num_rows(),
            |sums, row| read.add_to(sums, row),
        )?;
    }
    groups.found.retain(|_, sums| !sums.is_zero());
    groups.finish(grain.dataset())
}

/// Sums by key; the key is a row of the key columns in a form that sorts and compares as bytes.
struct Groups {
    converter: RowConverter,
    found: BTreeMap<Box<[u8]>, Sums>,
}

impl Groups {
    fn new() -> Result<Self, RollupError> {
        let schema = Dataset::CostHourly.schema();
        let mut fields = Vec::new();
        for name in key_names() {
            let field = schema.field_with_name(name)?;
            fields.push(SortField::new(field.data_type().clone()));
        }
        Ok(Self {
            converter: RowConverter::new(fields)?,
            found: BTreeMap::new(),
        })
    }

    fn add(
        &mut self,
        column: impl Fn(&'static str) -> Option<ArrayRef>,
        rows: usize,
        mut add: impl FnMut(&mut Sums, usize),
    ) -> Result<(), RollupError> {
        let mut keys = Vec::new();
        for name in key_names() {
            let found = column(name).filter(|c| c.len() == rows);
            keys.push(found.ok_or(RollupError::Column(name))?);
        }
        let keys = self.converter.convert_columns(&keys)?;
        for (row, key) in keys.iter().enumerate() {
            match self.found.get_mut(key.as_ref()) {
                Some(sums) => add(sums, row),
                None => {
                    let mut sums = Sums::default();
                    add(&mut sums, row);
                    self.found.insert(key.as_ref().into(), sums);
                }
            }
        }
        Ok(())
    }

    fn finish(self, dataset: Dataset) -> Result<RecordBatch, RollupError> {
        let parser = self.converter.parser();
        let rows = self.found.keys().map(|key| parser.parse(key));
        let keys = self.converter.convert_rows(rows)?;
        let sums: Vec<&Sums> = self.found.values().collect();
        let schema = dataset.accepted_schema();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for column in dataset.columns().iter().take(schema.fields().len()) {
            let at = key_names().position(|name| name == column.name);
            let made = match at.and_then(|at| keys.get(at)) {
                Some(key) => Arc::clone(key),
                None => {
                    columns::write(column.name, &sums).ok_or(RollupError::Column(column.name))?
                }
            };
            columns.push(made);
        }
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
