//! Bodies in, rows out: captured traffic, edge cases, and a second decoder as the oracle.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a helper of tests fails like a test"
)]

mod audit;
mod edge;
mod flags;
mod flat;
mod limits;
mod logs;
mod ocsf;
mod oracle;
mod property;
mod rows;
mod telemetry;
mod verdicts;

use std::path::PathBuf;

use weir_ingest::decode::otlp::{Decoded, OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, DecodeError, Limits};
use weir_model::TenantId;

/// When all requests here are received: 2026-11-20T20:54:00Z, near the samples' own times.
const RECEIVED_AT_US: i64 = 1_795_208_040_000_000;

fn at() -> Acceptance {
    Acceptance {
        tenant: TenantId::new("acme").unwrap(),
        received_at_us: RECEIVED_AT_US,
    }
}

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata")
        .join(path)
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(testdata(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} holds no *{ending}");
    files
}

fn protobuf(body: &[u8]) -> Result<Decoded, DecodeError> {
    decode_traces(body, OtlpEncoding::Protobuf, &at(), &Limits::default())
}

fn json(body: &[u8]) -> Result<Decoded, DecodeError> {
    decode_traces(body, OtlpEncoding::Json, &at(), &Limits::default())
}
