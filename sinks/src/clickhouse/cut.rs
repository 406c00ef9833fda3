//! How a part becomes inserts: always the same ones, whenever and wherever it is offered again.
//!
//! Nothing here is configurable but the shards: a part that is cut in another way would not be
//! known again by the tokens of its inserts.

use std::collections::BTreeSet;
use std::ops::Range;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type};
use arrow_array::{Array, BooleanArray, Int32Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use arrow_select::take::take_record_batch;
use weir_model::Dataset;

use crate::{Part, PartId};

/// The most rows of an insert: the upper end of what ClickHouse likes, and far below the
/// 1,048,449 at which the server would cut a block itself.
const ROWS_MAX: usize = 131_072;
/// The most partitions of an insert: the server's default `max_partitions_per_insert_block`.
pub(super) const PARTITIONS_MAX: usize = 100;

/// One insert: one record batch, one token.
#[derive(Clone, Debug)]
pub(super) struct Insert {
    /// Which shard, from 0.
    pub(super) shard: usize,
    /// What the server knows it by.
    pub(super) token: String,
    /// Its rows.
    pub(super) rows: RecordBatch,
}

/// The inserts that `part` is.
///
/// # Errors
///
/// Where its rows are not of the dataset's schema.
pub(super) fn inserts(part: &Part, shards: usize) -> Result<Vec<Insert>, ArrowError> {
    let rows = part.rows();
    let mut all = Vec::new();
    for range in ranges(&rows)? {
        let token = named(part, &rows, &range)?;
        let piece = rows.slice(range.start, range.len());
        if shards <= 1 {
            all.push(Insert {
                shard: 0,
                token,
                rows: piece,
            });
            continue;
        }
        for (shard, rows) in spread(part.batch().dataset(), &piece, shards)? {
            all.push(Insert {
                shard,
                token: format!("{token}/{shard}of{shards}"),
                rows,
            });
        }
    }
    Ok(all)
}

/// The rows at `range` of the part's, named like a part by `_row`: the same rows are the same
/// insert, however they came to be cut out.
fn named(part: &Part, rows: &RecordBatch, range: &Range<usize>) -> Result<String, ArrowError> {
    let places = places(rows)?.values();
    let id = part.id();
    let start = match range.start {
        0 => id.start,
        at => places.get(at).copied().unwrap_or(id.start),
    };
    let end = places.get(range.end).copied().unwrap_or(id.end);
    Ok(PartId { start, end, ..id }.to_string())
}

/// The rows' numbers in their batch.
fn places(rows: &RecordBatch) -> Result<&Int32Array, ArrowError> {
    let column = rows.column_by_name("_row");
    let places = column.and_then(|c| c.as_primitive_opt::<Int32Type>());
    places.ok_or_else(|| ArrowError::SchemaError("no _row".to_owned()))
}

/// Cuts where an insert has enough rows or its partitions are too many.
fn ranges(rows: &RecordBatch) -> Result<Vec<Range<usize>>, ArrowError> {
    let unfit = || ArrowError::SchemaError("no part_date".to_owned());
    let dates = rows.column_by_name("part_date").ok_or_else(unfit)?;
    let dates = dates.as_primitive_opt::<Date32Type>().ok_or_else(unfit)?;
    let (mut ranges, mut start) = (Vec::new(), 0);
    let (mut seen, mut last) = (BTreeSet::new(), None);
    for (at, date) in dates.values().iter().enumerate() {
        if at - start == ROWS_MAX {
            ranges.push(start..at);
            (start, last) = (at, None);
            seen.clear();
        }
        if last == Some(*date) {
            continue;
        }
        last = Some(*date);
        if !seen.contains(date) {
            if seen.len() == PARTITIONS_MAX {
                ranges.push(start..at);
                start = at;
                seen.clear();
            }
            seen.insert(*date);
        }
    }
    if start < rows.num_rows() {
        ranges.push(start..rows.num_rows());
    }
    Ok(ranges)
}

/// The rows of each shard that has any, in their order.
fn spread(
    dataset: Dataset,
    rows: &RecordBatch,
    shards: usize,
) -> Result<Vec<(usize, RecordBatch)>, ArrowError> {
    let text = |name: &str| -> Option<&StringArray> {
        let known = dataset.columns().iter().any(|c| c.name == name);
        let column = rows.column_by_name(name).filter(|_| known);
        column.and_then(|c| c.as_string_opt::<i32>())
    };
    let unfit = || ArrowError::SchemaError("no tenant_id".to_owned());
    let tenants = text("tenant_id").ok_or_else(unfit)?;
    let traces = text("trace_id").or_else(|| text("trace_uid"));
    let mut places = vec![Vec::new(); shards];
    for row in 0..rows.num_rows() {
        let trace = traces
            .filter(|t| t.is_valid(row))
            .map_or("", |t| t.value(row));
        let hash = crc32(&[tenants.value(row), "/", trace]);
        let shard = usize::try_from(hash).unwrap_or(0) % shards;
        if let Some(places) = places.get_mut(shard) {
            places.push(row as u64);
        }
    }
    let mut all = Vec::new();
    for (shard, places) in places.into_iter().enumerate() {
        if !places.is_empty() {
            all.push((shard, take_record_batch(rows, &UInt64Array::from(places))?));
        }
    }
    Ok(all)
}

/// `insert` without the rows that are `held`; `None` where none is left.
///
/// # Errors
///
/// Where its rows have no `_row`.
pub(super) fn without(insert: Insert, held: &BTreeSet<i32>) -> Result<Option<Insert>, ArrowError> {
    let missing: BooleanArray = places(&insert.rows)?
        .values()
        .iter()
        .map(|row| Some(!held.contains(row)))
        .collect();
    let count = missing.true_count();
    if count == insert.rows.num_rows() {
        return Ok(Some(insert));
    }
    if count == 0 {
        return Ok(None);
    }
    let rows = filter_record_batch(&insert.rows, &missing)?;
    Ok(Some(Insert { rows, ..insert }))
}

/// The CRC-32 of ClickHouse's function `CRC32`, which is zlib's.
fn crc32(texts: &[&str]) -> u32 {
    let mut crc = u32::MAX;
    for byte in texts.iter().flat_map(|text| text.bytes()) {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Date32Array;
    use weir_model::{Batch, NodeId};

    use super::*;
    use crate::contract::sample_batch;

    fn dated(dates: impl Iterator<Item = i32>) -> RecordBatch {
        let dates = Date32Array::from_iter_values(dates);
        let field = arrow_schema::Field::new("part_date", arrow_schema::DataType::Date32, false);
        let schema = arrow_schema::Schema::new(vec![field]);
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(dates)]).unwrap()
    }

    #[test]
    fn an_insert_has_at_most_a_hundred_partitions_and_so_many_rows() {
        let many = dated((0..1_000).map(|n| n / 3));
        let cut = ranges(&many).unwrap();
        assert_eq!(cut, [0..300, 300..600, 600..900, 900..1_000]);
        let mixed = dated((0..1_000).map(|n| n % 101));
        let cut = ranges(&mixed).unwrap();
        assert_eq!(cut[..2], [0..100, 100..200]);
        assert_eq!(cut.iter().map(Range::len).sum::<usize>(), 1_000);
        let long = dated((0..300_000).map(|_| 1));
        assert_eq!(
            ranges(&long).unwrap(),
            [0..131_072, 131_072..262_144, 262_144..300_000]
        );
    }

    #[test]
    fn a_part_is_cut_alike_whenever_it_comes_and_every_row_goes_to_one_shard() {
        let batch = sample_batch(Dataset::Spans, &NodeId::from_bits(1), 9);
        let part = Part::whole(batch.clone());
        let again = Part::whole(Batch::from_sealed(batch.id().clone(), batch.rows().clone()));
        let tokens = |part: &Part, shards| -> Vec<String> {
            let inserts = inserts(part, shards).unwrap();
            inserts.into_iter().map(|insert| insert.token).collect()
        };
        assert_eq!(tokens(&part, 1), [part.id().to_string()]);
        assert_eq!(tokens(&part, 3), tokens(&again, 3));
        assert_eq!(tokens(&part, 3).len(), 3);
        let spread = inserts(&part, 3).unwrap();
        let rows: usize = spread.iter().map(|insert| insert.rows.num_rows()).sum();
        assert_eq!(rows, part.len());
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32(&["123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&["a", "/", "b"]), 133_447_708);
    }
}
