//! Sealed spans into a Parquet file in memory: what one core of the lake sink can do.
//!
//! `cargo bench -p weir-benches --bench parquet`. The spans are those of the generator, decoded and
//! enriched, so that columns are filled as they are in life. Throughput is in spans a second.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "criterion's main has no docs, and a bench may stop at once and talk"
)]

use std::hint::black_box;

use arrow_array::RecordBatch;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::agent_request;
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_lake::{Partition, encode};
use weir_model::{Batch, BatchId, Dataset, NodeId, TenantId};
use weir_transforms::Enricher;

/// Spans of a flush, and of each batch in it.
const SPANS: usize = 131_072;
const BATCH: usize = 16_384;
/// 2026-11-21.
const NOW_US: i64 = 1_795_219_200_000_000;

fn batches() -> Vec<RecordBatch> {
    let at = Acceptance {
        tenant: TenantId::local(),
        received_at_us: NOW_US,
    };
    let enricher = Enricher::standard().expect("the mapping that is compiled in");
    let body = agent_request(BATCH);
    let decoded = decode_traces(&body, OtlpEncoding::Protobuf, &at, &Limits::default());
    let rows = decoded.expect("the generator's own spans").rows;
    let rows = enricher.enrich_spans(rows).expect("decoded rows");
    let count = i64::try_from(SPANS / BATCH).expect("a few");
    let sealed = (1..=count).map(|number| {
        let id = BatchId {
            node: NodeId::from_bits(1),
            dataset: Dataset::Spans,
            number,
        };
        Batch::seal(id, &rows).expect("rows to seal").rows().clone()
    });
    sealed.collect()
}

fn parquet(criterion: &mut Criterion) {
    let batches = batches();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let files = encode(Dataset::Spans, &batches, Partition::DateAndTenant).expect("good rows");
    let bytes: usize = files.iter().map(|f| f.bytes.len()).sum();
    eprintln!(
        "{rows} spans, {} bytes a span in Parquet",
        bytes / rows.max(1)
    );
    let mut group = criterion.benchmark_group("parquet");
    group.sample_size(10);
    group.throughput(Throughput::Elements(rows as u64));
    group.bench_function("encode", |b| {
        b.iter(|| {
            encode(
                Dataset::Spans,
                black_box(&batches),
                Partition::DateAndTenant,
            )
        });
    });
    group.finish();
}

criterion_group!(benches, parquet);
criterion_main!(benches);
