//! What the mapping and the price cost beside decoding: spans of about 535 bytes in bodies of 1,000.
//!
//! Run with `cargo bench -p weir-benches --bench enrich`; rates are spans a second on one core. The
//! target is 800,000 a second for both together.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a bench fails like a test, and criterion's macros document nothing"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::{FIRST_START_NANOS, agent_request};
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_model::TenantId;
use weir_transforms::Enricher;

const SPANS: usize = 1000;

fn enrich(c: &mut Criterion) {
    let body = agent_request(SPANS);
    let limits = Limits::default();
    let enricher = Enricher::standard().unwrap();
    let at = Acceptance {
        tenant: TenantId::local(),
        received_at_us: i64::try_from(FIRST_START_NANOS / 1000).unwrap() + 60_000_000,
    };
    let decode = || decode_traces(black_box(&body), OtlpEncoding::Protobuf, &at, &limits).unwrap();
    let rows = decode().rows;
    let mut group = c.benchmark_group("spans");
    group.throughput(Throughput::Elements(SPANS as u64));
    group.bench_function("enrich", |b| {
        b.iter_batched(
            || rows.clone(),
            |rows| enricher.enrich_spans(rows).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("decode_and_enrich", |b| {
        b.iter(|| enricher.enrich_spans(decode().rows).unwrap());
    });
    group.finish();
}

criterion_group!(benches, enrich);
criterion_main!(benches);
