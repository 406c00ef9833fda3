//! Values of Arrow columns as SQLite keeps them.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array,
    Int64Array, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::ArrowError;
use rusqlite::Statement;
use weir_model::schema::{Column, ColumnType};

use super::SqliteError;
use crate::sql::json::{Nul, Writer};
use crate::sql::{days_text, decimal_text, time_text};

/// SQLite's name of the type that a column has there.
pub(super) fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text
        | ColumnType::Date
        | ColumnType::Time
        | ColumnType::Money
        | ColumnType::MoneySum
        | ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => "TEXT",
        ColumnType::Int32 | ColumnType::Int64 | ColumnType::Bool => "INTEGER",
        // A column of the type REAL keeps whole numbers as integers, and so loses the sign of -0.0.
        ColumnType::Float64 => "ANY",
    }
}

/// A column of rows that are being written.
#[derive(Debug)]
pub(super) enum Cells<'a> {
    Text(&'a StringArray),
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Float(&'a Float64Array),
    Bool(&'a BooleanArray),
    Date(&'a Date32Array),
    Time(&'a TimestampMicrosecondArray),
    Money(&'a Decimal128Array),
    Nested(&'a ArrayRef),
}

impl<'a> Cells<'a> {
    /// The values of `array`, which are those of `column`.
    ///
    /// # Errors
    ///
    /// Where they are of another type.
    pub(super) fn new(column: &Column, array: &'a ArrayRef) -> Result<Self, ArrowError> {
        let cells = match column.kind {
            ColumnType::Text => array.as_string_opt().map(Self::Text),
            ColumnType::Int32 => array.as_primitive_opt::<Int32Type>().map(Self::Int32),
            ColumnType::Int64 => array.as_primitive_opt::<Int64Type>().map(Self::Int64),
            ColumnType::Float64 => array.as_primitive_opt::<Float64Type>().map(Self::Float),
            ColumnType::Bool => array.as_boolean_opt().map(Self::Bool),
            ColumnType::Date => array.as_primitive_opt::<Date32Type>().map(Self::Date),
            ColumnType::Time => array
                .as_primitive_opt::<TimestampMicrosecondType>()
                .map(Self::Time),
            ColumnType::Money | ColumnType::MoneySum => {
                array.as_primitive_opt::<Decimal128Type>().map(Self::Money)
            }
            ColumnType::Texts
            | ColumnType::Ints
            | ColumnType::Attributes
            | ColumnType::SpanEvents
            | ColumnType::SpanLinks => Some(Self::Nested(array)),
        };
        cells.ok_or_else(|| {
            let (name, kind) = (column.name, array.data_type());
            ArrowError::SchemaError(format!("{name} has the type {kind}"))
        })
    }

    /// Binds the value of row `row` to parameter `at` of `statement`.
    ///
    /// # Errors
    ///
    /// Where SQLite does not take it: it is larger than the database allows.
    pub(super) fn bind(
        &self,
        statement: &mut Statement<'_>,
        at: usize,
        row: usize,
        failed: &impl Fn(rusqlite::Error) -> SqliteError,
    ) -> Result<(), SqliteError> {
        if self.is_null(row) {
            return statement
                .raw_bind_parameter(at, rusqlite::types::Null)
                .map_err(failed);
        }
        let bound = match self {
            Self::Text(all) => statement.raw_bind_parameter(at, all.value(row)),
            Self::Int32(all) => statement.raw_bind_parameter(at, all.value(row)),
            Self::Int64(all) => statement.raw_bind_parameter(at, all.value(row)),
            Self::Float(all) => statement.raw_bind_parameter(at, all.value(row)),
            Self::Bool(all) => statement.raw_bind_parameter(at, all.value(row)),
            Self::Date(all) => {
                statement.raw_bind_parameter(at, days_text(i64::from(all.value(row))))
            }
            Self::Time(all) => statement.raw_bind_parameter(at, time_text(all.value(row))),
            Self::Money(all) => statement.raw_bind_parameter(at, decimal_text(all.value(row))),
            Self::Nested(all) => {
                let mut text = String::new();
                Writer::new(&mut text, Nul::Exact).value(all, row)?;
                statement.raw_bind_parameter(at, text)
            }
        };
        bound.map_err(failed)
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(all) => all.is_null(row),
            Self::Int32(all) => all.is_null(row),
            Self::Int64(all) => all.is_null(row),
            Self::Float(all) => all.is_null(row),
            Self::Bool(all) => all.is_null(row),
            Self::Date(all) => all.is_null(row),
            Self::Time(all) => all.is_null(row),
            Self::Money(all) => all.is_null(row),
            Self::Nested(all) => all.is_null(row),
        }
    }
}
