//! The columns in the making: each is built only once something fills it.
//!
//! Most spans fill a few of the sixty columns. A column is therefore touched only for a value; what
//! is missing between two is written when the column is finished.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::{ArrowPrimitiveType, Decimal128Type, Float64Type, Int64Type};
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, StringArray, new_null_array};
use arrow_buffer::{
    ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::{ArrowError, DataType, Field as ArrowField};

/// Room for texts of lists, bytes a row.
const TEXT_BYTES: usize = 16;

/// The most room for texts, bytes a row: one long text does not make all of them so.
const TEXT_BYTES_MAX: usize = 64;

/// Which rows have a value, a bit each.
#[derive(Debug)]
struct Filled {
    words: Vec<u64>,
    count: usize,
}

impl Filled {
    fn new(rows: usize) -> Self {
        Self {
            words: vec![0; rows.div_ceil(64)],
            count: 0,
        }
    }

    #[inline]
    fn set(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
        self.count += 1;
    }

    /// The bitmap of `rows` rows; none where each has a value.
    fn finish(self, rows: usize) -> Option<NullBuffer> {
        let some_missing = self.count < rows;
        some_missing.then(|| {
            let bits = Buffer::from_vec(self.words);
            NullBuffer::new(BooleanBuffer::new(bits, 0, rows))
        })
    }
}

/// A column of texts.
#[derive(Debug)]
struct Texts {
    /// The end of each row in `bytes`, behind a zero; of rows without a value not yet written.
    ends: Vec<i32>,
    bytes: Vec<u8>,
    filled: Filled,
}

impl Texts {
    /// A column whose first text is of that length: texts of one column are much alike in length,
    /// and growing costs more than all else.
    #[cold]
    fn new(rows: usize, first_bytes: usize) -> Self {
        Self {
            ends: vec![0; rows + 1],
            bytes: Vec::with_capacity(rows * (first_bytes + 2).min(TEXT_BYTES_MAX)),
            filled: Filled::new(rows),
        }
    }

    #[inline]
    fn put(&mut self, row: usize, value: &str) {
        self.bytes.extend_from_slice(value.as_bytes());
        // Beyond what an offset can say, the column is refused when it is finished.
        let end = i32::try_from(self.bytes.len()).unwrap_or(i32::MAX);
        if let Some(slot) = self.ends.get_mut(row + 1) {
            *slot = end;
        }
        self.filled.set(row);
    }

    fn finish(mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let mut end = 0;
        for slot in &mut self.ends {
            end = end.max(*slot);
            *slot = end;
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let bytes = Buffer::from_vec(self.bytes);
        let array = StringArray::try_new(offsets, bytes, self.filled.finish(rows))?;
        Ok(Arc::new(array))
    }
}

/// A column of numbers.
#[derive(Debug)]
struct Numbers<T> {
    values: Vec<T>,
    filled: Filled,
}

impl<T: Copy + Default> Numbers<T> {
    fn new(rows: usize) -> Self {
        Self {
            values: vec![T::default(); rows],
            filled: Filled::new(rows),
        }
    }

    #[inline]
    fn put(&mut self, row: usize, value: T) {
        if let Some(slot) = self.values.get_mut(row) {
            *slot = value;
        }
        self.filled.set(row);
    }

    fn finish<A>(self, rows: usize) -> Result<PrimitiveArray<A>, ArrowError>
    where
        A: ArrowPrimitiveType<Native = T>,
        T: ArrowNativeType,
    {
        PrimitiveArray::try_new(ScalarBuffer::from(self.values), self.filled.finish(rows))
    }
}

/// A column, by what it holds.
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

    /// Puts a text at `row`, which lies beyond all rows that were put before.
    #[inline]
    pub(crate) fn text(&mut self, row: usize, value: &str) {
        if let Lazy::Unused = self.built {
            self.built = Lazy::Text(Texts::new(self.rows, value.len()));
        }
        if let Lazy::Text(column) = &mut self.built {
            column.put(row, value);
        }
    }

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
            Lazy::Bool(truths) => Arc::new(BooleanArray::new(
                truths.values.into(),
                truths.filled.finish(rows),
            )),
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
