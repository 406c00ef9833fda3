//! Values come out in forms that can be read back exactly.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{
    ArrayRef, BinaryArray, Decimal128Array, Float32Array, Float64Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_ipc::reader::StreamReader;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use super::{write_arrow_stream, write_csv, write_json, write_parquet};
use crate::Answer;

fn answer(columns: Vec<(&str, ArrayRef)>) -> Answer {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    Answer {
        schema: batch.schema(),
        batches: vec![batch],
        truncated: false,
        elapsed: Duration::from_millis(7),
    }
}

fn map() -> ArrayRef {
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    map.keys().append_value("say \"hi\"");
    map.values().append_value("a\nb");
    map.keys().append_value("unset");
    map.values().append_null();
    map.append(true).unwrap();
    map.append(false).unwrap();
    Arc::new(map.finish())
}

fn sample() -> Answer {
    let money = Decimal128Array::from(vec![Some(10_i128.pow(23) + 1), None]);
    let money = money.with_precision_and_scale(24, 12).unwrap();
    let time = TimestampMicrosecondArray::from(vec![Some(1_763_722_800_123_456), None]);
    answer(vec![
        ("money", Arc::new(money)),
        ("time", Arc::new(time.with_timezone("UTC"))),
        (
            "wide",
            Arc::new(Int64Array::from(vec![(1 << 53) - 1, 1 << 53])),
        ),
        ("huge", Arc::new(UInt64Array::from(vec![0, u64::MAX]))),
        (
            "real",
            Arc::new(Float64Array::from(vec![0.1, f64::NEG_INFINITY])),
        ),
        ("half", Arc::new(Float32Array::from(vec![0.1, f32::NAN]))),
        (
            "text",
            Arc::new(StringArray::from(vec![Some("x,\"y\""), None])),
        ),
        (
            "bytes",
            Arc::new(BinaryArray::from(vec![&[0_u8, 255][..], &[]])),
        ),
        ("map", map()),
    ])
}

fn json_of(answer: &Answer) -> Value {
    let mut out = Vec::new();
    write_json(answer, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn json_keeps_every_digit() {
    let found = json_of(&sample());
    let row = json!([
        "100000000000.000000000001",
        "2025-11-21T11:00:00.123456Z",
        9_007_199_254_740_991_i64,
        0,
        0.1,
        0.1,
        "x,\"y\"",
        "00ff",
        {"say \"hi\"": "a\nb", "unset": null}
    ]);
    assert_eq!(found["rows"][0], row);
    let row = json!([
        null,
        null,
        "9007199254740992",
        "18446744073709551615",
        "-Infinity",
        "NaN",
        null,
        "",
        null
    ]);
    assert_eq!(found["rows"][1], row);
    let kinds: Vec<&str> = found["columns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[0], "decimal(24,12)");
    assert_eq!(kinds[1], "timestamp(6) with time zone");
    assert_eq!(kinds[8], "map(text,text)");
    assert_eq!(found["row_count"], 2);
    assert_eq!(found["truncated"], false);
    assert_eq!(found["elapsed_ms"], 7);
}

#[test]
fn csv_quotes_what_needs_it() {
    let mut out = Vec::new();
    write_csv(&sample(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let mut lines = text.split_inclusive("\n");
    assert_eq!(
        lines.next(),
        Some("money,time,wide,huge,real,half,text,bytes,map\n")
    );
    assert_eq!(
        lines.next(),
        Some(
            "100000000000.000000000001,2025-11-21T11:00:00.123456Z,9007199254740991,0,0.1,0.1,\
             \"x,\"\"y\"\"\",00ff,\"{\"\"say \\\"\"hi\\\"\"\"\":\"\"a\\nb\"\",\"\"unset\"\":null}\"\n"
        )
    );
}

#[test]
fn arrow_and_parquet_give_the_same_rows_back() {
    let sample = sample();
    let mut out = Vec::new();
    write_arrow_stream(&sample, &mut out).unwrap();
    let read = StreamReader::try_new(out.as_slice(), None).unwrap();
    let batches: Vec<RecordBatch> = read.map(Result::unwrap).collect();
    assert_eq!(batches, sample.batches);

    let mut out = Vec::new();
    write_parquet(&sample, &mut out).unwrap();
    let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(out)).unwrap();
    let batches: Vec<RecordBatch> = read.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(
        json_of(&Answer {
            batches,
            ..sample.clone()
        })["rows"],
        json_of(&sample)["rows"]
    );
}

#[test]
fn an_answer_without_rows_still_has_its_columns() {
    let mut none = sample();
    none.batches.clear();
    assert_eq!(json_of(&none)["rows"], json!([]));
    assert_eq!(json_of(&none)["columns"].as_array().unwrap().len(), 9);
    let mut out = Vec::new();
    write_csv(&none, &mut out).unwrap();
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
    let mut out = Vec::new();
    write_parquet(&none, &mut out).unwrap();
    let read = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(out)).unwrap();
    assert_eq!(read.schema().fields().len(), 9);
}

#[test]
fn two_columns_may_have_one_name() {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let twice = answer(vec![("x", Arc::clone(&column)), ("x", column)]);
    assert_eq!(json_of(&twice)["rows"], json!([[1, 1]]));
}
