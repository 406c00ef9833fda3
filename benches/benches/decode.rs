//! Which way of reading OTLP is fast enough: `prost`'s structs, which still have to become rows,
//! against the walk that makes the rows at once.
//!
//! Spans of about 535 bytes in bodies of 1,000, as agents send them. Run with
//! `cargo bench -p weir-benches --bench decode`; rates are spans a second on one core.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench fails like a test, and criterion's macros document nothing"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use weir_benches::{FIRST_START_NANOS, agent_message, agent_request, agent_request_json};
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_model::TenantId;

const SPANS: usize = 1000;

fn acceptance() -> Acceptance {
    Acceptance {
        tenant: TenantId::local(),
        received_at_us: i64::try_from(FIRST_START_NANOS / 1000).unwrap() + 60_000_000,
    }
}

fn protobuf(c: &mut Criterion) {
    let body = agent_request(SPANS);
    let at = acceptance();
    let limits = Limits::default();
    let mut group = c.benchmark_group("protobuf");
    group.throughput(Throughput::Elements(SPANS as u64));
    group.bench_function("prost_structs_only", |b| {
        b.iter(|| ExportTraceServiceRequest::decode(black_box(body.as_slice())).unwrap());
    });
    group.bench_function("weir_rows", |b| {
        b.iter(|| decode_traces(black_box(&body), OtlpEncoding::Protobuf, &at, &limits).unwrap());
    });
    group.finish();
}

fn json(c: &mut Criterion) {
    let body = agent_request_json(SPANS);
    let at = acceptance();
    let limits = Limits::default();
    let mut group = c.benchmark_group("json");
    group.throughput(Throughput::Elements(SPANS as u64));
    group.bench_function("opentelemetry_proto_structs_only", |b| {
        b.iter(|| serde_json::from_slice::<ExportTraceServiceRequest>(black_box(&body)).unwrap());
    });
    group.bench_function("weir_rows", |b| {
        b.iter(|| decode_traces(black_box(&body), OtlpEncoding::Json, &at, &limits).unwrap());
    });
    group.finish();
}

/// Security events, checked against their schema and made rows: one that holds, one that does not.
fn ocsf(c: &mut Criterion) {
    let cases = include_str!("../../testdata/ocsf/cases.json");
    let cases: serde_json::Value = serde_json::from_str(cases).unwrap();
    let event = &cases["bases"]["api"];
    let mut broken = event.clone();
    broken["severity_id"] = "high".into();
    let at = acceptance();
    let limits = Limits::default();
    let mut group = c.benchmark_group("ocsf");
    group.throughput(Throughput::Elements(SPANS as u64));
    for (name, event) in [("sound", event), ("broken", &broken)] {
        let body = vec![event.to_string(); SPANS].join("\n");
        group.bench_function(name, |b| {
            b.iter(|| {
                weir_ingest::decode::ocsf::decode(black_box(body.as_bytes()), &at, &limits).unwrap()
            });
        });
    }
    group.finish();
}

/// What the content key alone costs.
fn content_key(c: &mut Criterion) {
    let spans: Vec<Vec<u8>> = agent_message(SPANS)
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .map(Message::encode_to_vec)
        .collect();
    let key = [7; 32];
    let mut group = c.benchmark_group("content_key");
    group.throughput(Throughput::Elements(SPANS as u64));
    group.bench_function("blake3_keyed", |b| {
        b.iter(|| {
            for span in &spans {
                black_box(blake3::keyed_hash(&key, black_box(span)));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, protobuf, json, ocsf, content_key);
criterion_main!(benches);
