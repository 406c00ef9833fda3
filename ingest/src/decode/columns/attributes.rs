//! Attributes: a map of values as text, and a map of the types of those that are not text.

use std::sync::Arc;

use arrow_array::{ArrayRef, MapArray, StructArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef};
use weir_model::schema;

use super::{Text, Validity, offset};
use crate::decode::attributes::{Content, ContentError, KeyValue, Room, char_boundary};
use crate::decode::{DecodeError, Limits};

/// How many words of bits tell the keys of a row apart at a glance; a power of two.
const SEEN_WORDS: usize = 16;

/// What an entry takes besides its texts: their two offsets.
const ENTRY_BYTES: usize = 8;

/// The number of those bits, as a power of two.
const SEEN_BITS_LOG: u32 = 10;

/// What was odd about attributes that were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::decode) struct Oddities {
    /// A key occurred twice; its last value was kept.
    pub(in crate::decode) duplicate_key: bool,
    /// There were more attributes than the limit.
    pub(in crate::decode) attributes_cut: bool,
    /// A value was longer than the limit.
    pub(in crate::decode) value_cut: bool,
}

/// A growing map column; a row without entries is NULL.
#[derive(Debug)]
struct Map {
    offsets: Vec<i32>,
    keys: Text,
    values: Text,
    nulls: Validity,
}

impl Map {
    fn new(rows: usize, entries: usize, value_bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            keys: Text::new(rows * entries, 24),
            values: Text::new(rows * entries, value_bytes),
            nulls: Validity::default(),
        }
    }

    #[inline]
    fn end_row(&mut self) {
        let end = offset(self.keys.len());
        self.nulls.push(self.offsets.last() != Some(&end));
        self.offsets.push(end);
    }

    fn repeat(&self, counts: &[usize], rows: usize) -> Self {
        let mut out = Self::new(rows, 0, 0);
        let bounds = self.offsets.iter().zip(self.offsets.iter().skip(1));
        for ((from, to), count) in bounds.zip(counts) {
            let from = usize::try_from(*from).unwrap_or(0);
            let to = usize::try_from(*to).unwrap_or(0);
            let base = out.keys.len();
            out.keys.extend_repeated(&self.keys, from, to, *count);
            out.values.extend_repeated(&self.values, from, to, *count);
            let entries = to - from;
            out.offsets
                .extend((1..=*count).map(|row| offset(base + row * entries)));
            if entries == 0 {
                out.nulls.push_many(false, *count);
            } else {
                out.nulls.push_many(true, *count);
            }
        }
        out
    }

    fn finish(self) -> Result<ArrayRef, DecodeError> {
        let (field, ordered) = map_field()?;
        let DataType::Struct(members) = field.data_type() else {
            return Err(DecodeError::Internal);
        };
        let keys: ArrayRef = Arc::new(self.keys.finish_strings()?);
        let values: ArrayRef = Arc::new(self.values.finish_strings()?);
        let entries = StructArray::try_new(members.clone(), vec![keys, values], None)
            .map_err(|_| DecodeError::Internal)?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        MapArray::try_new(field, offsets, entries, self.nulls.finish(), ordered)
            .map(|map| Arc::new(map) as ArrayRef)
            .map_err(|_| DecodeError::Internal)
    }
}

/// The field of a map's entries, as the schema has it.
fn map_field() -> Result<(FieldRef, bool), DecodeError> {
    if let DataType::Map(field, ordered) = schema::attributes() {
        Ok((field, ordered))
    } else {
        Err(DecodeError::Internal)
    }
}

/// The two map columns of a kind of attribute.
#[derive(Debug)]
pub(in crate::decode) struct AttributeColumns {
    values: Map,
    types: Map,
    /// The keys of the row that is open, by a few bits of each.
    seen: [u64; SEEN_WORDS],
}

impl AttributeColumns {
    /// Empty columns with room for `rows` of `entries` attributes each.
    pub(in crate::decode) fn new(rows: usize, entries: usize) -> Self {
        Self {
            values: Map::new(rows, entries, 16),
            types: Map::new(rows, entries / 2, 6),
            seen: [0; SEEN_WORDS],
        }
    }

    /// The bytes of all rows so far.
    pub(in crate::decode) fn byte_len(&self) -> usize {
        self.values.keys.byte_len()
            + self.values.values.byte_len()
            + self.types.keys.byte_len()
            + self.types.values.byte_len()
            + (self.values.keys.len() + self.types.keys.len()) * ENTRY_BYTES
    }

    /// Adds a row of attributes, each a `KeyValue` on the wire.
    #[inline]
    pub(in crate::decode) fn push_row(
        &mut self,
        attributes: &[&[u8]],
        limits: &Limits,
        odd: &mut Oddities,
    ) -> Result<(), ContentError> {
        let kept = attributes
            .get(..limits.attributes_max)
            .unwrap_or(attributes);
        odd.attributes_cut |= kept.len() < attributes.len();
        self.seen = [0; SEEN_WORDS];
        let start = (self.values.keys.len(), self.types.keys.len());
        for attribute in kept {
            let KeyValue { key, value } = KeyValue::read(attribute)?;
            if self.may_have_seen(key) && self.has_key(start.0, key) {
                odd.duplicate_key = true;
                self.truncate(start);
                self.push_without_duplicates(kept, limits, odd)?;
                break;
            }
            self.push_entry(key, &value, limits, odd)?;
        }
        self.values.end_row();
        self.types.end_row();
        Ok(())
    }

    /// Marks a key as seen, and says whether it or one like it was before.
    #[inline]
    fn may_have_seen(&mut self, key: &[u8]) -> bool {
        let tail = match key.last_chunk::<8>() {
            Some(tail) => u64::from_le_bytes(*tail),
            None => key.iter().fold(1, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let length = u64::try_from(key.len()).unwrap_or(0);
        let mixed = (tail ^ length.rotate_right(8)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bit = mixed >> (64 - SEEN_BITS_LOG);
        let word = usize::try_from(bit / 64).unwrap_or(0);
        let mask = 1_u64 << (bit % 64);
        self.seen.get_mut(word).is_some_and(|word| {
            let seen = *word & mask != 0;
            *word |= mask;
            seen
        })
    }

    fn has_key(&self, start: usize, key: &[u8]) -> bool {
        (start..self.values.keys.len()).any(|entry| self.values.keys.row(entry) == key)
    }

    fn truncate(&mut self, (values, types): (usize, usize)) {
        self.values.keys.truncate(values);
        self.values.values.truncate(values);
        self.types.keys.truncate(types);
        self.types.values.truncate(types);
    }

    /// Adds the attributes of a row that has a key twice: each key's last value.
    #[cold]
    fn push_without_duplicates(
        &mut self,
        attributes: &[&[u8]],
        limits: &Limits,
        odd: &mut Oddities,
    ) -> Result<(), ContentError> {
        let mut read = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let entry = KeyValue::read(attribute)?;
            read.retain(|before: &KeyValue<'_>| before.key != entry.key);
            read.push(entry);
        }
        for entry in &read {
            self.push_entry(entry.key, &entry.value, limits, odd)?;
        }
        Ok(())
    }

    #[inline]
    fn push_entry(
        &mut self,
        key: &[u8],
        value: &Content<'_>,
        limits: &Limits,
        odd: &mut Oddities,
    ) -> Result<(), ContentError> {
        self.values.keys.push(key);
        let mut kind = value.kind();
        match value {
            Content::Text(text) if text.len() <= limits.value_bytes_max => {
                self.values.values.push(text);
            }
            Content::Int(value) => self.values.values.push_integer(*value),
            Content::Unset => self.values.values.push_null(),
            Content::Bool(true) => self.values.values.push(b"true"),
            Content::Bool(false) => self.values.values.push(b"false"),
            Content::Text(_)
            | Content::Double(_)
            | Content::Bytes(_)
            | Content::Array(_)
            | Content::KvList(_) => {
                if push_long(&mut self.values.values, value, limits)? {
                    odd.value_cut = true;
                    kind = kind.filter(|kind| *kind == "bytes");
                }
            }
        }
        if let Some(kind) = kind {
            self.types.keys.push(key);
            self.types.values.push(kind.as_bytes());
        }
        Ok(())
    }

    /// The columns with their `i`th row `counts[i]` times.
    pub(in crate::decode) fn repeat(&self, counts: &[usize], rows: usize) -> Self {
        Self {
            values: self.values.repeat(counts, rows),
            types: self.types.repeat(counts, rows),
            seen: self.seen,
        }
    }

    /// The text of a key's value in the last row, whatever its type.
    pub(in crate::decode) fn last_value(&self, key: &[u8]) -> Option<&[u8]> {
        let rows = self.values.offsets.len();
        let from = rows
            .checked_sub(2)
            .and_then(|row| self.values.offsets.get(row));
        let from = usize::try_from(*from?).ok()?;
        (from..self.values.keys.len())
            .find(|entry| self.values.keys.row(*entry) == key)
            .map(|entry| self.values.values.row(entry))
    }

    /// The finished columns: values and types.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Utf8`] where a key or a value is not UTF-8.
    pub(in crate::decode) fn finish(self) -> Result<(ArrayRef, ArrayRef), DecodeError> {
        Ok((self.values.finish()?, self.types.finish()?))
    }
}

/// Adds a value that may be longer than the limit, and says whether it was cut.
pub(in crate::decode) fn push_long(
    column: &mut Text,
    value: &Content<'_>,
    limits: &Limits,
) -> Result<bool, ContentError> {
    let max = limits.value_bytes_max;
    let start = column.next_start();
    let out = column.open_row();
    let room = Room {
        depth: limits.value_depth_max,
        end: start.saturating_add(max),
    };
    value.write_text(out, room)?;
    let written = out.get(start..).unwrap_or_default();
    let cut = written.len() > max;
    if cut {
        simdutf8::basic::from_utf8(written).map_err(|_| ContentError::Utf8)?;
        let keep = match value {
            Content::Bytes(_) => max / 4 * 4,
            Content::Unset
            | Content::Text(_)
            | Content::Bool(_)
            | Content::Int(_)
            | Content::Double(_)
            | Content::Array(_)
            | Content::KvList(_) => char_boundary(written, max),
        };
        out.truncate(start + keep);
    }
    column.end_row();
    Ok(cut)
}
