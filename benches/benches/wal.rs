//! What durability costs: encoding rows into frames, appending from many senders at once, and
//! reading the log back under its checksums.
//!
//! Spans of about 535 bytes in requests of 1,000. Run with
//! `cargo bench -p weir-benches --bench wal`; rates are spans a second, for `scan` bytes a second.
//! `append` and `scan` work on the disk of the temporary folder. For the size that memory cannot
//! hide: `WEIR_BENCH_WAL_GIB=10 cargo bench -p weir-benches --bench wal -- scan`.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench fails like a test, and criterion's macros document nothing"
)]

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::{FIRST_START_NANOS, agent_request};
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_ingest::log::{Entry, Log, LogConfig, Route};
use weir_ingest::wal::{self, BlockBench};
use weir_model::{Dataset, SystemClock, TenantId};

const SPANS: usize = 1000;
const SENDERS: usize = 64;

fn spans(count: usize) -> RecordBatch {
    let at = Acceptance {
        tenant: TenantId::local(),
        received_at_us: i64::try_from(FIRST_START_NANOS / 1000).unwrap() + 60_000_000,
    };
    let body = agent_request(count);
    decode_traces(&body, OtlpEncoding::Protobuf, &at, &Limits::default())
        .unwrap()
        .rows
}

fn entry(rows: RecordBatch) -> Entry {
    Entry {
        tenant: TenantId::local(),
        route: Route::Traces,
        digest: Some([1; 16]),
        idempotency_key: None,
        answer: Vec::new(),
        rows: vec![(Dataset::Spans, rows)],
    }
}

fn config() -> LogConfig {
    LogConfig {
        budget_bytes: 256 << 30,
        retain: Duration::ZERO,
        ..LogConfig::default()
    }
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (name, requests, rows) in [
        ("1_of_1000", 1, 1000),
        ("8_of_1000", 8, 1000),
        ("100_of_10", 100, 10),
    ] {
        let parts = vec![spans(rows); requests];
        let mut bench = BlockBench::default();
        group.throughput(Throughput::Elements((requests * rows) as u64));
        group.bench_function(name, |b| b.iter(|| bench.encode(Dataset::Spans, &parts)));
        let (stored, raw) = bench.encode(Dataset::Spans, &parts);
        println!(
            "encode/{name}: {} bytes a span, {} before LZ4",
            stored / (requests * rows),
            raw / (requests * rows)
        );
    }
    group.finish();
}

fn append(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), config(), Arc::new(SystemClock)).unwrap();
    let rows = spans(SPANS);
    let mut group = c.benchmark_group("append");
    group.sample_size(10);
    group.throughput(Throughput::Elements((SENDERS * SPANS) as u64));
    group.bench_function("64_senders_of_1000", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let mut senders = tokio::task::JoinSet::new();
                for _ in 0..SENDERS {
                    let (log, rows) = (Arc::clone(&log), rows.clone());
                    senders.spawn(async move { log.append(entry(rows)).await.unwrap() });
                }
                senders.join_all().await;
            });
            // As a lake that keeps up: what is sealed is settled.
            let last = log.shared().last_sealed(Dataset::Spans);
            log.cursors().advance("lake", Dataset::Spans, last).unwrap();
        });
    });
    group.finish();
    let counters = log.status().counters;
    println!(
        "append: {:.1} requests a frame, {:.1} ms a sync, {:.2} us encoding a span",
        counters.requests as f64 / counters.frames as f64,
        counters.fsync_seconds * 1e3 / counters.frames as f64,
        counters.encode_seconds * 1e6 / counters.rows as f64,
    );
    runtime.block_on(log.close()).unwrap();
}

fn scan(c: &mut Criterion) {
    let gib: u64 = std::env::var("WEIR_BENCH_WAL_GIB")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let wanted = if gib == 0 { 256 << 20 } else { gib << 30 };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = Log::open(dir.path(), config(), Arc::new(SystemClock)).unwrap();
    let rows = spans(SPANS);
    runtime.block_on(async {
        while log.status().counters.bytes < wanted {
            let mut senders = tokio::task::JoinSet::new();
            for _ in 0..SENDERS {
                let (log, rows) = (Arc::clone(&log), rows.clone());
                senders.spawn(async move { log.append(entry(rows)).await.unwrap() });
            }
            senders.join_all().await;
        }
        log.close().await.unwrap();
    });
    drop(log);
    let bytes = wal::check(dir.path()).unwrap().bytes;
    let mut group = c.benchmark_group("scan");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("check", |b| b.iter(|| wal::check(dir.path()).unwrap()));
    group.finish();
}

criterion_group!(benches, encode, append, scan);
criterion_main!(benches);
