use std::sync::Arc;

use arrow_array::{Int64Array, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::*;

fn piece(times: Vec<Option<i64>>, nodes: Vec<&str>, batches: Vec<i64>) -> RecordBatch {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Schema::new(vec![
        Field::new("event_time", time, true),
        Field::new("_node", DataType::Utf8, false),
        Field::new("_batch", DataType::Int64, false),
    ]);
    let times = TimestampMicrosecondArray::from(times).with_timezone("UTC");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(times),
        Arc::new(StringArray::from(nodes)),
        Arc::new(Int64Array::from(batches)),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn round(pieces: &[RecordBatch]) -> (u64, BTreeMap<String, ColumnStats>) {
    let mut gather = Gather::new(Dataset::OcsfEvents);
    pieces.iter().for_each(|p| gather.add(p));
    parse(Dataset::OcsfEvents, &gather.to_json())
}

#[test]
fn what_is_written_to_the_log_is_read_back() {
    let (rows, stats) = round(&[
        piece(vec![Some(1_234_567), None], vec!["b", "a"], vec![3, 3]),
        piece(vec![Some(-5_000)], vec!["c"], vec![4]),
    ]);
    assert_eq!(rows, 3);
    let time = stats["event_time"].clone();
    assert_eq!(time.nulls, Some(1));
    // Rounded outward to the millisecond.
    let bounds = Bounds::Time {
        min: -5_000,
        max: 1_235_000,
    };
    assert_eq!(time.bounds, Some(bounds));
    let nodes = Bounds::Text {
        min: "a".into(),
        max: "c".into(),
    };
    assert_eq!(stats["_node"].bounds, Some(nodes));
    assert_eq!(stats["_batch"].bounds, Some(Bounds::Int { min: 3, max: 4 }));
}

#[test]
fn a_bound_that_cannot_be_written_is_left_out() {
    let far = piece(vec![Some(i64::MAX), Some(0)], vec!["a", "a"], vec![1, 1]);
    let (_, stats) = round(&[far]);
    assert_eq!(stats["event_time"].bounds, None);
    assert_eq!(stats["event_time"].nulls, Some(0));
    let long = "x".repeat(TEXT_BOUND_BYTES_MAX + 1);
    let (_, stats) = round(&[piece(vec![None], vec![&long], vec![1])]);
    assert_eq!(stats["_node"].bounds, None);
    assert_eq!(stats["event_time"].bounds, None, "only NULLs");
    assert_eq!(stats["event_time"].nulls, Some(1));
}

#[test]
fn text_that_is_not_understood_says_nothing() {
    for odd in ["", "{", "[]", r#"{"numRecords":"x","minValues":3}"#] {
        assert_eq!(parse(Dataset::Spans, odd), (0, BTreeMap::new()), "{odd}");
    }
}

#[test]
fn every_named_column_exists_in_its_dataset() {
    for dataset in Dataset::ALL {
        let names = columns(dataset);
        assert_eq!(names[0], dataset.time_column());
        assert!(names.ends_with(&["_node", "_batch"]), "{names:?}");
        let all: Vec<&str> = dataset.columns().iter().map(|c| c.name).collect();
        assert!(names.iter().all(|n| all.contains(n)), "{names:?}");
    }
}
