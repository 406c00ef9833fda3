//! The log as the program uses it: threads, waiting, limits, restarts.

#![cfg(test)]

mod rows;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rows::{entry, numbers};
use weir_ingest::log::{AppendError, Log, LogConfig, OpenError};
use weir_model::clock::FixedClock;
use weir_model::source::Want;
use weir_model::{Batch, BatchSource, Dataset, RecentRows, SourceError};

const DATASET: Dataset = Dataset::RejectedEvents;
const ALL: Want = Want {
    rows_max: usize::MAX,
    bytes_max: usize::MAX,
    gather: Duration::ZERO,
};

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 64 * 1024,
        reserve_bytes: 4096,
        budget_bytes: 64 * 1024 * 1024,
        batch_age: Duration::from_millis(20),
        retain: Duration::ZERO,
        ..LogConfig::default()
    }
}

fn open(dir: &Path, config: LogConfig) -> Arc<Log> {
    Log::open(dir, config, Arc::new(FixedClock::at(1_000)))
        .unwrap()
        .0
}

async fn append(log: &Log, these: &[i64]) -> Result<(), AppendError> {
    log.append(entry(vec![(DATASET, rows::rows(DATASET, these))]))
        .await
        .map(|_| ())
}

/// All sealed batches behind `after`.
async fn sealed(log: &Log, after: i64) -> Vec<Batch> {
    let mut out: Vec<Batch> = Vec::new();
    loop {
        let last = out.last().map_or(after, |b| b.id().number);
        if last >= log.last_sealed(DATASET) {
            return out;
        }
        out.extend(log.next(DATASET, last, ALL).await.unwrap());
    }
}

fn all_numbers(batches: &[Batch]) -> Vec<i64> {
    batches
        .iter()
        .flat_map(|b| numbers(DATASET, b.rows()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_senders_share_frames_and_every_row_is_found_once_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), config());
    let senders = (0..64_i64).map(|sender| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for i in 0..8 {
                append(&log, &[sender * 100 + i * 2, sender * 100 + i * 2 + 1])
                    .await
                    .unwrap();
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let counters = log.status().counters;
    assert_eq!((counters.requests, counters.rows), (512, 1024));
    assert!(counters.frames < 512, "no two requests shared a frame");
    assert_eq!(
        log.status()
            .datasets
            .iter()
            .map(|d| d.accepted_rows)
            .sum::<u64>(),
        1024
    );
    log.close().await.unwrap();
    assert!(matches!(append(&log, &[1]).await, Err(AppendError::Closed)));
    drop(log);
    let log = open(dir.path(), config());
    let mut found = all_numbers(&sealed(&log, 0).await);
    found.sort_unstable();
    let expected = (0..64).flat_map(|s| (0..16).map(move |i| s * 100 + i));
    assert!(found.into_iter().eq(expected));
    assert_eq!(
        log.status()
            .datasets
            .iter()
            .map(|d| d.accepted_rows)
            .sum::<u64>(),
        1024
    );
    assert_eq!(log.recent_requests().count(), 512);
}

/// Sends rows one by one and says up to which they are accepted.
async fn send(log: Arc<Log>, acked: Arc<std::sync::atomic::AtomicI64>, rows: i64) {
    for number in 0..rows {
        append(&log, &[number]).await.unwrap();
        acked.store(number + 1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_each_row_once_while_rows_come_and_go_to_the_lake() {
    const ROWS: i64 = 600;
    let dir = tempfile::tempdir().unwrap();
    // No memory for recent rows: every query reads frames.
    let log = open(
        dir.path(),
        LogConfig {
            recent_bytes_max: 0,
            batch_rows_max: 10,
            ..config()
        },
    );
    let lake: Arc<Mutex<(i64, Vec<i64>)>> = Arc::default();
    let acked = Arc::new(std::sync::atomic::AtomicI64::new(0));
    let flusher = tokio::spawn({
        let (log, lake) = (Arc::clone(&log), Arc::clone(&lake));
        async move {
            let mut stored = 0;
            while stored < ROWS {
                let after = lake.lock().0;
                for batch in log.next(DATASET, after, ALL).await.unwrap() {
                    let rows = numbers(DATASET, batch.rows());
                    stored += rows.len() as i64;
                    let mut lake = lake.lock();
                    lake.0 = batch.id().number;
                    lake.1.extend(rows);
                }
                let committed = lake.lock().0;
                let cursors = log.cursors();
                let moved = tokio::task::spawn_blocking(move || {
                    cursors.advance("lake", DATASET, committed)
                });
                moved.await.unwrap().unwrap();
            }
        }
    });
    let sender = tokio::spawn(send(Arc::clone(&log), Arc::clone(&acked), ROWS));
    let mut looks = 0;
    while !flusher.is_finished() {
        let promised = acked.load(std::sync::atomic::Ordering::SeqCst);
        let pinned = log.pin(DATASET);
        let (committed, mut seen) = lake.lock().clone();
        let recent = tokio::task::spawn_blocking(move || {
            let blocks = pinned
                .blocks
                .iter()
                .filter(|block| block.batch() > committed);
            let read = blocks.flat_map(|block| block.read().unwrap());
            read.flat_map(|rows| numbers(DATASET, &rows))
                .collect::<Vec<i64>>()
        });
        seen.extend(recent.await.unwrap());
        let unique: BTreeSet<i64> = seen.iter().copied().collect();
        assert_eq!(unique.len(), seen.len(), "a row is seen twice");
        assert!(
            (0..promised).all(|n| unique.contains(&n)),
            "an accepted row is not seen"
        );
        looks += 1;
        tokio::task::yield_now().await;
    }
    sender.await.unwrap();
    flusher.await.unwrap();
    assert!(looks > 3);
    assert_eq!(log.pin(DATASET).blocks.len(), 0);
}

#[tokio::test]
async fn a_batch_is_the_same_from_memory_from_disk_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let small = LogConfig {
        batch_rows_max: 7,
        batch_age: Duration::from_secs(60),
        ..config()
    };
    let log = open(dir.path(), small.clone());
    for i in 0..30 {
        append(&log, &[i * 2, i * 2 + 1]).await.unwrap();
    }
    log.seal_now().await.unwrap();
    let first = sealed(&log, 0).await;
    assert!(first.iter().all(|b| b.rows().num_rows() <= 7));
    assert_eq!(all_numbers(&first), (0..60).collect::<Vec<_>>());
    append(&log, &[200]).await.unwrap();
    let open_batch = log.pin(DATASET).blocks.last().map(|b| b.batch());
    drop(log.close().await);
    drop(log);
    let log = open(
        dir.path(),
        LogConfig {
            recent_bytes_max: 0,
            ..small
        },
    );
    let again = sealed(&log, 0).await;
    let same = first
        .iter()
        .zip(&again)
        .all(|(a, b)| a.id() == b.id() && a.rows() == b.rows());
    assert!(same, "a batch changed");
    assert_eq!(
        again.last().map(|b| b.id().number),
        open_batch,
        "a row's number changed"
    );
}

#[tokio::test]
async fn a_second_opener_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), config());
    let second = Log::open(dir.path(), config(), Arc::new(FixedClock::at(1)));
    assert!(matches!(second, Err(OpenError::InUse)));
    append(&log, &[1]).await.unwrap();
    log.close().await.unwrap();
    open(dir.path(), config());
}

#[tokio::test]
async fn a_full_budget_refuses_and_recovers_by_itself_when_the_sink_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let tight = LogConfig {
        segment_bytes: 8192,
        budget_bytes: 3 * 8192,
        retry_after: Duration::from_millis(10),
        // The grace must not stand in the way of new rows.
        retain: Duration::from_secs(600),
        ..config()
    };
    let log = open(dir.path(), tight);
    let mut taken = 0;
    let refused = loop {
        match append(&log, &[taken]).await {
            Ok(()) => taken += 1,
            Err(e) => break e,
        }
        assert!(taken < 10_000, "the budget is never reached");
    };
    assert!(matches!(refused, AppendError::Full { retry_after } if !retry_after.is_zero()));
    assert!(log.status().full && log.status().counters.refused_full > 0);
    log.seal_now().await.unwrap();
    let batches = sealed(&log, 0).await;
    assert_eq!(all_numbers(&batches), (0..taken).collect::<Vec<_>>());
    let last = batches.last().unwrap().id().number;
    log.cursors().advance("lake", DATASET, last).unwrap();
    // The writer deletes segments when it next wakes.
    while append(&log, &[taken]).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(!log.status().full);
}

#[tokio::test]
async fn segments_wait_for_every_required_sink_and_for_readers() {
    let dir = tempfile::tempdir().unwrap();
    let two = LogConfig {
        segment_bytes: 8192,
        required_sinks: vec!["clickhouse".to_owned()],
        batch_age: Duration::from_secs(60),
        ..config()
    };
    let log = open(dir.path(), two);
    for i in 0..200 {
        append(&log, &[i]).await.unwrap();
    }
    log.seal_now().await.unwrap();
    let full = log.status().segments;
    assert!(full > 2);
    let last = log.last_sealed(DATASET);
    let cursors = log.cursors();
    let pinned = log.pin(DATASET);
    cursors.advance("lake", DATASET, last).unwrap();
    append(&log, &[200]).await.unwrap();
    assert_eq!(
        log.status().segments,
        full,
        "deleted though clickhouse has nothing"
    );
    cursors.advance("clickhouse", DATASET, last).unwrap();
    append(&log, &[201]).await.unwrap();
    log.seal_now().await.unwrap();
    assert_eq!(log.status().segments, full, "deleted beneath a reader");
    let rows: usize = pinned.blocks.iter().map(|b| b.rows()).sum();
    let read: Vec<_> = pinned
        .blocks
        .iter()
        .flat_map(|b| b.read().unwrap())
        .collect();
    assert_eq!(
        (rows, read.iter().map(|r| r.num_rows()).sum::<usize>()),
        (200, 200)
    );
    drop(pinned);
    cursors
        .advance("lake", DATASET, log.last_sealed(DATASET))
        .unwrap();
    while log.status().segments >= full {
        append(&log, &[202]).await.unwrap();
    }
}

#[tokio::test]
async fn a_sink_that_is_ahead_makes_the_node_take_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), config());
    let old = log.node();
    append(&log, &[1]).await.unwrap();
    log.seal_now().await.unwrap();
    assert_eq!(log.adopt_high_water(DATASET, 1).await.unwrap(), None);
    let new = log.adopt_high_water(DATASET, 9).await.unwrap().unwrap();
    assert_ne!(new, old);
    append(&log, &[2]).await.unwrap();
    log.seal_now().await.unwrap();
    // A run is of one node.
    let first = log.next(DATASET, 0, ALL).await.unwrap();
    let second = log.next(DATASET, 1, ALL).await.unwrap();
    assert_eq!((&first[0].id().node, &second[0].id().node), (&old, &new));
    assert_eq!(first.len(), 1);
    log.close().await.unwrap();
    drop(log);
    let log = open(dir.path(), config());
    assert_eq!(log.node(), new);
    let again = log.next(DATASET, 0, ALL).await.unwrap();
    assert_eq!(again[0].id().node, old);
}

#[tokio::test]
async fn closing_wakes_those_who_wait_for_batches_and_gives_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), config());
    append(&log, &[1]).await.unwrap();
    log.seal_now().await.unwrap();
    let waiting = tokio::spawn({
        let log = Arc::clone(&log);
        async move { log.next(DATASET, 1, ALL).await }
    });
    log.close().await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(SourceError::Closed)));
    assert_eq!(log.next(DATASET, 0, ALL).await.unwrap().len(), 1);
}

#[tokio::test]
async fn rows_of_another_schema_and_requests_beyond_a_frame_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(
        dir.path(),
        LogConfig {
            frame_bytes_max: 4096,
            ..config()
        },
    );
    let wrong = entry(vec![(Dataset::Spans, rows::rows(DATASET, &[1]))]);
    assert!(matches!(
        log.append(wrong).await,
        Err(AppendError::Rows { .. })
    ));
    let large: Vec<i64> = (0..5_000).map(|n| n * 7_919).collect();
    assert!(matches!(
        append(&log, &large).await,
        Err(AppendError::TooLarge { .. })
    ));
    append(&log, &[1]).await.unwrap();
}

#[tokio::test]
async fn a_request_larger_than_a_segment_gets_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(
        dir.path(),
        LogConfig {
            segment_bytes: 8192,
            ..config()
        },
    );
    let large: Vec<i64> = (0..5_000).map(|n| n * 7_919).collect();
    append(&log, &[1]).await.unwrap();
    append(&log, &large).await.unwrap();
    append(&log, &[2]).await.unwrap();
    log.close().await.unwrap();
    drop(log);
    let log = open(dir.path(), config());
    assert_eq!(all_numbers(&sealed(&log, 0).await).len(), 5_002);
}
