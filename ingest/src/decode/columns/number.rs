//! Columns of numbers.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    TimestampMicrosecondArray,
};
use arrow_buffer::ScalarBuffer;
use weir_model::schema::MONEY;

use super::Validity;
use crate::decode::DecodeError;

/// A growing column of numbers, each of which may be NULL.
#[derive(Debug)]
pub(in crate::decode) struct Numbers<T> {
    values: Vec<T>,
    nulls: Validity,
}

impl<T: Copy + Default> Numbers<T> {
    /// An empty column with room for `rows`.
    pub(in crate::decode) fn new(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            nulls: Validity::default(),
        }
    }

    /// Adds a row.
    #[inline]
    pub(in crate::decode) fn push(&mut self, value: T) {
        self.values.push(value);
        self.nulls.push(true);
    }

    /// Adds a row that may be NULL.
    #[inline]
    pub(in crate::decode) fn push_opt(&mut self, value: Option<T>) {
        self.values.push(value.unwrap_or_default());
        self.nulls.push(value.is_some());
    }

    /// The column with its `i`th row `counts[i]` times.
    pub(in crate::decode) fn repeat(&self, counts: &[usize], rows: usize) -> Self {
        let mut out = Self::new(rows);
        for (place, (value, count)) in self.values.iter().zip(counts).enumerate() {
            let valid = self.nulls.is_valid(place);
            out.values.extend(std::iter::repeat_n(*value, *count));
            if valid {
                out.nulls.push_many(true, *count);
            } else {
                out.nulls.push_many(false, *count);
            }
        }
        out
    }

    fn parts(self) -> (Vec<T>, Option<arrow_buffer::NullBuffer>) {
        (self.values, self.nulls.finish())
    }
}

impl Numbers<i64> {
    /// Adds a count; zero, which is how Protobuf says "none", is NULL.
    #[inline]
    pub(in crate::decode) fn push_count(&mut self, value: i64) {
        self.push_opt(Some(value).filter(|value| *value != 0));
    }

    /// The finished column of 64-bit integers.
    pub(in crate::decode) fn finish(self) -> ArrayRef {
        let (values, nulls) = self.parts();
        Arc::new(Int64Array::new(ScalarBuffer::from(values), nulls))
    }

    /// The finished column of times, in microseconds since the epoch.
    pub(in crate::decode) fn finish_times(self) -> ArrayRef {
        let (values, nulls) = self.parts();
        let times = TimestampMicrosecondArray::new(ScalarBuffer::from(values), nulls);
        Arc::new(times.with_timezone("UTC"))
    }
}

impl Numbers<i32> {
    /// The finished column of 32-bit integers.
    pub(in crate::decode) fn finish_int32(self) -> ArrayRef {
        let (values, nulls) = self.parts();
        Arc::new(Int32Array::new(ScalarBuffer::from(values), nulls))
    }

    /// The finished column of days since the epoch.
    pub(in crate::decode) fn finish_dates(self) -> ArrayRef {
        let (values, nulls) = self.parts();
        Arc::new(Date32Array::new(ScalarBuffer::from(values), nulls))
    }
}

impl Numbers<f64> {
    /// The finished column of doubles.
    pub(in crate::decode) fn finish_doubles(self) -> ArrayRef {
        let (values, nulls) = self.parts();
        Arc::new(Float64Array::new(ScalarBuffer::from(values), nulls))
    }
}

impl Numbers<i128> {
    /// The finished column of US dollars, in units of the schema's scale.
    pub(in crate::decode) fn finish_money(self) -> Result<ArrayRef, DecodeError> {
        let (values, nulls) = self.parts();
        let (precision, scale) = MONEY;
        Decimal128Array::new(ScalarBuffer::from(values), nulls)
            .with_precision_and_scale(precision, scale)
            .map(|money| Arc::new(money) as ArrayRef)
            .map_err(|_| DecodeError::Internal)
    }
}
