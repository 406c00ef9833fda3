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
#[derive(Debug, Default)]
pub(crate) struct Column(Lazy);

macro_rules! setter {
    ($(#[$doc:meta])* $set:ident, $variant:ident, $value:ty, $new:expr) => {
        $(#[$doc])*
        pub(crate) fn $set(&mut self, row: usize, value: $value) {
            if matches!(self.0, Lazy::Unused) {
                self.0 = Lazy::$variant($new);
            }
            if let Lazy::$variant(builder) = &mut self.0 {
                builder.append_nulls(row - builder.len());
                builder.append_value(value);
            }
        }
    };
}

impl Column {
    setter!(
        /// Puts a text at `row`, which lies beyond all rows that were put before.
        text, Text, &str, StringBuilder::new()
    );
    setter!(
        /// Puts an integer.
        int, Int, i64, Int64Builder::new()
    );
    setter!(
        /// Puts a truth value.
        truth, Bool, bool, BooleanBuilder::new()
    );
    setter!(
        /// Puts a double.
        double, Double, f64, Float64Builder::new()
    );
    setter!(
        /// Puts an amount of 10^-12 dollars.
        money, Money, i128,
        Decimal128Builder::new().with_data_type(DataType::Decimal128(MONEY.0, MONEY.1))
    );

    /// Puts a list of texts.
    pub(crate) fn texts<T: AsRef<str>>(&mut self, row: usize, values: impl Iterator<Item = T>) {
        if matches!(self.0, Lazy::Unused) {
            let element = ArrowField::new("element", DataType::Utf8, true);
            let builder = ListBuilder::new(StringBuilder::new());
            self.0 = Lazy::Texts(builder.with_field(Arc::new(element)));
        }
        if let Lazy::Texts(builder) = &mut self.0 {
            builder.append_nulls(row - builder.len());
            for value in values {
                builder.values().append_value(value);
            }
            builder.append(true);
        }
    }

    /// Whether nothing was put.
    pub(crate) fn is_unused(&self) -> bool {
        matches!(self.0, Lazy::Unused)
    }

    /// The column with `rows` rows of the type `kind`.
    ///
    /// # Errors
    ///
    /// Where what was put is of another type: a fault of ours.
    pub(crate) fn finish(self, rows: usize, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        macro_rules! filled {
            ($builder:expr) => {{
                let mut builder = $builder;
                builder.append_nulls(rows - builder.len());
                Arc::new(builder.finish()) as ArrayRef
            }};
        }
        let array = match self.0 {
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
