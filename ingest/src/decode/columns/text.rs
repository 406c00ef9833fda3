//! Columns of text, of lists of text, and of truth values.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, ListArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};

use super::{Validity, offset};
use crate::decode::DecodeError;

/// A growing column of text. What is pushed need not be checked: [`Text::finish`] refuses a
/// column with a value that is not UTF-8.
#[derive(Debug)]
pub(in crate::decode) struct Text {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    nulls: Validity,
}

impl Text {
    /// An empty column with room for `rows` of `row_bytes` each.
    pub(in crate::decode) fn new(rows: usize, row_bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            bytes: Vec::with_capacity(rows * row_bytes),
            nulls: Validity::default(),
        }
    }

    /// The bytes of all rows so far.
    pub(in crate::decode) fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The rows so far.
    pub(in crate::decode) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Adds a row.
    #[inline(always)]
    pub(in crate::decode) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end_row();
    }

    /// Adds a NULL.
    #[inline(always)]
    pub(in crate::decode) fn push_null(&mut self) {
        self.offsets.push(offset(self.bytes.len()));
        self.nulls.push(false);
    }

    /// Adds a row that may be NULL.
    #[inline(always)]
    pub(in crate::decode) fn push_opt(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }

    /// Adds a text; the empty one, which is how Protobuf says "none", is NULL.
    #[inline(always)]
    pub(in crate::decode) fn push_non_empty(&mut self, value: &[u8]) {
        self.push_opt(Some(value).filter(|value| !value.is_empty()));
    }

    /// Adds the digits of `value`.
    #[inline(always)]
    pub(in crate::decode) fn push_integer(&mut self, value: i64) {
        self.push(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Adds bytes as lower-case hex.
    #[inline(always)]
    pub(in crate::decode) fn push_hex(&mut self, value: &[u8]) {
        for byte in value {
            let digits = HEX.get(usize::from(*byte)).copied().unwrap_or_default();
            self.bytes.extend_from_slice(&digits);
        }
        self.end_row();
    }

    /// The bytes, for a row that is written piece by piece; [`Text::end_row`] closes it.
    #[inline(always)]
    pub(in crate::decode) fn open_row(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Makes a row of all bytes since the row before.
    #[inline(always)]
    pub(in crate::decode) fn end_row(&mut self) {
        self.offsets.push(offset(self.bytes.len()));
        self.nulls.push(true);
    }

    /// Where the row that comes next begins.
    #[inline(always)]
    pub(in crate::decode) fn next_start(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes of a row; none where it does not exist.
    pub(in crate::decode) fn row(&self, row: usize) -> &[u8] {
        let ends = self.offsets.get(row).zip(self.offsets.get(row + 1));
        ends.and_then(|(from, to)| self.bytes.get(index(*from)..index(*to)))
            .unwrap_or_default()
    }

    /// Forgets all rows from `rows` on.
    pub(in crate::decode) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        let end = self.offsets.last().copied().unwrap_or_default();
        self.bytes.truncate(index(end));
        self.nulls.truncate(rows);
    }

    /// Adds the rows `from..to` of `other`, `count` times over.
    pub(super) fn extend_repeated(&mut self, other: &Self, from: usize, to: usize, count: usize) {
        let offsets = other.offsets.get(from..=to).unwrap_or_default();
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else {
            return;
        };
        let bytes = other
            .bytes
            .get(index(*first)..index(*last))
            .unwrap_or_default();
        let all_valid = other.nulls.all_valid() || (from..to).all(|row| other.nulls.is_valid(row));
        let ends = offsets.get(1..).unwrap_or_default();
        self.bytes.reserve(bytes.len() * count);
        self.offsets.reserve(ends.len() * count);
        for _ in 0..count {
            let base = offset(self.bytes.len());
            self.bytes.extend_from_slice(bytes);
            self.offsets
                .extend(ends.iter().map(|end| base.saturating_add(end - first)));
            if !all_valid {
                (from..to).for_each(|row| self.nulls.push(other.nulls.is_valid(row)));
            }
        }
        if all_valid {
            self.nulls.push_many(true, (to - from) * count);
        }
    }

    /// The column with its `i`th row `counts[i]` times.
    pub(in crate::decode) fn repeat(&self, counts: &[usize], rows: usize) -> Self {
        let mut out = Self::new(rows, 0);
        for (row, count) in counts.iter().enumerate() {
            out.extend_repeated(self, row, row + 1, *count);
        }
        out
    }

    /// The finished column.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Utf8`] where a value is not UTF-8.
    pub(in crate::decode) fn finish(self) -> Result<ArrayRef, DecodeError> {
        self.finish_strings()
            .map(|strings| Arc::new(strings) as ArrayRef)
    }

    pub(super) fn finish_strings(self) -> Result<StringArray, DecodeError> {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let bytes = Buffer::from_vec(self.bytes);
        StringArray::try_new(offsets, bytes, self.nulls.finish()).map_err(|_| DecodeError::Utf8)
    }
}

/// An offset as an index.
#[inline(always)]
fn index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

/// The two digits of every byte.
static HEX: [[u8; 2]; 256] = hex_table();

#[expect(
    clippy::indexing_slicing,
    reason = "a const table: every index is below its bound, and a slip would not compile"
)]
const fn hex_table() -> [[u8; 2]; 256] {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
}

/// A growing column of lists of text; a row without items is NULL.
#[derive(Debug)]
pub(in crate::decode) struct TextLists {
    offsets: Vec<i32>,
    items: Text,
    nulls: Validity,
}

impl TextLists {
    /// An empty column with room for `rows`.
    pub(in crate::decode) fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            items: Text::new(0, 0),
            nulls: Validity::default(),
        }
    }

    /// The items, to which those of the next row are pushed; [`TextLists::end_row`] closes it.
    #[inline(always)]
    pub(in crate::decode) fn items(&mut self) -> &mut Text {
        &mut self.items
    }

    /// Makes a row of all items since the row before: NULL where there are none.
    #[inline(always)]
    pub(in crate::decode) fn end_row(&mut self) {
        let end = offset(self.items.len());
        self.nulls.push(self.offsets.last() != Some(&end));
        self.offsets.push(end);
    }

    /// The finished column.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Utf8`] where an item is not UTF-8.
    pub(in crate::decode) fn finish(self) -> Result<ArrayRef, DecodeError> {
        let field = Arc::new(Field::new("element", DataType::Utf8, true));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        ListArray::try_new(field, offsets, self.items.finish()?, self.nulls.finish())
            .map(|lists| Arc::new(lists) as ArrayRef)
            .map_err(|_| DecodeError::Internal)
    }
}

/// A growing column of truth values, each of which may be NULL.
#[derive(Debug)]
pub(in crate::decode) struct Truths {
    values: BooleanBufferBuilder,
    nulls: Validity,
}

impl Truths {
    /// An empty column with room for `rows`.
    pub(in crate::decode) fn new(rows: usize) -> Self {
        Self {
            values: BooleanBufferBuilder::new(rows),
            nulls: Validity::default(),
        }
    }

    /// Adds a row that may be NULL.
    pub(in crate::decode) fn push_opt(&mut self, value: Option<bool>) {
        self.values.append(value.unwrap_or_default());
        self.nulls.push(value.is_some());
    }

    /// The finished column.
    pub(in crate::decode) fn finish(mut self) -> ArrayRef {
        let nulls: Option<NullBuffer> = self.nulls.finish();
        Arc::new(BooleanArray::new(self.values.finish(), nulls))
    }
}
