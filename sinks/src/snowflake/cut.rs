//! A run cut into requests.
//!
//! Where it is cut depends on the rows alone, so that the same rows give the same requests
//! whatever zstd makes of them: a request ends before the row that would take it over the limit
//! before compression.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{Int32Array, RecordBatch, UInt64Array};
use arrow_schema::ArrowError;
use arrow_select::take::take_record_batch;
use bytes::Bytes;

use super::config::{SnowflakeConfig, WIRE_BYTES_MAX};
use super::error::SnowflakeError;
use super::json::Rows;
use super::token::Position;
use crate::Part;

/// Rows of one batch that go to one database.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    /// The batch's number.
    pub(super) batch: i64,
    /// Whether the batch was offered whole.
    pub(super) whole: bool,
    /// Whether the batch ends with the last row.
    pub(super) ends: bool,
    /// The rows, at least one, in the sealed schema.
    pub(super) rows: RecordBatch,
    /// Their `_row`, which only grows.
    places: Int32Array,
}

/// The column of row numbers.
fn places(rows: &RecordBatch) -> Result<Int32Array, SnowflakeError> {
    let column = rows.column_by_name("_row");
    let column = column.and_then(|c| c.as_primitive_opt::<Int32Type>());
    column.cloned().ok_or_else(|| {
        let why = "the rows have no `_row`".to_owned();
        SnowflakeError::encode(ArrowError::SchemaError(why))
    })
}

impl Slice {
    pub(super) fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// The place of the row at `index`; the batch's end where there is none.
    pub(super) fn position(&self, index: usize) -> Position {
        let row = self.places.values().get(index).copied();
        Position {
            batch: self.batch,
            row: row.unwrap_or(i32::MAX),
        }
    }

    pub(super) fn first(&self) -> Position {
        self.position(0)
    }

    pub(super) fn last(&self) -> Position {
        self.position(self.len().saturating_sub(1))
    }

    /// The rows up to `at`, and those after it.
    pub(super) fn split(self, at: Position) -> (Option<Self>, Option<Self>) {
        let (len, batch) = (self.len(), self.batch);
        let rows = self.places.values();
        let upto = rows.partition_point(|row| Position { batch, row: *row } <= at);
        let piece = |start: usize, end: usize, ends: bool| {
            (start < end).then(|| Self {
                rows: self.rows.slice(start, end - start),
                places: self.places.slice(start, end - start),
                ends,
                ..self.clone()
            })
        };
        let before = piece(0, upto, self.ends && upto == len);
        (before, piece(upto, len, self.ends))
    }

    /// The rows that `keep` wants; `None` where it wants none.
    pub(super) fn keep(
        &self,
        keep: impl Fn(Position) -> bool,
    ) -> Result<Option<Self>, SnowflakeError> {
        let kept = (0..self.len()).filter(|i| keep(self.position(*i)));
        let kept: UInt64Array = kept.map(|i| i as u64).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        self.take(&kept).map(Some)
    }

    fn take(&self, indices: &UInt64Array) -> Result<Self, SnowflakeError> {
        let rows = take_record_batch(&self.rows, indices).map_err(SnowflakeError::encode)?;
        Ok(Self {
            places: places(&rows)?,
            rows,
            ..self.clone()
        })
    }
}

/// The rows of `run` by database, each in order.
pub(super) fn by_database(
    config: &SnowflakeConfig,
    run: &[Part],
) -> Result<BTreeMap<String, Vec<Slice>>, SnowflakeError> {
    let mut all: BTreeMap<String, Vec<Slice>> = BTreeMap::new();
    for part in run {
        if part.is_empty() {
            continue;
        }
        let whole = Slice {
            batch: part.batch().id().number,
            whole: part.is_whole(),
            ends: part.is_last(),
            places: places(&part.rows())?,
            rows: part.rows(),
        };
        if !config.by_tenant() {
            let database = config.database_of("");
            all.entry(database).or_default().push(whole);
            continue;
        }
        let mut rows_of: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let tenants = whole.rows.column_by_name("tenant_id");
        let tenants = tenants.and_then(|c| c.as_string_opt::<i32>());
        for (at, tenant) in (0..).zip(tenants.into_iter().flatten()) {
            let database = config.database_of(tenant.unwrap_or_default());
            rows_of.entry(database).or_default().push(at);
        }
        for (database, indices) in rows_of {
            let slice = whole.take(&UInt64Array::from(indices))?;
            all.entry(database).or_default().push(slice);
        }
    }
    Ok(all)
}

/// What one request carries.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The rows as JSON lines under zstd.
    pub(super) body: Bytes,
    /// Bytes before compression.
    pub(super) plain_bytes: usize,
    pub(super) rows: usize,
    pub(super) first: Position,
    pub(super) last: Position,
    /// Whether a batch ends with it.
    pub(super) ends: bool,
}

/// Cuts `slices` into requests. It computes for as long as it takes.
///
/// # Errors
///
/// [`SnowflakeError::RowTooLarge`] where one row does not fit a request.
pub(super) fn cut(
    config: &SnowflakeConfig,
    slices: &[Slice],
) -> Result<Vec<Piece>, SnowflakeError> {
    let limit = usize::try_from(config.request_bytes).unwrap_or(usize::MAX);
    let mut cutter = Cutter {
        // Checked to be 1 to 19.
        level: i32::try_from(config.compression_level).unwrap_or(3),
        done: Vec::new(),
        text: Vec::new(),
        open: None,
    };
    for slice in slices {
        let writer = Rows::of(&slice.rows).map_err(SnowflakeError::encode)?;
        for row in 0..slice.len() {
            let before = cutter.text.len();
            writer.put(&mut cutter.text, row);
            let at = slice.position(row);
            if cutter.text.len() > limit && before > 0 {
                let rest = cutter.text.split_off(before);
                cutter.close()?;
                cutter.text = rest;
            }
            cutter.add(at, slice.ends && row + 1 == slice.len());
        }
    }
    cutter.close()?;
    Ok(cutter.done)
}

struct Cutter {
    level: i32,
    done: Vec<Piece>,
    text: Vec<u8>,
    open: Option<Piece>,
}

impl Cutter {
    fn add(&mut self, at: Position, ends: bool) {
        let open = self.open.get_or_insert_with(|| Piece {
            body: Bytes::new(),
            plain_bytes: 0,
            rows: 0,
            first: at,
            last: at,
            ends,
        });
        open.rows += 1;
        open.last = at;
        open.ends = ends;
    }

    fn close(&mut self) -> Result<(), SnowflakeError> {
        let Some(mut piece) = self.open.take() else {
            return Ok(());
        };
        piece.plain_bytes = self.text.len();
        let body = zstd::bulk::compress(&self.text, self.level).map_err(SnowflakeError::encode)?;
        self.text.clear();
        if body.len() as u64 > WIRE_BYTES_MAX {
            return Err(SnowflakeError::RowTooLarge {
                bytes: body.len() as u64,
                max: WIRE_BYTES_MAX,
            });
        }
        piece.body = body.into();
        self.done.push(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use weir_model::{Dataset, NodeId};

    use super::*;
    use crate::contract::sample_batch;

    fn run() -> Vec<Part> {
        let node = NodeId::from_bits(1);
        let batches = (1..=3).map(|n| sample_batch(Dataset::Spans, &node, n));
        batches.map(Part::whole).collect()
    }

    fn config(request_bytes: u64, database: &str) -> SnowflakeConfig {
        SnowflakeConfig {
            request_bytes,
            database: database.to_owned(),
            ..SnowflakeConfig::default()
        }
    }

    #[test]
    fn cuts_keep_every_row_in_order_and_depend_on_the_rows_alone() {
        let small = config(40_000, "W");
        let all = by_database(&small, &run()).unwrap();
        let slices = &all["W"];
        let pieces = cut(&small, slices).unwrap();
        assert!(pieces.len() > 3, "{}", pieces.len());
        let mut text = Vec::new();
        for piece in &pieces {
            assert!(piece.plain_bytes <= 40_000);
            let plain = zstd::decode_all(piece.body.as_ref()).unwrap();
            assert_eq!(plain.len(), piece.plain_bytes);
            assert_eq!(plain.iter().filter(|b| **b == b'\n').count(), piece.rows);
            text.extend(plain);
        }
        let mut harder = small.clone();
        harder.compression_level = 9;
        let again = cut(&harder, slices).unwrap();
        let places = |all: &[Piece]| all.iter().map(|p| (p.first, p.last)).collect::<Vec<_>>();
        assert_eq!(places(&pieces), places(&again));
        let one = cut(&config(3_900_000, "W"), slices).unwrap();
        assert_eq!(one.len(), 1);
        assert_eq!(zstd::decode_all(one[0].body.as_ref()).unwrap(), text);
        assert_eq!(one[0].last, Position { batch: 3, row: 59 });
        assert!(one[0].ends);
    }

    #[test]
    fn a_run_goes_apart_by_tenant_and_at_a_position() {
        let config = config(3_900_000, "weir_{tenant}");
        let all = by_database(&config, &run()).unwrap();
        let names: Vec<&String> = all.keys().collect();
        assert_eq!(names, ["WEIR_ACME", "WEIR_GLOBEX-2"]);
        let rows: usize = all.values().flatten().map(Slice::len).sum();
        assert_eq!(rows, 180);
        let slice = all["WEIR_ACME"][1].clone();
        let (len, middle) = (slice.len(), slice.position(4));
        let (before, after) = slice.clone().split(middle);
        let (before, after) = (before.unwrap(), after.unwrap());
        assert_eq!((before.len(), after.len()), (5, len - 5));
        assert!(!before.ends && after.ends);
        assert!(slice.clone().split(slice.last()).1.is_none());
        let kept = slice.keep(|at| at > middle).unwrap().unwrap();
        assert_eq!(kept.rows, after.rows);
    }

    #[test]
    fn a_row_that_fits_no_request_is_refused() {
        use arrow_array::{ArrayRef, StringArray};
        use std::sync::Arc;
        // Text that does not compress: four million and some random characters.
        let mut state = 1_u64;
        let noise: String = (0..6_000_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                char::from(b'0' + u8::try_from(state >> 58).unwrap())
            })
            .collect();
        let column: ArrayRef = Arc::new(StringArray::from(vec![noise]));
        let rows = RecordBatch::try_from_iter([("name", column)]).unwrap();
        let slice = Slice {
            batch: 1,
            whole: true,
            ends: true,
            places: vec![0].into(),
            rows,
        };
        let error = cut(&SnowflakeConfig::default(), &[slice]).unwrap_err();
        assert!(
            matches!(error, SnowflakeError::RowTooLarge { .. }),
            "{error}"
        );
    }
}
