//! Logs that released versions wrote are read for ever.
//!
//! `testdata/wal/v1` was written by the first layout, `v2` by the second: a segment with three frames of rows
//! (numbers 0 to 8 in two datasets), their seals, and a sink's cursor. It is copied before it is opened, since
//! opening begins a run. `WEIR_WRITE_FIXTURE=<folder>` writes one of the present layout there.

#![cfg(test)]

#[path = "../../tests/support/folder.rs"]
mod folder;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use folder::copy;
use rows::{entry, numbers};
use weir_ingest::log::{Core, LogConfig, Route};
use weir_ingest::wal::{self, Disk};
use weir_model::clock::FixedClock;
use weir_model::{Dataset, TenantId};

const WRITTEN_AT_US: i64 = 1_795_000_000_000_000;
const DATASETS: [Dataset; 2] = [Dataset::RejectedEvents, Dataset::OcsfEvents];

fn open(dir: &Path) -> (Core, usize) {
    let config = LogConfig {
        segment_bytes: 4096,
        reserve_bytes: 0,
        ..LogConfig::default()
    };
    let clock = Arc::new(FixedClock::at(WRITTEN_AT_US));
    let (core, report, requests) = Core::open(Arc::new(Disk::new(dir)), config, clock).unwrap();
    assert!(report.lost.is_empty() && report.quarantined.is_empty());
    assert!(
        requests
            .iter()
            .all(|r| r.route == Route::Ocsf && r.digest == Some([3; 16]))
    );
    assert!(
        requests
            .iter()
            .all(|r| r.tenant == TenantId::local() && !r.answer.is_empty())
    );
    (core, requests.len())
}

/// Three frames; the first batch of each dataset is sealed after two of them.
fn write(dir: &Path) {
    let (mut core, _) = open(dir);
    for i in 0..3_i64 {
        let these: Vec<i64> = (i * 3..i * 3 + 3).collect();
        let parts = DATASETS.map(|d| (d, rows::rows(d, &these)));
        core.commit(&[entry(parts.to_vec()).into()], Duration::ZERO)
            .pop()
            .unwrap()
            .unwrap();
        if i == 1 {
            core.seal(Duration::ZERO, true).unwrap();
            core.shared()
                .cursors()
                .advance("lake", DATASETS[0], 1)
                .unwrap();
        }
    }
    core.close(Duration::ZERO).unwrap();
}

/// What a log written by [`write`] must say.
fn assert_reads(dir: &Path) {
    let report = wal::check(dir).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.requests), (18, 3));
    let (core, requests) = open(dir);
    assert_eq!(requests, 3);
    let shared = core.shared();
    for dataset in DATASETS {
        let batches = shared.take(dataset, 0, usize::MAX, usize::MAX).unwrap();
        let rows: Vec<Vec<i64>> = batches.iter().map(|b| numbers(dataset, b.rows())).collect();
        assert_eq!(rows, [(0..6).collect::<Vec<_>>(), (6..9).collect()]);
    }
    assert_eq!(shared.cursors().get("lake", DATASETS[0]), 1);
    let accepted: u64 = shared
        .status()
        .datasets
        .iter()
        .map(|d| d.accepted_rows)
        .sum();
    assert_eq!(accepted, 18);
}

#[test]
fn a_log_of_each_layout_reads_as_it_was_written() {
    for layout in ["v1", "v2"] {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/wal");
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture.join(layout), dir.path());
        assert_reads(dir.path());
    }
}

#[test]
fn what_is_written_today_reads_alike() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    assert_reads(dir.path());
    if let Some(target) = std::env::var_os("WEIR_WRITE_FIXTURE") {
        let fresh = tempfile::tempdir().unwrap();
        write(fresh.path());
        copy(fresh.path(), Path::new(&target));
    }
}

/// Every dataset that comes through the log, also those that came with a later schema.
#[test]
fn each_received_dataset_is_read_back_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let these: Vec<i64> = (0..7).collect();
    let (mut core, _) = open(dir.path());
    let parts = Dataset::RECEIVED.map(|d| (d, rows::rows(d, &these)));
    let committed = core.commit(&[entry(parts.to_vec()).into()], Duration::ZERO);
    assert!(committed.iter().all(Result::is_ok), "{committed:?}");
    core.close(Duration::ZERO).unwrap();
    drop(core);
    let (mut core, _) = open(dir.path());
    core.seal(Duration::ZERO, true).unwrap();
    for dataset in Dataset::RECEIVED {
        let taken = core.shared().take(dataset, 0, usize::MAX, usize::MAX);
        let batches = taken.unwrap();
        assert_eq!(numbers(dataset, batches[0].rows()), these, "{dataset}");
    }
}

#[test]
fn a_log_of_a_newer_layout_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let segment = dir.path().join("wal/0000000000000001.wal");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8] = 3;
    let crc = crc32c::crc32c(&bytes[..124]);
    bytes[124..128].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&segment, &bytes).unwrap();
    assert!(matches!(
        wal::check(dir.path()),
        Err(wal::WalError::Newer { version: 3, .. })
    ));
    let config = LogConfig::default();
    let opened = Core::open(
        Arc::new(Disk::new(dir.path())),
        config,
        Arc::new(FixedClock::at(1)),
    );
    assert!(opened.is_err());
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}
