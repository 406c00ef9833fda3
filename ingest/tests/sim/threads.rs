//! The log with its threads on the disk that lies.

use std::sync::Arc;
use std::time::Duration;

use weir_ingest::log::{AppendError, Log, LogConfig};
use weir_model::clock::FixedClock;
use weir_model::source::Want;
use weir_model::{BatchSource, Dataset};

use super::disk::{Faults, SimDisk};
use crate::rows::{entry, numbers, rows};

const DATASET: Dataset = Dataset::RejectedEvents;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 64 * 1024,
        reserve_bytes: 4096,
        budget_bytes: 64 * 1024 * 1024,
        batch_age: Duration::from_secs(60),
        ..LogConfig::default()
    }
}

async fn append(log: &Log, these: &[i64]) -> Result<(), AppendError> {
    log.append(entry(vec![(DATASET, rows(DATASET, these))]))
        .await
        .map(|_| ())
}

#[tokio::test]
async fn what_a_crash_leaves_open_is_sealed_under_its_number_and_new_rows_get_the_next() {
    let disk = SimDisk::new(1, 4 * 1024 * 1024);
    let clock = Arc::new(FixedClock::at(1_000));
    let (log, _) = Log::open_on(Arc::new(disk.clone()), config(), Arc::clone(&clock) as _).unwrap();
    append(&log, &[1, 2]).await.unwrap();
    // The machine stops: nothing that the old process does reaches the disk any more.
    disk.stop();
    assert!(append(&log, &[3]).await.is_err());
    log.close().await.unwrap_err();
    drop(log);
    disk.restart(true);
    let (log, report) = Log::open_on(Arc::new(disk), config(), clock).unwrap();
    assert_eq!(report.resealed_rows, 2);
    append(&log, &[4]).await.unwrap();
    log.seal_now().await.unwrap();
    let all = Want {
        rows_max: usize::MAX,
        bytes_max: usize::MAX,
        gather: Duration::ZERO,
    };
    let batches = log.next(DATASET, 0, all).await.unwrap();
    let rows: Vec<Vec<i64>> = batches.iter().map(|b| numbers(DATASET, b.rows())).collect();
    assert_eq!(rows, [vec![1, 2], vec![4]]);
}

#[tokio::test]
async fn a_failed_sync_refuses_all_and_asks_for_the_end() {
    let disk = SimDisk::new(3, 4 * 1024 * 1024);
    let clock = Arc::new(FixedClock::at(1));
    let (log, _) = Log::open_on(Arc::new(disk.clone()), config(), clock).unwrap();
    append(&log, &[1]).await.unwrap();
    disk.set_faults(Faults {
        sync_error: 1,
        ..Faults::default()
    });
    assert!(matches!(append(&log, &[2]).await, Err(AppendError::Broken)));
    log.on_failure().await;
    disk.set_faults(Faults::default());
    assert!(
        matches!(append(&log, &[3]).await, Err(AppendError::Broken)),
        "a sync was retried"
    );
    assert!(log.status().broken);
}
