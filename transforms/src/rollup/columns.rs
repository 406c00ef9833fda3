//! The columns of bookings and of sums, as they are read and written.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field};
use weir_model::histogram::bucket_of_ms;
use weir_model::schema::ColumnType;

use super::RollupError;
use super::sums::{CALLS, COUNTS, MONEY, Sums};

/// The columns that bookings have and sums do not.
pub(super) const BOOKING_ONLY: [&str; 5] = [
    "sign",
    "event_time",
    "cost_disagrees",
    "duration_ms",
    "error_type",
];

/// The columns that say in which batch of which node a row came.
pub(super) fn places(rows: &RecordBatch) -> Result<(&StringArray, &Int64Array), RollupError> {
    let nodes = typed(rows, "_node", |c| c.as_string_opt::<i32>())?;
    Ok((nodes, integers(rows, "_batch")?))
}

/// A column by its name, as the type that it must have.
fn typed<'a, T>(
    rows: &'a RecordBatch,
    name: &'static str,
    cast: impl Fn(&'a ArrayRef) -> Option<&'a T>,
) -> Result<&'a T, RollupError> {
    let found = rows.column_by_name(name).and_then(cast);
    found.ok_or(RollupError::Column(name))
}

fn integers<'a>(rows: &'a RecordBatch, name: &'static str) -> Result<&'a Int64Array, RollupError> {
    typed(rows, name, |c| c.as_primitive_opt::<Int64Type>())
}

fn money<'a>(
    rows: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a Decimal128Array, RollupError> {
    typed(rows, name, |c| c.as_primitive_opt::<Decimal128Type>())
}

fn times<'a>(
    rows: &'a RecordBatch,
    name: &'static str,
) -> Result<&'a TimestampMicrosecondArray, RollupError> {
    typed(rows, name, |c| {
        c.as_primitive_opt::<TimestampMicrosecondType>()
    })
}

/// Every column of one kind, in the order of `names`.
fn each<'a, T, const N: usize>(
    names: [&'static str; N],
    read: impl Fn(&'static str) -> Result<&'a T, RollupError>,
) -> Result<Vec<&'a T>, RollupError> {
    names.into_iter().map(read).collect()
}

/// The names of [`COUNTS`] that count tokens, which a booking has under the same names.
fn token_names() -> impl Iterator<Item = &'static str> {
    COUNTS.into_iter().skip(CALLS)
}

/// Rows of `cost_ledger`.
pub(super) struct Bookings<'a> {
    sign: &'a Int32Array,
    event_time: &'a TimestampMicrosecondArray,
    received_at: &'a TimestampMicrosecondArray,
    tokens: Vec<&'a Int64Array>,
    money: Vec<&'a Decimal128Array>,
    disagrees: &'a BooleanArray,
    duration_ms: &'a Float64Array,
    error_type: &'a StringArray,
}

impl<'a> Bookings<'a> {
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Self, RollupError> {
        Ok(Self {
            sign: typed(rows, "sign", |c| c.as_primitive_opt::<Int32Type>())?,
            event_time: times(rows, "event_time")?,
            received_at: times(rows, "received_at")?,
            tokens: token_names()
                .map(|name| integers(rows, name))
                .collect::<Result<_, _>>()?,
            money: each(MONEY, |name| money(rows, name))?,
            disagrees: typed(rows, "cost_disagrees", |c| c.as_boolean_opt())?,
            duration_ms: typed(rows, "duration_ms", |c| c.as_primitive_opt::<Float64Type>())?,
            error_type: typed(rows, "error_type", |c| c.as_string_opt::<i32>())?,
        })
    }

    /// The start of the call that a row books, in microseconds since the epoch.
    pub(super) fn event_time(&self, row: usize) -> i64 {
        value_of(self.event_time, row).unwrap_or(0)
    }

    pub(super) fn add_to(&self, sums: &mut Sums, row: usize) {
        let sign = i64::from(value_of(self.sign, row).unwrap_or(0));
        let tokens: Vec<Option<i64>> = self.tokens.iter().map(|t| value_of(t, row)).collect();
        let money: Vec<Option<i128>> = self.money.iter().map(|m| value_of(m, row)).collect();
        let known =
            |amounts: &[Option<i128>], at: usize| amounts.get(at).is_some_and(Option::is_some);
        let is = [
            true,
            row < self.error_type.len() && self.error_type.is_valid(row),
            tokens.iter().take(2).any(Option::is_some),
            known(&money, 0),
            known(&money, 1),
            !known(&money, 2),
            self.disagrees.is_valid(row) && self.disagrees.value(row),
        ];
        let counted = is.into_iter().map(i64::from);
        let counted = counted.chain(tokens.into_iter().map(Option::unwrap_or_default));
        for (sum, n) in sums.counts.iter_mut().zip(counted) {
            *sum = sum.wrapping_add(sign.wrapping_mul(n));
        }
        for (sum, amount) in sums.money.iter_mut().zip(money) {
            let amount = i128::from(sign).wrapping_mul(amount.unwrap_or(0));
            *sum = sum.wrapping_add(amount);
        }
        if let Some(bucket) = value_of(self.duration_ms, row).and_then(bucket_of_ms) {
            sums.latency.add(bucket, sign);
        }
        sums.received_at = sums.received_at.max(value_of(self.received_at, row));
    }
}

/// Rows of `cost_hourly` or `cost_daily`.
pub(super) struct Partials<'a> {
    counts: Vec<&'a Int64Array>,
    money: Vec<&'a Decimal128Array>,
    latency: &'a ListArray,
    received_at: &'a TimestampMicrosecondArray,
}

impl<'a> Partials<'a> {
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Self, RollupError> {
        Ok(Self {
            counts: each(COUNTS, |name| integers(rows, name))?,
            money: each(MONEY, |name| money(rows, name))?,
            latency: typed(rows, "latency_histogram", |c| c.as_list_opt::<i32>())?,
            received_at: times(rows, "received_at")?,
        })
    }

    pub(super) fn add_to(&self, sums: &mut Sums, row: usize) {
        for (sum, column) in sums.counts.iter_mut().zip(&self.counts) {
            *sum = sum.wrapping_add(value_of(column, row).unwrap_or(0));
        }
        for (sum, column) in sums.money.iter_mut().zip(&self.money) {
            *sum = sum.wrapping_add(value_of(column, row).unwrap_or(0));
        }
        if row < self.latency.len() && self.latency.is_valid(row) {
            let pairs = self.latency.value(row);
            if let Some(pairs) = pairs.as_primitive_opt::<Int64Type>() {
                sums.latency.add_pairs(pairs.values());
            }
        }
        sums.received_at = sums.received_at.max(value_of(self.received_at, row));
    }
}

fn value_of<T: arrow_array::ArrowPrimitiveType>(
    column: &arrow_array::PrimitiveArray<T>,
    row: usize,
) -> Option<T::Native> {
    (row < column.len() && column.is_valid(row)).then(|| column.value(row))
}

/// The column `name` of the sums; `None` where it is none of theirs.
pub(super) fn write(name: &str, sums: &[&Sums]) -> Option<ArrayRef> {
    if let Some(at) = COUNTS.iter().position(|n| *n == name) {
        let values = sums.iter().map(|s| s.counts.get(at).copied());
        return Some(Arc::new(values.collect::<Int64Array>()));
    }
    if let Some(at) = MONEY.iter().position(|n| *n == name) {
        let values = sums.iter().map(|s| s.money.get(at).copied());
        let values = values.collect::<Decimal128Array>();
        return Some(Arc::new(
            values.with_data_type(ColumnType::MoneySum.arrow()),
        ));
    }
    match name {
        "latency_histogram" => {
            let element = Field::new("element", DataType::Int64, true);
            let mut lists = ListBuilder::new(Int64Builder::new()).with_field(element);
            for s in sums {
                s.latency
                    .pairs()
                    .for_each(|n| lists.values().append_value(n));
                lists.append(true);
            }
            Some(Arc::new(lists.finish()))
        }
        "received_at" => {
            let values = sums.iter().map(|s| Some(s.received_at.unwrap_or(0)));
            let values = values.collect::<TimestampMicrosecondArray>();
            Some(Arc::new(values.with_timezone("UTC")))
        }
        _ => None,
    }
}
