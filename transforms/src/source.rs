//! Attribute maps of a batch, read in place from their offsets and values.

use std::ops::Range;

use arrow_array::{Array, MapArray, RecordBatch, StringArray};
use arrow_schema::ArrowError;

use crate::shape::KeysOf;

/// A map column whose rows are slices of one list of keys and one of values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    values: &'a StringArray,
}

/// The column `name` of `rows` as `T`.
pub(crate) fn column<'a, T: 'static>(
    rows: &'a RecordBatch,
    name: &str,
) -> Result<&'a T, ArrowError> {
    let column = rows.column_by_name(name);
    column
        .and_then(|c| c.as_any().downcast_ref())
        .ok_or_else(|| ArrowError::SchemaError(format!("spans need the column {name}")))
}

impl<'a> Attributes<'a> {
    /// The map column `name`.
    pub(crate) fn named(rows: &'a RecordBatch, name: &str) -> Result<Self, ArrowError> {
        Self::of(column(rows, name)?)
    }

    /// The keys and values of `map`.
    pub(crate) fn of(map: &'a MapArray) -> Result<Self, ArrowError> {
        let text = |array: &'a dyn Array| {
            array
                .as_any()
                .downcast_ref::<StringArray>()
                .ok_or_else(|| ArrowError::SchemaError("attributes map text to text".into()))
        };
        Ok(Self {
            map,
            keys: text(map.keys().as_ref())?,
            values: text(map.values().as_ref())?,
        })
    }

    /// Where the attributes of `row` lie; nowhere for NULL.
    #[inline]
    pub(crate) fn range(&self, row: usize) -> Range<usize> {
        if self.map.is_null(row) {
            return 0..0;
        }
        range(self.map.value_offsets(), row)
    }

    /// All keys at `range`.
    #[inline]
    pub(crate) fn keys(&self, range: &Range<usize>) -> KeysOf<'a> {
        KeysOf::of(self.keys, range)
    }

    /// The key at `at`.
    #[inline]
    pub(crate) fn key(&self, at: usize) -> &'a str {
        self.keys.value(at)
    }

    /// The value at `at`; `None` where the sender set none.
    #[inline]
    pub(crate) fn value(&self, at: usize) -> Option<&'a str> {
        self.values.is_valid(at).then(|| self.values.value(at))
    }

    /// The value of `key` in `row`, by search.
    pub(crate) fn get(&self, row: usize, key: &str) -> Option<&'a str> {
        let at = self.range(row).find(|at| self.key(*at) == key)?;
        self.value(at)
    }
}

/// The elements of list `row`.
#[inline]
pub(crate) fn range(offsets: &[i32], row: usize) -> Range<usize> {
    match offsets.get(row..row + 2) {
        Some([from, to]) => usize_of(*from)..usize_of(*to),
        _ => 0..0,
    }
}

#[inline]
fn usize_of(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or_default()
}
