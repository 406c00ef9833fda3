//! The Snowflake sink at a strict stand-in of Snowpipe Streaming and the SQL API, which Snowflake's
//! own client is run against as well.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

#[path = "../support/snowpipe/mod.rs"]
#[allow(dead_code, reason = "the heavy tests use the rest of it")]
mod snowpipe;

mod doubts;
mod faults;
mod modes;
mod wrong;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use weir_model::{Batch, BatchId, Dataset, NodeId};
use weir_sinks::contract::{assert_holds, record, sample_batch, sample_rows};
use weir_sinks::snowflake::SnowflakeSink;
use weir_sinks::testing::{Drill, FaultProxy};
use weir_sinks::{Part, Sink, SinkError};

use snowpipe::destination::{Names, Snow};

const DATASET: Dataset = Dataset::RejectedEvents;

fn node() -> NodeId {
    NodeId::from_bits(0x51)
}

/// Whole batches of the small dataset.
fn run(numbers: impl IntoIterator<Item = i64>) -> Vec<Part> {
    let batches = numbers
        .into_iter()
        .map(|n| sample_batch(DATASET, &node(), n));
    batches.map(Part::whole).collect()
}

/// Writes until it works, and gives the rows that were stored, and how often it failed.
async fn write(sink: &SnowflakeSink, run: &[Part]) -> (u64, u32) {
    for failures in 0..100 {
        match sink.write(run).await {
            Ok(receipt) => return (receipt.rows, failures),
            Err(error) => {
                let fault = error.fault();
                assert_ne!(fault, weir_model::Fault::Permanent, "{error}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    panic!("it never worked");
}

/// An error with its causes.
fn chain(error: &SinkError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Checks that exactly these rows are there, each once.
fn assert_rows(snow: &Snow, wanted: impl IntoIterator<Item = (i64, i32)>) {
    let found = snowpipe::decode::names(&snow.all(DATASET));
    let batches = found["_batch"].as_primitive::<arrow_array::types::Int64Type>();
    let rows = found["_row"].as_primitive::<arrow_array::types::Int32Type>();
    let names = batches.values().iter().zip(rows.values());
    let mut names: Vec<(i64, i32)> = names.map(|(b, r)| (*b, *r)).collect();
    names.sort_unstable();
    let mut wanted: Vec<(i64, i32)> = wanted.into_iter().collect();
    wanted.sort_unstable();
    assert_eq!(names.len(), wanted.len(), "rows");
    assert!(names == wanted, "the names of rows");
}

/// All rows of these batches.
fn rows_of(batches: impl IntoIterator<Item = i64>) -> Vec<(i64, i32)> {
    let rows = batches
        .into_iter()
        .flat_map(|batch| (0..60).map(move |row| (batch, row)));
    rows.collect()
}

/// One batch whose `payload` is these texts.
fn with_payloads(number: i64, payloads: Vec<String>) -> Batch {
    let rows = sample_rows(DATASET, 1, payloads.len()).unwrap();
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let columns: Vec<ArrayRef> = columns
        .map(|(field, column)| {
            if field.name() == "payload" {
                Arc::new(StringArray::from(payloads.clone())) as ArrayRef
            } else {
                Arc::clone(column)
            }
        })
        .collect();
    let id = BatchId {
        node: node(),
        dataset: DATASET,
        number,
    };
    Batch::seal(id, &RecordBatch::try_new(schema, columns).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_what_every_sink_must() {
    let snow = Snow::start().await;
    let proven = assert_holds(&snow).await;
    record("snowflake", &proven);
    let engine = snow.open().probe().await.unwrap();
    assert_eq!(
        (engine.name.as_str(), engine.version.as_str()),
        ("snowflake", "9.34.0 (stand-in)")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_may_have_a_database_of_its_own() {
    let mut snow = Snow::start().await;
    snow.by_tenant();
    let sink = snow.open();
    for stored in [180, 0] {
        assert_eq!(write(&sink, &run(1..=3)).await.0, stored);
    }
    let sink = snow.open();
    assert_eq!(write(&sink, &run(2..=4)).await.0, 60);
    assert_rows(&snow, rows_of(1..=4));
    for (database, tenant) in [("WEIR_ACME", "acme"), ("WEIR_GLOBEX-2", "globex-2")] {
        let rows = snow.emulator.rows_in(database, DATASET.name(), 0);
        assert!(rows.len() > 50);
        assert!(rows.iter().all(|row| row["TENANT_ID"] == tenant));
    }
    assert_eq!(sink.count(DATASET, &node()).await.unwrap(), 240);
}

/// The drill through a bad network, with restarts.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_through_a_bad_network() {
    let mut snow = Snow::start().await;
    let proxy = FaultProxy::start(snow.emulator.address, 7).await.unwrap();
    snow.config.url = format!("https://{}", proxy.address());
    snow.config.run_rows = 600;
    let folder = tempfile::tempdir().unwrap();
    let drill = Drill::new(100, 7);
    drill.run(&Names(snow), &proxy, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_is_out_in_a_second_and_rows_are_seen_in_two() {
    let snow = Snow::start().await;
    snow.emulator.commit_delay(Duration::from_millis(200));
    let sink = snow.open();
    assert_eq!(sink.lag(), Duration::ZERO);
    let began = Instant::now();
    let parts = [Part::whole(sample_batch(Dataset::Spans, &node(), 1))];
    write(&sink, &parts).await;
    let (first, visible) = snow.emulator.seen();
    let (first, visible) = (first.unwrap() - began, visible.unwrap() - began);
    assert!(first <= Duration::from_secs(1), "first byte: {first:?}");
    assert!(visible <= Duration::from_secs(2), "visible: {visible:?}");
    let lag = sink.lag();
    assert!(
        Duration::from_millis(190) <= lag && lag < Duration::from_secs(2),
        "{lag:?}"
    );
    assert_eq!(sink.status().waiting, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_keep_to_four_megabytes_and_ten_a_second() {
    let mut snow = Snow::start().await;
    snow.emulator.requests_per_second(10);
    snow.config.requests_per_second = 10;
    snow.config.request_bytes = 20_000;
    let sink = snow.open();
    let began = Instant::now();
    // Fifteen requests and more.
    let big: Vec<String> = (0..60).map(|n| format!("{n}").repeat(3_000)).collect();
    let parts = [Part::whole(with_payloads(1, big))];
    let (stored, failures) = write(&sink, &parts).await;
    assert_eq!((stored, failures), (60, 0), "no request was refused");
    let appends = snow.emulator.channels()[0].1;
    assert!(appends > 10, "{appends}");
    assert!(began.elapsed() > Duration::from_secs(1));

    // Text that hardly compresses, 12 MB of it, and a row of a megabyte.
    snow.config.request_bytes = 3_900_000;
    snow.emulator.requests_per_second(100);
    let mut state = 7_u64;
    let mut noise = |bytes: usize| -> String {
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
        };
        (0..bytes).map(|_| next()).collect()
    };
    let big: Vec<String> = (0..12).map(|_| noise(1_048_576)).collect();
    let sink = snow.open();
    let parts = [Part::whole(with_payloads(2, big.clone()))];
    assert_eq!(write(&sink, &parts).await.0, 12);
    let largest = snow.emulator.largest_request();
    assert!((2_000_000..=4_000_000).contains(&largest), "{largest}");
    let rows = snow.all(DATASET);
    let found = rows.iter().filter(|row| row["_BATCH"] == "2");
    let found: Vec<&str> = found.map(|row| row["PAYLOAD"].as_str().unwrap()).collect();
    assert!(found == big, "megabytes come through as they are");
}
