//! Arrow columns as two streams of bytes: one worth compressing, one not.
//!
//! ```text
//! column  = 0 values                                      no row is NULL
//!         | 1 bitmap | values                             where the row has a value
//!         | 2 runs u32 | rows u32* | column               one row for each run of equal ones
//! text    = 0 lengths values                              as it is
//!         | 1 lengths, packed values in the dense stream  lower-case hex
//! lengths = 0 length u32 | 1 u8* | 2 u16* | 4 u32*
//! integer = width u8 (0, 1, 2, 4, 8) | least i64 | (value - least)*, from width 4 on dense
//! money   = 1 integer | 0 i128* (dense)
//! double  = u64* (dense)        bool = bitmap
//! list    = lengths | column of the items
//! map     = lengths | column of keys | column of values
//! struct  = column*
//! ```
//! Offsets of Arrow's buffers grow with every row, which no byte compressor sees through; lengths
//! are mostly alike. Ids are random, so half their text is all that can be saved.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, BooleanArray, MapArray, StringArray};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use arrow_select::concat::concat;

use super::{hex, runs};
use crate::wal::bytes::size32;

/// Text as it is.
pub(super) const PLAIN: u8 = 0;
/// Text as the bytes that its hex digits spell.
pub(super) const HEX: u8 = 1;
/// No row is NULL.
pub(super) const FULL: u8 = 0;
/// Some rows are NULL.
pub(super) const NULLS: u8 = 1;
/// Rows repeat the row before.
pub(super) const RUNS: u8 = 2;

/// Where columns go.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// What a compressor finds something in.
    pub(super) loose: Vec<u8>,
    /// What it does not.
    pub(super) dense: Vec<u8>,
}

impl Streams {
    pub(super) fn clear(&mut self) {
        self.loose.clear();
        self.dense.clear();
    }

    /// Adds a column.
    ///
    /// # Errors
    ///
    /// Where its type is none that a dataset has.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "datasets have a handful of Arrow's forty types"
    )]
    pub(super) fn column(&mut self, array: &dyn Array) -> Result<(), ArrowError> {
        if let Some(runs) = runs::of(array) {
            return self.runs(array, &runs);
        }
        self.nulls(array);
        match array.data_type() {
            DataType::Utf8 => self.text(array.as_string()),
            DataType::Int64 => {
                let values = array.as_primitive::<Int64Type>().values();
                self.integers(values.iter().copied());
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let values = array.as_primitive::<TimestampMicrosecondType>().values();
                self.integers(values.iter().copied());
            }
            DataType::Int32 => {
                let values = array.as_primitive::<Int32Type>().values();
                self.integers(values.iter().copied().map(i64::from));
            }
            DataType::Date32 => {
                let values = array.as_primitive::<Date32Type>().values();
                self.integers(values.iter().copied().map(i64::from));
            }
            DataType::Decimal128(_, _) => {
                self.money(array.as_primitive::<Decimal128Type>().values());
            }
            DataType::Float64 => {
                let values = array.as_primitive::<Float64Type>().values();
                let bytes = values.iter().flat_map(|v| v.to_bits().to_le_bytes());
                self.dense.extend(bytes);
            }
            DataType::Boolean => self.truths(array.as_boolean()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                self.lengths(list.value_offsets());
                self.column(&*items(list.values(), list.value_offsets()))?;
            }
            DataType::Map(_, _) => self.map(array.as_map())?,
            DataType::Struct(_) => {
                for member in array.as_struct().columns() {
                    self.column(&**member)?;
                }
            }
            other => {
                return Err(ArrowError::NotYetImplemented(format!(
                    "a column of {other}"
                )));
            }
        }
        Ok(())
    }

    fn runs(&mut self, array: &dyn Array, runs: &[u32]) -> Result<(), ArrowError> {
        self.loose.push(RUNS);
        self.loose
            .extend_from_slice(&size32(runs.len()).to_le_bytes());
        self.loose.extend(runs.iter().flat_map(|n| n.to_le_bytes()));
        let mut rows = Vec::with_capacity(runs.len());
        let mut row = 0;
        for run in runs {
            rows.push(array.slice(row, 1));
            row += usize::try_from(*run).unwrap_or(0);
        }
        let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
        self.column(&*concat(&rows)?)
    }

    fn nulls(&mut self, array: &dyn Array) {
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.loose.push(FULL),
            Some(nulls) => {
                self.loose.push(NULLS);
                let bits = nulls.inner().sliced();
                self.bits(bits.as_slice(), array.len());
            }
        }
    }

    /// Adds the first `count` bits.
    fn bits(&mut self, bits: &[u8], count: usize) {
        let bytes = count.div_ceil(8);
        self.loose
            .extend_from_slice(bits.get(..bytes).unwrap_or(bits));
    }

    fn truths(&mut self, array: &BooleanArray) {
        let bits = array.values().sliced();
        self.bits(bits.as_slice(), array.len());
    }

    fn text(&mut self, array: &StringArray) {
        let offsets = array.value_offsets();
        let bytes = between(array.value_data(), offsets);
        let spread = Spread::of(offsets);
        if hex::looks_like(bytes) && hex::pack(bytes, &mut self.dense) {
            self.loose.push(HEX);
            self.put_lengths(offsets, spread);
            return;
        }
        self.loose.push(PLAIN);
        self.put_lengths(offsets, spread);
        self.loose.extend_from_slice(bytes);
    }

    fn map(&mut self, map: &MapArray) -> Result<(), ArrowError> {
        let offsets = map.value_offsets();
        self.lengths(offsets);
        self.column(&*items(map.keys(), offsets))?;
        self.column(&*items(map.values(), offsets))
    }

    fn lengths(&mut self, offsets: &[i32]) {
        self.put_lengths(offsets, Spread::of(offsets));
    }

    fn put_lengths(&mut self, offsets: &[i32], spread: Spread) {
        let each = offsets.windows(2).map(length);
        if let Some(only) = spread.only() {
            self.loose.push(0);
            self.loose.extend_from_slice(&size32(only).to_le_bytes());
        } else if spread.most <= 0xff {
            self.loose.push(1);
            self.loose.extend(each.map(|n| low_byte(n.into())));
        } else if spread.most <= 0xffff {
            self.loose.push(2);
            let bytes = each.flat_map(|n| low_bytes::<2>(n.into()));
            self.loose.extend(bytes);
        } else {
            self.loose.push(4);
            self.loose.extend(each.flat_map(u32::to_le_bytes));
        }
    }

    fn integers(&mut self, values: impl Iterator<Item = i64> + Clone) {
        let least = values.clone().min().unwrap_or(0);
        let most = values.clone().max().unwrap_or(0);
        // Two's complement: the distance is right even where it does not fit 63 bits.
        let above = move |v: i64| v.wrapping_sub(least).cast_unsigned();
        let width: u8 = match above(most) {
            0 => 0,
            1..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        self.loose.push(width);
        self.loose.extend_from_slice(&least.to_le_bytes());
        let values = values.map(above);
        match width {
            0 => {}
            1 => self.loose.extend(values.map(low_byte)),
            2 => self.loose.extend(values.flat_map(low_bytes::<2>)),
            4 => self.dense.extend(values.flat_map(low_bytes::<4>)),
            _ => self.dense.extend(values.flat_map(u64::to_le_bytes)),
        }
    }

    fn money(&mut self, values: &[i128]) {
        let small = |v: &i128| i64::try_from(*v).ok();
        if values.iter().all(|v| small(v).is_some()) {
            self.loose.push(1);
            self.integers(values.iter().map(|v| small(v).unwrap_or(0)));
        } else {
            self.loose.push(0);
            let bytes = values.iter().flat_map(|v| v.to_le_bytes());
            self.dense.extend(bytes);
        }
    }
}

/// How long the rows of a column are.
#[derive(Clone, Copy, Debug)]
struct Spread {
    least: u32,
    most: u32,
}

impl Spread {
    fn of(offsets: &[i32]) -> Self {
        let (mut least, mut most) = (u32::MAX, 0);
        for n in offsets.windows(2).map(length) {
            least = least.min(n);
            most = most.max(n);
        }
        Self {
            least: least.min(most),
            most,
        }
    }

    /// The length that all rows have.
    fn only(self) -> Option<usize> {
        let same = self.least == self.most;
        same.then(|| usize::try_from(self.most).unwrap_or(usize::MAX))
    }
}

/// The items that lists with these offsets hold: a slice of lists shares those of the whole.
fn items(all: &dyn Array, offsets: &[i32]) -> arrow_array::ArrayRef {
    let ends = offsets.first().zip(offsets.last());
    let (from, to) = ends.map_or((0, 0), |(a, b)| (index(*a), index(*b)));
    all.slice(from, to.saturating_sub(from))
}

fn between<'a>(bytes: &'a [u8], offsets: &[i32]) -> &'a [u8] {
    let ends = offsets.first().zip(offsets.last());
    ends.and_then(|(from, to)| bytes.get(index(*from)..index(*to)))
        .unwrap_or_default()
}

fn index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

/// The distance of two neighbours, which never go down.
fn length(pair: &[i32]) -> u32 {
    match pair {
        [from, to] => to.wrapping_sub(*from).cast_unsigned(),
        _ => 0,
    }
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}

fn low_bytes<const N: usize>(value: u64) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(value.to_le_bytes()) {
        *to = from;
    }
    out
}
