//! Rows, cell by cell.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, RecordBatch};

/// The cells of some rows. A cell that is NULL, of a column that is not there or of another type,
/// says nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cells<'a>(pub(crate) &'a RecordBatch);

impl<'a> Cells<'a> {
    /// The column, where the row has a value in it.
    pub(crate) fn array(self, name: &str, at: usize) -> Option<&'a ArrayRef> {
        self.0.column_by_name(name).filter(|c| c.is_valid(at))
    }

    pub(crate) fn text(self, name: &str, at: usize) -> Option<&'a str> {
        let column = self.array(name, at)?;
        column.as_string_opt::<i32>().map(|c| c.value(at))
    }

    pub(crate) fn truth(self, name: &str, at: usize) -> Option<bool> {
        let column = self.array(name, at)?;
        column.as_boolean_opt().map(|c| c.value(at))
    }

    /// A number of the type that the column has.
    pub(crate) fn number<T: ArrowPrimitiveType>(self, name: &str, at: usize) -> Option<T::Native> {
        let column = self.array(name, at)?;
        column.as_primitive_opt::<T>().map(|c| c.value(at))
    }

    pub(crate) fn long(self, name: &str, at: usize) -> Option<i64> {
        self.number::<Int64Type>(name, at)
    }

    pub(crate) fn int(self, name: &str, at: usize) -> Option<i32> {
        self.number::<Int32Type>(name, at)
    }

    /// Microseconds since 1970 UTC.
    pub(crate) fn time(self, name: &str, at: usize) -> Option<i64> {
        self.number::<TimestampMicrosecondType>(name, at)
    }

    /// 10^-12 US dollars.
    pub(crate) fn money(self, name: &str, at: usize) -> Option<i128> {
        self.number::<Decimal128Type>(name, at)
    }
}
