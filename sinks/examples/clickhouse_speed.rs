//! How fast spans go from sealed batches into ClickHouse, and what that costs this process, beside
//! a bare client that makes the same inserts.
//!
//! ```text
//! WEIR_TEST_CLICKHOUSE_URL=http://127.0.0.1:8123 cargo run --release --package weir-sinks \
//!     --example clickhouse_speed -- [none|lz4|zstd]
//! ```
//!
//! Rows: 65,536 spans a batch in the whole schema of spans, a third of its optional texts filled,
//! 9 attributes of the span and 4 of its resource. Each round takes a database of its own, which
//! it drops.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a program for a person at a desk"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use clickhouse::Client;
use clickhouse_ext_arrow::ArrowClientExt;
use weir_model::schema::{Column, ColumnType};
use weir_model::{Batch, BatchId, Dataset, NodeId};
use weir_sinks::clickhouse::{ClickHouseConfig, ClickHouseSink, Compression, ddl};
use weir_sinks::{Part, Sink};

const ROWS: usize = 65_536;
const BATCHES: u16 = 16;
const ROUNDS: u32 = 3;
/// Ticks of the kernel's account of a process: 100 a second on every Linux of today.
const TICK: Duration = Duration::from_millis(10);
/// 2026-01-01 in days.
const DAY: i32 = 20_454;

/// What this process has used of the processors.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    TICK * ticks
}

fn attributes(rows: usize, entries: usize) -> ArrayRef {
    let names = MapFieldNames {
        entry: "key_value".to_owned(),
        key: "key".to_owned(),
        value: "value".to_owned(),
    };
    let (keys, values) = (StringBuilder::new(), StringBuilder::new());
    let mut map = MapBuilder::new(Some(names), keys, values);
    for row in 0..rows {
        for n in 0..entries {
            map.keys()
                .append_value(format!("gen_ai.some.attribute.{n}"));
            map.values()
                .append_value(format!("value {}", (row * (n + 1)) % 997));
        }
        map.append(true).unwrap();
    }
    Arc::new(map.finish())
}

fn text(column: &Column, place: usize, rows: usize, number: i64) -> ArrayRef {
    let value = |row: usize| match column.name {
        "tenant_id" => "acme".to_owned(),
        "trace_id" => format!(
            "{:032x}",
            ((number as u128) << 64) | ((row / 12) as u128 * 0x9e37_79b9)
        ),
        "span_id" | "parent_span_id" => format!("{:016x}", row as u64 * 0x9e37_79b9_7f4a),
        "content_key" => format!("{:032x}", row as u128 * 0x9e37_79b9_7f4a_7c15_85eb),
        name => format!("{name} {}", row % 37),
    };
    let filled = !column.nullable || place.is_multiple_of(3);
    Arc::new(StringArray::from_iter(
        (0..rows).map(|row| filled.then(|| value(row))),
    ))
}

fn spans(number: i64) -> Part {
    let schema = Dataset::Spans.accepted_schema();
    let columns = Dataset::Spans.columns().iter().take(schema.fields().len());
    let start = i64::from(DAY) * 86_400_000_000 + number * 1_000_000;
    let arrays = columns.enumerate().map(|(place, column)| -> ArrayRef {
        if column.kind == ColumnType::Text {
            text(column, place, ROWS, number)
        } else if column.kind == ColumnType::Time {
            let times = (0..ROWS as i64).map(|row| start + row * 15);
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
        } else if column.kind == ColumnType::Date {
            Arc::new(Date32Array::from(vec![DAY; ROWS]))
        } else if column.kind == ColumnType::Int64 && column.name.ends_with("tokens") {
            Arc::new(Int64Array::from_iter_values(
                (0..ROWS as i64).map(|row| row % 4_096),
            ))
        } else if column.name == "attributes" {
            attributes(ROWS, 9)
        } else if column.name == "resource_attributes" {
            attributes(ROWS, 4)
        } else {
            new_null_array(&column.kind.arrow(), ROWS)
        }
    });
    let rows = RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).unwrap();
    let id = BatchId {
        node: NodeId::from_bits(1),
        dataset: Dataset::Spans,
        number,
    };
    Part::whole(Batch::seal(id, &rows).unwrap())
}

struct Measured {
    rows_per_second: f64,
    cpu_per_million: f64,
}

fn measured(began: Instant, used: Duration) -> Measured {
    let rows = ROWS as f64 * f64::from(BATCHES);
    Measured {
        rows_per_second: rows / began.elapsed().as_secs_f64(),
        cpu_per_million: (cpu() - used).as_secs_f64() / rows * 1e6,
    }
}

async fn of_sink(config: &ClickHouseConfig, run: &[Part]) -> Measured {
    let sink = ClickHouseSink::new("speed", config.clone()).unwrap();
    sink.probe().await.unwrap();
    let (began, used) = (Instant::now(), cpu());
    for part in run {
        let receipt = sink.write(std::slice::from_ref(part)).await.unwrap();
        assert_eq!(receipt.rows, ROWS as u64);
    }
    measured(began, used)
}

async fn of_bare_client(config: &ClickHouseConfig, client: &Client, run: &[Part]) -> Measured {
    for statement in ddl(config).split(";\n").filter(|s| !s.trim().is_empty()) {
        client.query_raw(statement).execute().await.unwrap();
    }
    // The two lists of structs have one member more in the table; they are empty here.
    let keep: Vec<usize> = Dataset::Spans
        .columns()
        .iter()
        .enumerate()
        .filter(|(_, c)| !matches!(c.kind, ColumnType::SpanEvents | ColumnType::SpanLinks))
        .map(|(at, _)| at)
        .collect();
    let (began, used) = (Instant::now(), cpu());
    for part in run {
        let rows = part.rows().project(&keep).unwrap();
        let client = client
            .clone()
            .with_database(&config.database)
            .with_setting("async_insert", "0")
            .with_setting("wait_end_of_query", "1")
            .with_setting("insert_deduplication_token", part.id().to_string());
        let mut insert = client.insert_arrow("spans").unwrap();
        insert.write(&rows).await.unwrap();
        insert.end().await.unwrap();
    }
    measured(began, used)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let url = std::env::var("WEIR_TEST_CLICKHOUSE_URL").expect("WEIR_TEST_CLICKHOUSE_URL is set");
    let (compression, wire) = match std::env::args().nth(1).as_deref() {
        Some("lz4") => (Compression::Lz4, clickhouse::Compression::Lz4),
        Some("zstd") => (Compression::Zstd, clickhouse::Compression::Zstd(1)),
        _ => (Compression::None, clickhouse::Compression::None),
    };
    let client = Client::default().with_url(&url).with_compression(wire);
    let run: Vec<Part> = (1..=i64::from(BATCHES)).map(spans).collect();
    let bytes = run[0].rows().get_array_memory_size() / ROWS;
    println!(
        "{} spans of {} columns, about {bytes} bytes each in memory, {compression:?}",
        ROWS * run.len(),
        run[0].rows().num_columns()
    );
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let config = |kind: &str| ClickHouseConfig {
            url: url.clone(),
            database: format!("weir_speed_{kind}_{round}"),
            compression,
            ..ClickHouseConfig::default()
        };
        let (bare, sink) = (config("bare"), config("sink"));
        let by_client = of_bare_client(&bare, &client, &run).await;
        let by_sink = of_sink(&sink, &run).await;
        for (who, it) in [("bare client", &by_client), ("the sink", &by_sink)] {
            let (rows, cpu) = (it.rows_per_second, it.cpu_per_million);
            println!(
                "round {round}: {who:<11} {rows:>9.0} rows/s, {cpu:.2} CPU-s per million rows"
            );
        }
        ratios.push(by_sink.rows_per_second / by_client.rows_per_second);
        for config in [bare, sink] {
            let drop = format!("DROP DATABASE {}", config.database);
            client.query_raw(&drop).execute().await.unwrap();
        }
    }
    println!("rows a second as a ratio to the bare client: {ratios:.2?}");
}
