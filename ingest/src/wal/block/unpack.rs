//! Columns out of the two streams that [`super::pack`] describes, every length checked.

use std::sync::Arc;

use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{
    ArrayRef, ArrowPrimitiveType, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, UInt32Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, TimeUnit};
use arrow_select::take::take;

use super::BlockError;
use super::hex;
use super::pack::{FULL, HEX, NULLS, PLAIN, RUNS};
use crate::wal::bytes::{Fields, Malformed};

/// How many values a message may have in all its columns and lists: a length of no bytes must not
/// ask for all memory.
const VALUES_MAX: usize = 1 << 31;

/// Reads columns one after the other.
#[derive(Debug)]
pub(super) struct Unpack<'a> {
    loose: Fields<'a>,
    dense: Fields<'a>,
    values: usize,
}

impl<'a> Unpack<'a> {
    pub(super) fn new(loose: &'a [u8], dense: &'a [u8]) -> Self {
        Self {
            loose: Fields(loose),
            dense: Fields(dense),
            values: 0,
        }
    }

    /// Whether all was read.
    pub(super) fn is_at_end(&self) -> bool {
        self.loose.0.is_empty() && self.dense.0.is_empty()
    }

    /// The next column, of `len` rows.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "datasets have a handful of Arrow's forty types"
    )]
    pub(super) fn column(&mut self, kind: &DataType, len: usize) -> Result<ArrayRef, BlockError> {
        self.values = self.values.saturating_add(len);
        if self.values > VALUES_MAX {
            return Err(Malformed("more values than a message may have").into());
        }
        let nulls = match self.loose.u8()? {
            FULL => None,
            NULLS => Some(NullBuffer::new(self.bits(len)?)),
            RUNS => return self.runs(kind, len),
            _ => return Err(Malformed("a column in no known form").into()),
        };
        Ok(match kind {
            DataType::Utf8 => Arc::new(self.text(len, nulls)?),
            DataType::Int64 => Arc::new(self.numbers::<Int64Type>(len, nulls)?),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let times = self.numbers::<TimestampMicrosecondType>(len, nulls)?;
                Arc::new(times.with_data_type(kind.clone()))
            }
            DataType::Int32 => Arc::new(self.small_numbers::<Int32Type>(len, nulls)?),
            DataType::Date32 => Arc::new(self.small_numbers::<Date32Type>(len, nulls)?),
            DataType::Decimal128(_, _) => {
                let money = PrimitiveArray::<Decimal128Type>::new(self.money(len)?, nulls);
                Arc::new(money.with_data_type(kind.clone()))
            }
            DataType::Float64 => {
                let bits = words::<8>(self.dense.take(bytes_of(len, 8)?)?).map(u64::from_le_bytes);
                let values = bits.map(f64::from_bits).collect();
                Arc::new(PrimitiveArray::<Float64Type>::new(values, nulls))
            }
            DataType::Boolean => Arc::new(BooleanArray::new(self.bits(len)?, nulls)),
            DataType::List(item) => {
                let (offsets, count) = self.lengths(len)?;
                let items = self.column(item.data_type(), count)?;
                Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, nulls)?)
            }
            DataType::Map(entry, _) => Arc::new(self.map(entry, len, nulls)?),
            DataType::Struct(members) => {
                let columns = members.iter().map(|m| self.column(m.data_type(), len));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(
                    members.clone(),
                    columns,
                    nulls,
                    len,
                )?)
            }
            _ => return Err(Malformed("a column of a type that no dataset has").into()),
        })
    }

    /// Each row as often as its run is long. Runs do not nest.
    fn runs(&mut self, kind: &DataType, len: usize) -> Result<ArrayRef, BlockError> {
        let count = self.loose.size()?;
        let runs = self.loose.take(bytes_of(count, 4)?)?;
        if self.loose.0.first() == Some(&RUNS) || count > len {
            return Err(Malformed("runs of runs").into());
        }
        let rows = self.column(kind, count)?;
        let mut places: Vec<u32> = Vec::with_capacity(len);
        for (place, run) in (0..).zip(words(runs).map(u32::from_le_bytes)) {
            let run = usize::try_from(run).map_err(|_| Malformed(TOO_LONG))?;
            if run > len - places.len() {
                return Err(Malformed("runs longer than their column").into());
            }
            places.extend(std::iter::repeat_n(place, run));
        }
        if places.len() != len {
            return Err(Malformed("runs shorter than their column").into());
        }
        Ok(take(&rows, &UInt32Array::from(places), None)?)
    }

    fn bits(&mut self, len: usize) -> Result<BooleanBuffer, Malformed> {
        let bytes = self.loose.take(len.div_ceil(8))?;
        Ok(BooleanBuffer::new(Buffer::from(bytes), 0, len))
    }

    fn text(&mut self, len: usize, nulls: Option<NullBuffer>) -> Result<StringArray, BlockError> {
        let (offsets, bytes) = match self.loose.u8()? {
            PLAIN => {
                let (offsets, total) = self.lengths(len)?;
                (offsets, Buffer::from(self.loose.take(total)?))
            }
            HEX => {
                let (offsets, total) = self.lengths(len)?;
                if !total.is_multiple_of(2) {
                    return Err(Malformed("half a byte of hex").into());
                }
                let packed = self.dense.take(total / 2)?;
                (offsets, Buffer::from_vec(hex::unpack(packed)))
            }
            _ => return Err(Malformed("text in no known form").into()),
        };
        Ok(StringArray::try_new(offsets, bytes, nulls)?)
    }

    fn map(
        &mut self,
        entry: &Arc<Field>,
        len: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<MapArray, BlockError> {
        let DataType::Struct(members) = entry.data_type() else {
            return Err(Malformed("a map without entries").into());
        };
        let (offsets, count) = self.lengths(len)?;
        let columns = members.iter().map(|m| self.column(m.data_type(), count));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let entries = StructArray::try_new(members.clone(), columns, None)?;
        let entry = Arc::clone(entry);
        Ok(MapArray::try_new(entry, offsets, entries, nulls, false)?)
    }

    /// Lengths of `len` rows as offsets, and their sum.
    fn lengths(&mut self, len: usize) -> Result<(OffsetBuffer<i32>, usize), Malformed> {
        let width = self.loose.u8()?;
        if width == 0 {
            let each = self.loose.size()?;
            return Ok((even(len, each)?, each * len));
        }
        let bytes = self.loose.take(bytes_of(len, usize::from(width.min(4)))?)?;
        match width {
            1 => offsets(bytes.iter().map(|n| u32::from(*n))),
            2 => offsets(words(bytes).map(|n| u32::from(u16::from_le_bytes(n)))),
            4 => offsets(words(bytes).map(u32::from_le_bytes)),
            _ => Err(Malformed("lengths of no known width")),
        }
    }

    fn integers(&mut self, len: usize) -> Result<Vec<i64>, Malformed> {
        let width = self.loose.u8()?;
        let least = self.loose.i64()?;
        let above = |n: u64| least.wrapping_add(n.cast_signed());
        Ok(match width {
            0 => vec![least; len],
            1 => {
                let bytes = self.loose.take(len)?;
                bytes.iter().map(|n| above(u64::from(*n))).collect()
            }
            2 => words(self.loose.take(bytes_of(len, 2)?)?)
                .map(|n| above(u64::from(u16::from_le_bytes(n))))
                .collect(),
            4 => words(self.dense.take(bytes_of(len, 4)?)?)
                .map(|n| above(u64::from(u32::from_le_bytes(n))))
                .collect(),
            8 => words(self.dense.take(bytes_of(len, 8)?)?)
                .map(|n| above(u64::from_le_bytes(n)))
                .collect(),
            _ => return Err(Malformed("integers of no known width")),
        })
    }

    fn numbers<T: ArrowPrimitiveType<Native = i64>>(
        &mut self,
        len: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<PrimitiveArray<T>, Malformed> {
        Ok(PrimitiveArray::new(self.integers(len)?.into(), nulls))
    }

    fn small_numbers<T: ArrowPrimitiveType<Native = i32>>(
        &mut self,
        len: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<PrimitiveArray<T>, Malformed> {
        let values = self.integers(len)?.into_iter().map(i32::try_from);
        let values: Vec<i32> = values
            .collect::<Result<_, _>>()
            .map_err(|_| Malformed("a number beyond its column"))?;
        Ok(PrimitiveArray::new(values.into(), nulls))
    }

    fn money(&mut self, len: usize) -> Result<ScalarBuffer<i128>, Malformed> {
        match self.loose.u8()? {
            0 => {
                let bytes = self.dense.take(bytes_of(len, 16)?)?;
                Ok(words(bytes).map(i128::from_le_bytes).collect())
            }
            1 => Ok(self.integers(len)?.into_iter().map(i128::from).collect()),
            _ => Err(Malformed("money in no known form")),
        }
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl ExactSizeIterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

fn bytes_of(len: usize, width: usize) -> Result<usize, Malformed> {
    len.checked_mul(width).ok_or(Malformed(TOO_LONG))
}

const TOO_LONG: &str = "a column longer than its offsets can say";

fn offsets(
    lengths: impl ExactSizeIterator<Item = u32>,
) -> Result<(OffsetBuffer<i32>, usize), Malformed> {
    let mut all = Vec::with_capacity(lengths.len() + 1);
    let mut end = 0_i32;
    all.push(end);
    for length in lengths {
        let length = i32::try_from(length).map_err(|_| Malformed(TOO_LONG))?;
        end = end.checked_add(length).ok_or(Malformed(TOO_LONG))?;
        all.push(end);
    }
    let total = usize::try_from(end).map_err(|_| Malformed(TOO_LONG))?;
    Ok((OffsetBuffer::new(all.into()), total))
}

/// The offsets of `len` rows of the same length.
fn even(len: usize, each: usize) -> Result<OffsetBuffer<i32>, Malformed> {
    let total = len.checked_mul(each).and_then(|n| i32::try_from(n).ok());
    total.ok_or(Malformed(TOO_LONG))?;
    Ok(OffsetBuffer::from_lengths(std::iter::repeat_n(each, len)))
}
