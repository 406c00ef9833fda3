//! Which node keeps the sums, and files that belong to no version: found and deleted, and no other.

use std::collections::BTreeSet;

use weir_queries::{Dimension, RollupQuestion};

use super::fixture::{Booking, DAY_START_US};
use super::tests::Site;
use super::*;
use crate::app::rig::Rig;

/// The data files in the folder of a table.
fn on_disk(site: &Site, dataset: Dataset) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![site.folder(dataset)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if shown.ends_with(".parquet") && !shown.contains("_delta_log") {
                found.insert(shown);
            }
        }
    }
    found
}

/// A process is killed after it has merged files and before it has deleted the old ones, another one
/// after it has written a file and before its commit: the next one finds what both left.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_found_and_deleted() {
    let mut site = Site::new().await;
    for number in 1..=40 {
        site.book(number, &[Booking::at(DAY_START_US + number)])
            .await;
        site.sum_up().await;
    }
    let hourly = Dataset::CostHourly;
    let named = site.files(hourly).await;
    let before = on_disk(&site, hourly);
    assert!(before.len() > named, "{} of {named}", before.len());
    // The stop: what it knew of replaced files is gone.
    site.replaced = Replaced::default();
    let stray = site
        .folder(hourly)
        .join("part_date=2026-11-20/never-committed.parquet");
    std::fs::create_dir_all(stray.parent().unwrap()).unwrap();
    std::fs::write(&stray, b"half a file").unwrap();

    let lake = Arc::clone(&site.lake);
    site.replaced.sweep(&lake, 0).await.unwrap();
    assert!(
        site.replaced.waiting.is_empty(),
        "a young file may be on its way into a commit"
    );
    site.replaced.swept = None;
    site.replaced.sweep(&lake, i64::MAX).await.unwrap();
    site.replaced.drop_old(&lake, KEPT).await;
    assert!(
        stray.try_exists().unwrap() && on_disk(&site, hourly).len() > named,
        "readers have their time"
    );
    // What is committed meanwhile stays.
    site.book(41, &[Booking::at(DAY_START_US + 41)]).await;
    site.sum_up().await;
    site.replaced.drop_old(&lake, Duration::ZERO).await;
    assert!(!stray.try_exists().unwrap());
    assert_eq!(on_disk(&site, hourly).len(), site.files(hourly).await);
    let question = RollupQuestion {
        by: vec![Dimension::Skill],
        ..RollupQuestion::default()
    };
    assert_eq!(site.ask(&question).await.totals.count("calls"), 41);
    site.replaced.sweep(&lake, i64::MAX).await.unwrap();
    assert!(
        site.replaced.waiting.is_empty(),
        "it was swept a moment ago"
    );
}

/// The node that holds the ledger's lease sums up; one that does not books nothing and sums nothing.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_node_that_books_sums_up() {
    for books in [true, false] {
        let rig = Rig::start_with(|config| config.ledger.enabled = books).await;
        let node = rig.app.node();
        let batch = fixture::ledger_batch(1, &[Booking::at(DAY_START_US)]);
        node.lakes
            .shared()
            .append(Dataset::CostLedger, &[batch])
            .await
            .unwrap();
        let holds = || node.booking.as_ref().is_some_and(|b| b.books() == [true]);
        let began = Instant::now();
        while books && !holds() {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the lease was not taken"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for done in turn(node, &mut [Replaced::default()]).await {
            done.unwrap();
        }
        for grain in Grain::ALL {
            let sums = node.lakes.shared().snapshot(grain.dataset()).await.unwrap();
            assert_eq!(
                !sums.files().is_empty(),
                books,
                "{}",
                grain.dataset().name()
            );
        }
        let answer = rig.get("/v1/rollups/cost-per-skill?since=all").await;
        assert_eq!(answer.status, 200);
        rig.app.stop().await.unwrap();
    }
}
