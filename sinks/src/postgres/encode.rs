//! Arrow columns as Postgres's binary arrays, straight from their buffers.
//!
//! An array is how a whole column travels in one parameter: `unnest` makes rows of it on the other
//! side. `COPY` would be the usual way, but Postgres refuses it for roles under row-level security.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray};
use arrow_schema::ArrowError;
use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type};
use weir_model::schema::{Column, ColumnType};

use super::exact::Exact;

/// 2000-01-01, where Postgres counts from, in days since 1970-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_US: i64 = 946_684_800_000_000;
/// Digits after the point of money columns.
const SCALE: u16 = 12;
/// Groups of four digits after the point.
const SCALE_GROUPS: i16 = 3;
/// What a group counts to.
const GROUP: u128 = 10_000;

/// A parameter in Postgres's binary form.
#[derive(Debug)]
pub(super) struct Value {
    kind: Type,
    bytes: Vec<u8>,
}

impl Value {
    /// A text.
    pub(super) fn text(text: &str) -> Self {
        Self {
            kind: Type::TEXT,
            bytes: text.as_bytes().to_vec(),
        }
    }

    /// A 64-bit integer.
    pub(super) fn int(number: i64) -> Self {
        Self {
            kind: Type::INT8,
            bytes: number.to_be_bytes().to_vec(),
        }
    }

    /// The type that the server is to take it for.
    pub(super) fn kind(&self) -> Type {
        self.kind.clone()
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(kind, out)
    }
}

/// Postgres's name of the type that a column has there.
pub(super) fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "text",
        ColumnType::Int32 => "integer",
        ColumnType::Int64 => "bigint",
        ColumnType::Float64 => "double precision",
        ColumnType::Bool => "boolean",
        ColumnType::Date => "date",
        ColumnType::Time => "timestamptz",
        ColumnType::Money => "numeric(24,12)",
        ColumnType::MoneySum => "numeric(38,12)",
        ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => "jsonb",
    }
}

/// An array under construction.
#[derive(Debug)]
pub(super) struct Builder {
    array: Type,
    bytes: Vec<u8>,
}

impl Builder {
    /// An array of `len` elements of the type `element`.
    pub(super) fn new(array: Type, element: &Type, len: usize) -> Self {
        let len = i32::try_from(len).unwrap_or(i32::MAX);
        let mut bytes = Vec::with_capacity(64 * 1024);
        // One dimension, NULLs possible, the elements' type, how many, counted from 1.
        for number in [1, 1] {
            bytes.extend_from_slice(&i32::to_be_bytes(number));
        }
        bytes.extend_from_slice(&element.oid().to_be_bytes());
        for number in [len, 1] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Self { array, bytes }
    }

    /// The next element.
    pub(super) fn put(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(bytes) => {
                let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
                self.bytes.extend_from_slice(&len.to_be_bytes());
                self.bytes.extend_from_slice(bytes);
            }
        }
    }

    pub(super) fn finish(self) -> Value {
        Value {
            kind: self.array,
            bytes: self.bytes,
        }
    }
}

/// The values of `array`, which are those of `column`, as one parameter. What Postgres cannot hold
/// as it is goes to `exact` beside what is shown of it.
///
/// # Errors
///
/// Where they are of another type, or a time is beyond what Postgres counts.
pub(super) fn encode(
    column: &Column,
    array: &ArrayRef,
    exact: &mut Exact<'_>,
) -> Result<Value, ArrowError> {
    let wrong = || {
        let (name, kind) = (column.name, array.data_type());
        ArrowError::SchemaError(format!("{name} has the type {kind}"))
    };
    match column.kind {
        ColumnType::Text => {
            let texts = array.as_string_opt::<i32>().ok_or_else(wrong)?;
            Ok(exact.texts(column.name, texts))
        }
        ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => exact.nested(column.name, array),
        ColumnType::Bool => Ok(bools(array.as_boolean_opt().ok_or_else(wrong)?)),
        ColumnType::Int32 => {
            let numbers = array.as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
            each(numbers, Type::INT4_ARRAY, &Type::INT4, |n| {
                Ok(n.to_be_bytes())
            })
        }
        ColumnType::Int64 => {
            let numbers = array.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            each(numbers, Type::INT8_ARRAY, &Type::INT8, |n| {
                Ok(n.to_be_bytes())
            })
        }
        ColumnType::Float64 => {
            let numbers = array.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
            each(numbers, Type::FLOAT8_ARRAY, &Type::FLOAT8, |n| {
                Ok(n.to_be_bytes())
            })
        }
        ColumnType::Date => {
            let days = array.as_primitive_opt::<Date32Type>().ok_or_else(wrong)?;
            each(days, Type::DATE_ARRAY, &Type::DATE, |n| {
                let day = n.checked_sub(EPOCH_DAYS).ok_or_else(|| beyond(column))?;
                Ok(day.to_be_bytes())
            })
        }
        ColumnType::Time => {
            let times = array.as_primitive_opt::<TimestampMicrosecondType>();
            let times = times.ok_or_else(wrong)?;
            each(times, Type::TIMESTAMPTZ_ARRAY, &Type::TIMESTAMPTZ, |n| {
                let time = n.checked_sub(EPOCH_US).ok_or_else(|| beyond(column))?;
                Ok(time.to_be_bytes())
            })
        }
        ColumnType::Money | ColumnType::MoneySum => {
            let money = array
                .as_primitive_opt::<Decimal128Type>()
                .ok_or_else(wrong)?;
            each(money, Type::NUMERIC_ARRAY, &Type::NUMERIC, |n| {
                Ok(numeric(n))
            })
        }
    }
}

fn beyond(column: &Column) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("{} is beyond all times", column.name))
}

fn each<T: ArrowPrimitiveType, B: AsRef<[u8]>>(
    values: &PrimitiveArray<T>,
    array: Type,
    element: &Type,
    bytes: impl Fn(T::Native) -> Result<B, ArrowError>,
) -> Result<Value, ArrowError> {
    let mut builder = Builder::new(array, element, values.len());
    for value in values {
        match value {
            None => builder.put(None),
            Some(value) => builder.put(Some(bytes(value)?.as_ref())),
        }
    }
    Ok(builder.finish())
}

fn bools(values: &BooleanArray) -> Value {
    let mut builder = Builder::new(Type::BOOL_ARRAY, &Type::BOOL, values.len());
    for value in values {
        builder.put(
            value
                .map(|bit| [u8::from(bit)])
                .as_ref()
                .map(<[u8; 1]>::as_slice),
        );
    }
    builder.finish()
}

/// Money in Postgres's form: groups of four decimal digits, the greatest first, without the zeros
/// at either end.
fn numeric(units: i128) -> Vec<u8> {
    let mut rest = units.unsigned_abs();
    let mut groups: Vec<u16> = Vec::with_capacity(10);
    while rest > 0 {
        groups.push(u16::try_from(rest % GROUP).unwrap_or_default());
        rest /= GROUP;
    }
    let highest = i16::try_from(groups.len()).unwrap_or_default() - 1 - SCALE_GROUPS;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    let digits: Vec<u16> = groups.into_iter().skip(zeros).rev().collect();
    let weight = if digits.is_empty() { 0 } else { highest };
    let sign: u16 = if units < 0 { 0x4000 } else { 0 };
    let count = u16::try_from(digits.len()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(8 + 2 * digits.len());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend_from_slice(&weight.to_be_bytes());
    bytes.extend_from_slice(&sign.to_be_bytes());
    bytes.extend_from_slice(&SCALE.to_be_bytes());
    for digit in digits {
        bytes.extend_from_slice(&digit.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(units: i128) -> Vec<i16> {
        let bytes = numeric(units);
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|pair| i16::from_be_bytes([pair[0], pair[1]]))
            .collect()
    }

    /// As `numeric_send` writes them.
    #[test]
    fn money_is_in_groups_of_four_digits() {
        assert_eq!(words(0), [0, 0, 0, 12]);
        assert_eq!(words(1), [1, -3, 0, 12, 1]);
        assert_eq!(words(-1), [1, -3, 0x4000, 12, 1]);
        assert_eq!(words(1_000_000_000_000), [1, 0, 0, 12, 1]);
        assert_eq!(words(1_500_000_000_000), [2, 0, 0, 12, 1, 5000]);
        assert_eq!(words(10_000_000_000_000_000), [1, 1, 0, 12, 1]);
        // 0.0000 1500 0000
        assert_eq!(words(15_000_000), [1, -2, 0, 12, 1500]);
    }
}
