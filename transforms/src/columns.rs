//! The columns in the making: each is built only once something fills it.
//!
//! Most spans fill a few of the sixty columns. A builder is therefore touched only for a value, and
//! the NULLs before it are added in one go; a column without NULLs never has a bitmap.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Float64Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, StringArray, new_null_array};
use arrow_buffer::{
    ArrowNativeType, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::{ArrowError, DataType, Field as ArrowField};

/// Room for texts, bytes a row.
const TEXT_BYTES: usize = 16;

/// Which rows have no value: where each run of them begins, and how long it is.
#[derive(Debug, Default)]
struct Gaps(Vec<(usize, usize)>);

impl Gaps {
    /// Rows without a value after `filled` rows.
    fn skip(&mut self, filled: usize, nulls: usize) {
        self.0.push((filled, nulls));
    }

    /// The bitmap of `rows` rows; none where each has a value.
    fn finish(self, rows: usize) -> Option<NullBuffer> {
        if self.0.is_empty() {
            return None;
        }
        let mut bits = BooleanBufferBuilder::new(rows);
        for (from, nulls) in self.0 {
            bits.append_n(from - bits.len(), true);
            bits.append_n(nulls, false);
        }
        bits.append_n(rows - bits.len(), true);
        Some(NullBuffer::new(bits.finish()))
    }
}

/// A column of texts.
#[derive(Debug)]
struct Texts {
    /// The end of each row in `bytes`, behind a zero.
    ends: Vec<i32>,
    bytes: Vec<u8>,
    gaps: Gaps,
}

impl Texts {
    fn new(rows: usize) -> Self {
        let mut ends = Vec::with_capacity(rows + 1);
        ends.push(0);
        Self {
            ends,
            bytes: Vec::with_capacity(rows * TEXT_BYTES),
            gaps: Gaps::default(),
        }
    }

    /// Where the bytes end; beyond what an offset can say, the column is refused when it is finished.
    fn end(&self) -> i32 {
        i32::try_from(self.bytes.len()).unwrap_or(i32::MAX)
    }

    fn skip_to(&mut self, row: usize) {
        let filled = self.ends.len() - 1;
        if row > filled {
            let end = self.end();
            self.ends.resize(row + 1, end);
            self.gaps.skip(filled, row - filled);
        }
    }

    #[inline]
    fn put(&mut self, row: usize, value: &str) {
        if row + 1 != self.ends.len() {
            self.skip_to(row);
        }
        self.bytes.extend_from_slice(value.as_bytes());
        self.ends.push(self.end());
    }

    fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        self.skip_to(rows);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let bytes = Buffer::from_vec(self.bytes);
        let array = StringArray::try_new(offsets, bytes, self.gaps.finish(rows))?;
        Ok(Arc::new(array))
    }
}

/// A column of numbers.
#[derive(Debug)]
struct Numbers<T> {
    values: Vec<T>,
    gaps: Gaps,
}

impl<T: Copy + Default> Numbers<T> {
    fn new(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            gaps: Gaps::default(),
        }
    }

    fn skip_to(&mut self, row: usize) {
        let filled = self.values.len();
        if row > filled {
            self.values.resize(row, T::default());
            self.gaps.skip(filled, row - filled);
        }
    }

    #[inline]
    fn put(&mut self, row: usize, value: T) {
        if row != self.values.len() {
            self.skip_to(row);
        }
        self.values.push(value);
    }

    fn finish<A>(mut self, rows: usize) -> Result<PrimitiveArray<A>, ArrowError>
    where
        A: ArrowPrimitiveType<Native = T>,
        T: ArrowNativeType,
    {
        self.skip_to(rows);
        PrimitiveArray::try_new(ScalarBuffer::from(self.values), self.gaps.finish(rows))
    }
}

/// A column that catches up with NULLs.
#[derive(Debug, Default)]
enum Lazy {
    #[default]
    Unused,
    Text(Texts),
    Lists(Box<ListBuilder<StringBuilder>>),
    Int(Numbers<i64>),
    Bool(Numbers<bool>),
    Double(Numbers<f64>),
    Money(Numbers<i128>),
}

/// One column of the result.
#[derive(Debug)]
pub(crate) struct Column {
    built: Lazy,
    /// How many rows the result has; columns are made for so many.
    rows: usize,
}

macro_rules! setter {
    ($(#[$doc:meta])* $set:ident, $variant:ident, $kind:ident, $value:ty) => {
        $(#[$doc])*
        #[inline]
        pub(crate) fn $set(&mut self, row: usize, value: $value) {
            if let Lazy::Unused = self.built {
                self.built = Lazy::$variant($kind::new(self.rows));
            }
            if let Lazy::$variant(column) = &mut self.built {
                column.put(row, value);
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
        text, Text, Texts, &str
    );
    setter!(
        /// Puts an integer.
        int, Int, Numbers, i64
    );
    setter!(
        /// Puts a truth value.
        truth, Bool, Numbers, bool
    );
    setter!(
        /// Puts a double.
        double, Double, Numbers, f64
    );
    setter!(
        /// Puts an amount of 10^-12 dollars.
        money, Money, Numbers, i128
    );

    /// Puts a list of texts.
    pub(crate) fn texts<T: AsRef<str>>(&mut self, row: usize, values: impl Iterator<Item = T>) {
        if matches!(self.built, Lazy::Unused) {
            let element = ArrowField::new("element", DataType::Utf8, true);
            let texts = StringBuilder::with_capacity(self.rows, self.rows * TEXT_BYTES);
            let builder = ListBuilder::with_capacity(texts, self.rows);
            self.built = Lazy::Lists(Box::new(builder.with_field(Arc::new(element))));
        }
        if let Lazy::Lists(builder) = &mut self.built {
            let filled = arrow_array::builder::ArrayBuilder::len(&**builder);
            if row > filled {
                builder.append_nulls(row - filled);
            }
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
    /// Where what was put is of another type, or is too much for one column.
    pub(crate) fn finish(self, kind: &DataType) -> Result<ArrayRef, ArrowError> {
        let rows = self.rows;
        let array: ArrayRef = match self.built {
            Lazy::Unused => new_null_array(kind, rows),
            Lazy::Text(texts) => texts.finish(rows)?,
            Lazy::Lists(mut builder) => {
                let filled = arrow_array::builder::ArrayBuilder::len(&*builder);
                builder.append_nulls(rows - filled);
                Arc::new(builder.finish())
            }
            Lazy::Int(numbers) => Arc::new(numbers.finish::<Int64Type>(rows)?),
            Lazy::Bool(mut truths) => {
                truths.skip_to(rows);
                Arc::new(BooleanArray::new(
                    truths.values.into(),
                    truths.gaps.finish(rows),
                ))
            }
            Lazy::Double(numbers) => Arc::new(numbers.finish::<Float64Type>(rows)?),
            Lazy::Money(numbers) => {
                let amounts = numbers.finish::<Decimal128Type>(rows)?;
                Arc::new(amounts.with_data_type(kind.clone()))
            }
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
