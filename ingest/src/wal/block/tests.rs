//! Rows that come back equal, and bytes that are not rows.

use arrow_array::cast::AsArray;
use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    MapArray, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_select::take::take;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

fn rejected(from: i64, rows: usize) -> RecordBatch {
    let schema = Dataset::RejectedEvents.accepted_schema();
    let text = |s: &str| Arc::new(StringArray::from(vec![s; rows])) as ArrayRef;
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|f| match f.name().as_str() {
            "item_index" => {
                Arc::new(Int64Array::from_iter_values(from..from + rows as i64)) as ArrayRef
            }
            "part_date" => Arc::new(Date32Array::from(vec![1; rows])),
            "received_at" => {
                Arc::new(TimestampMicrosecondArray::from(vec![5; rows]).with_timezone("UTC"))
            }
            name if f.is_nullable() => {
                assert!(matches!(name, "item_id" | "payload"));
                new_null_array(f.data_type(), rows)
            }
            name => text(name),
        })
        .collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

#[test]
fn rows_read_back_equal_and_small_requests_share_a_message() {
    let schema = Dataset::RejectedEvents.accepted_schema();
    let parts: Vec<RecordBatch> = (0..10).map(|i| rejected(i * 7, 7)).collect();
    let gathered = gather(&schema, parts).unwrap();
    assert_eq!(gathered.len(), 1);
    let mut parts = gathered;
    parts.push(rejected(70, 2000));
    let mut out = vec![1, 2, 3];
    let size = BlockEncoder::default().encode(&parts, &mut out).unwrap();
    assert_eq!(out.len(), 3 + size.stored_bytes as usize);
    let read = decode(Dataset::RejectedEvents, &out[3..], size.raw_bytes).unwrap();
    assert_eq!(read, parts);
}

#[test]
fn rows_of_an_older_schema_get_the_new_columns_as_null() {
    let now = rejected(0, 5);
    // Before `payload` was added, say: it stands just before the tail.
    let columns: Vec<usize> = (0..now.num_columns()).collect();
    let gone = columns.len() - 3;
    assert_eq!(now.schema().field(gone).name(), "payload");
    let kept: Vec<usize> = columns.into_iter().filter(|i| *i != gone).collect();
    let old = now.project(&kept).unwrap();
    let mut out = Vec::new();
    let size = BlockEncoder::default().encode(&[old], &mut out).unwrap();
    let read = decode(Dataset::RejectedEvents, &out, size.raw_bytes).unwrap();
    assert_eq!(read, [now]);
}

#[test]
fn a_large_request_is_not_copied() {
    let schema = Dataset::RejectedEvents.accepted_schema();
    let parts = vec![
        rejected(0, 3),
        rejected(3, 5000),
        rejected(0, 2),
        rejected(1, 2),
    ];
    let rows: Vec<usize> = gather(&schema, parts)
        .unwrap()
        .iter()
        .map(RecordBatch::num_rows)
        .collect();
    assert_eq!(rows, [3, 5000, 4]);
}

#[test]
fn no_truncation_of_a_block_is_taken_for_rows() {
    let parts = [rejected(0, 20)];
    let mut out = Vec::new();
    let size = BlockEncoder::default().encode(&parts, &mut out).unwrap();
    for cut in 0..out.len() {
        assert!(decode(Dataset::RejectedEvents, &out[..cut], size.raw_bytes).is_err());
    }
}

/// How the values of a column look.
#[derive(Clone, Copy, Debug)]
enum Look {
    Same,
    Hex,
    Small,
    Wild,
}

fn text(rng: &mut StdRng, look: Look, row: usize) -> String {
    match look {
        Look::Same => "the same".into(),
        Look::Hex => format!("{:016x}", rng.random::<u64>()),
        Look::Small => "x".repeat(row % 3),
        Look::Wild if rng.random_bool(0.001) => "\u{fc}".repeat(rng.random_range(0..70_000)),
        Look::Wild => "\u{fc}".repeat(rng.random_range(0..40)),
    }
}

fn number(rng: &mut StdRng, look: Look) -> i64 {
    match look {
        Look::Same => -7,
        Look::Hex => 1_700_000_000_000_000 + rng.random_range(0..1 << 31),
        Look::Small => rng.random_range(-100..100),
        Look::Wild => rng.random(),
    }
}

fn lengths(rng: &mut StdRng, look: Look, len: usize) -> Vec<usize> {
    let mut one = || match look {
        Look::Same => 2,
        Look::Hex | Look::Small => rng.random_range(0..3),
        Look::Wild => rng.random_range(0..6),
    };
    (0..len).map(|_| one()).collect()
}

/// A column of `len` rows of any type that a dataset has.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "datasets have a handful of Arrow's forty types"
)]
fn column(rng: &mut StdRng, kind: &DataType, nullable: bool, len: usize) -> ArrayRef {
    let looks = [Look::Same, Look::Hex, Look::Small, Look::Wild];
    let look = looks[rng.random_range(0..4)];
    let nulls = (nullable && rng.random_bool(0.5))
        .then(|| NullBuffer::from_iter((0..len).map(|_| rng.random_bool(0.7))));
    let numbers: Vec<i64> = (0..len).map(|_| number(rng, look)).collect();
    let small = numbers
        .iter()
        .map(|n| i32::try_from(n % 100_000).unwrap())
        .collect();
    match kind {
        DataType::Utf8 => {
            let texts = (0..len).map(|row| text(rng, look, row));
            let texts = StringArray::from_iter_values(texts);
            Arc::new(StringArray::new(
                texts.offsets().clone(),
                texts.values().clone(),
                nulls,
            ))
        }
        DataType::Int64 => Arc::new(Int64Array::new(numbers.into(), nulls)),
        DataType::Int32 => Arc::new(Int32Array::new(small, nulls)),
        DataType::Date32 => Arc::new(Date32Array::new(small, nulls)),
        DataType::Timestamp(_, _) => Arc::new(
            TimestampMicrosecondArray::new(numbers.into(), nulls).with_data_type(kind.clone()),
        ),
        DataType::Decimal128(_, _) => {
            let wide = |n: &i64| i128::from(*n) * if matches!(look, Look::Wild) { 1000 } else { 1 };
            let values = numbers.iter().map(wide).collect();
            Arc::new(Decimal128Array::new(values, nulls).with_data_type(kind.clone()))
        }
        DataType::Float64 => {
            let values = numbers.iter().map(|n| *n as f64 / 3.0).collect();
            Arc::new(Float64Array::new(values, nulls))
        }
        DataType::Boolean => {
            let values = numbers.iter().map(|n| n & 1 == 1).collect();
            Arc::new(BooleanArray::new(values, nulls))
        }
        DataType::List(item) => {
            let offsets = OffsetBuffer::from_lengths(lengths(rng, look, len));
            let count = offsets.last().copied().unwrap_or_default() as usize;
            let items = column(rng, item.data_type(), item.is_nullable(), count);
            Arc::new(ListArray::new(Arc::clone(item), offsets, items, nulls))
        }
        DataType::Map(entry, _) => {
            let offsets = OffsetBuffer::from_lengths(lengths(rng, look, len));
            let count = offsets.last().copied().unwrap_or_default() as usize;
            let entries = column(rng, entry.data_type(), false, count);
            let entries = entries.as_struct().clone();
            let entry = Arc::clone(entry);
            Arc::new(MapArray::new(entry, offsets, entries, nulls, false))
        }
        DataType::Struct(members) => {
            let columns = members
                .iter()
                .map(|m| column(rng, m.data_type(), m.is_nullable(), len));
            let columns = columns.collect();
            let members = members.clone();
            Arc::new(StructArray::try_new_with_length(members, columns, nulls, len).unwrap())
        }
        other => panic!("no dataset has {other}"),
    }
}

fn any_rows(rng: &mut StdRng, dataset: Dataset, len: usize) -> RecordBatch {
    let schema = dataset.accepted_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|f| match f.is_nullable() && rng.random_bool(0.5) {
            true => new_null_array(f.data_type(), len),
            false => column(rng, f.data_type(), f.is_nullable(), len),
        });
    let columns = columns.collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

#[test]
fn rows_of_every_look_come_back_equal_also_from_the_middle_of_a_batch() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let dataset = Dataset::RECEIVED[rng.random_range(0..Dataset::RECEIVED.len())];
        let len = rng.random_range(1..40);
        let whole = any_rows(&mut rng, dataset, len);
        let from = rng.random_range(0..len);
        let cut = whole.slice(from, rng.random_range(0..=len - from));
        for rows in [whole, cut] {
            let mut out = Vec::new();
            let parts = [rows];
            let size = BlockEncoder::default().encode(&parts, &mut out).unwrap();
            let read = decode(dataset, &out, size.raw_bytes).unwrap();
            assert_eq!(read, parts, "seed {seed}");
        }
    }
}

#[test]
fn no_bytes_of_a_block_make_the_reader_panic() {
    let mut rng = StdRng::seed_from_u64(5);
    let rows = any_rows(&mut rng, Dataset::Spans, 12);
    let mut streams = Streams::default();
    for column in rows.columns() {
        streams.column(&**column).unwrap();
    }
    let schema = rows.schema();
    for _ in 0..3_000 {
        let (mut loose, mut dense) = (streams.loose.clone(), streams.dense.clone());
        for _ in 0..rng.random_range(1..4) {
            let stream = if rng.random_bool(0.8) {
                &mut loose
            } else {
                &mut dense
            };
            let at = rng.random_range(0..stream.len());
            match rng.random_range(0..3) {
                0 => stream[at] = rng.random(),
                1 => stream.truncate(at),
                _ => stream.insert(at, rng.random()),
            }
            stream.push(0);
        }
        let mut unpack = Unpack::new(&loose, &dense);
        for field in schema.fields() {
            if unpack.column(field.data_type(), 12).is_err() {
                break;
            }
        }
    }
}

#[test]
fn runs_of_equal_rows_are_written_once_and_come_back_equal() {
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let few = any_rows(&mut rng, Dataset::Spans, 4);
        let places = UInt32Array::from_iter_values((0..200).map(|i| i / 50));
        let columns = few.columns().iter();
        let columns = columns.map(|c| take(c, &places, None).unwrap()).collect();
        let rows = RecordBatch::try_new(few.schema(), columns).unwrap();
        let encode = |rows: RecordBatch| {
            let mut out = Vec::new();
            let size = BlockEncoder::default().encode(&[rows], &mut out).unwrap();
            (out, size)
        };
        let (out, size) = encode(rows.clone());
        assert_eq!(
            decode(Dataset::Spans, &out, size.raw_bytes).unwrap(),
            [rows]
        );
    }
    let few = rejected(0, 1);
    let places = UInt32Array::from_iter_values(std::iter::repeat_n(0, 10_000));
    let texts = take(few.column(0), &places, None).unwrap();
    let mut streams = Streams::default();
    streams.column(&*texts).unwrap();
    assert!(streams.loose.len() + streams.dense.len() < 64);
}
