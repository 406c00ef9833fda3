//! The columns in the making: each is built only once something fills it.
//!
//! Most spans fill a few of the sixty columns. A builder is therefore touched only for a value,
//! and the NULLs before it are added in one go.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder, ListBuilder,
    StringBuilder,
};
use arrow_array::{ArrayRef, new_null_array};
use arrow_schema::{ArrowError, DataType, Field as ArrowField};
use weir_model::schema::MONEY;

/// A builder that catches up with NULLs.
#[derive(Debug, Default)]
enum Lazy {
    #[default]
    Unused,
    Text(StringBuilder),
    Texts(ListBuilder<StringBuilder>),
    Int(Int64Builder),
    Bool(BooleanBuilder),
    Double(Float64Builder),
    Money(Decimal128Builder),
}

/// One column of the result.
#[derive(Debug)]
pub(crate) struct Column {
    built: Lazy,
    /// How many rows the result has. Builders are made for so many: their default of 1,024 costs a
    /// request of a few spans more than all its other work.
    rows: usize,
}

/// Room for texts, bytes a row.
const TEXT_BYTES: usize = 16;

macro_rules! setter {
    ($(#[$doc:meta])* $set:ident, $variant:ident, $value:ty, $rows:ident => $new:expr) => {
        $(#[$doc])*
        pub(crate) fn $set(&mut self, row: usize, value: $value) {
            if matches!(self.built, Lazy::Unused) {
                let $rows = self.rows;
                self.built = Lazy::$variant($new);
            }
            if let Lazy::$variant(builder) = &mut self.built {
                builder.append_nulls(row - builder.len());
                builder.append_value(value);
            }
        }
    };
}

impl Column {
    /// A column of `rows` rows, all NULL so far.
    pub(crate) fn new(rows: usize) -> Self {
        Self {
            built: Lazy::Unused,
            rows,
        }
    }

    setter!(
        /// Puts a text at `row`, which lies beyond all rows that were put before.
        text, Text, &str, rows => StringBuilder::with_capacity(rows, rows * TEXT_BYTES)
    );
    setter!(
        /// Puts an integer.
        int, Int, i64, rows => Int64Builder::with_capacity(rows)
    );
    setter!(
        /// Puts a truth value.
        truth, Bool, bool, rows => BooleanBuilder::with_capacity(rows)
    );
    setter!(
        /// Puts a double.
        double, Double, f64, rows => Float64Builder::with_capacity(rows)
    );
    setter!(
        /// Puts an amount of 10^-12 dollars.
        money, Money, i128, rows =>
        Decimal128Builder::with_capacity(rows).with_data_type(DataType::Decimal128(MONEY.0, MONEY.1))
    );

    /// Puts a list of texts.
    pub(crate) fn texts<T: AsRef<str>>(&mut self, row: usize, values: impl Iterator<Item = T>) {
        if matches!(self.built, Lazy::Unused) {
            let element = ArrowField::new("element", DataType::Utf8, true);
            let texts = StringBuilder::with_capacity(self.rows, self.rows * TEXT_BYTES);
            let builder = ListBuilder::with_capacity(texts, self.rows);
            self.built = Lazy::Texts(builder.with_field(Arc::new(element)));
        }
        if let Lazy::Texts(builder) = &mut self.built {
            builder.append_nulls(row - builder.len());
            for value in values {
                builder.values().append_value(value);
            }
            builder.append(true);
        }
    }

    /// Whether nothing was put.
    pub(crate) fn is_unused(&self) -> bool {
        matches!(self.built, Lazy::Unused)
    }

    /// The column, of the type `kind`.
    ///
    /// # Errors
    ///
    /// Where what was put is of another type: a fault of ours.
    pub(crate) fn finish(self, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        let rows = self.rows;
        macro_rules! filled {
            ($builder:expr) => {{
                let mut builder = $builder;
                builder.append_nulls(rows - builder.len());
                Arc::new(builder.finish()) as ArrayRef
            }};
        }
        let array = match self.built {
            Lazy::Unused => new_null_array(kind, rows),
            Lazy::Text(builder) => filled!(builder),
            Lazy::Texts(builder) => filled!(builder),
            Lazy::Int(builder) => filled!(builder),
            Lazy::Bool(builder) => filled!(builder),
            Lazy::Double(builder) => filled!(builder),
            Lazy::Money(builder) => filled!(builder),
        };
        if array.data_type() != kind {
            return Err(ArrowError::SchemaError(format!(
                "built {} for {kind}",
                array.data_type()
            )));
        }
        Ok(array)
    }
}
