//! Whatever the order, the batches, the nodes and the stops: the ledger's sums are those of the
//! computation once over all spans.

#![cfg(test)]

#[path = "exact/events.rs"]
mod events;
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use parking_lot::Mutex;
use rig::{Dice, Span, World, once, settle, traffic};
use weir_ledger::{LedgerError, account};

/// Stops at a random pass through a random place.
fn stop_sometimes(dice: u64) -> weir_ledger::StopHere {
    let dice = Mutex::new(Dice::new(dice));
    Arc::new(move |_| dice.lock().one_in(6))
}

async fn one_world(seed: u64) {
    let mut dice = Dice::new(seed);
    let mut world = World::new();
    let count = 3 + dice.roll(12);
    let mut spans = traffic(&mut dice, count);
    dice.shuffle(&mut spans);
    let lake = world.lake().await;
    let all = spans.clone();
    let mut left = spans.as_slice();
    let mut ledgers = Vec::new();
    for name in ["one", "two"] {
        ledgers.push(
            world
                .stopping(name, stop_sometimes(seed ^ name.len() as u64))
                .await,
        );
    }
    while !left.is_empty() {
        let some = usize::try_from(1 + dice.roll(9)).unwrap().min(left.len());
        let (now, later) = left.split_at(some);
        left = later;
        world.append(&lake, 1 + dice.roll(2), now).await;
        if dice.one_in(2) {
            let which = usize::try_from(dice.roll(2)).unwrap();
            for _ in 0..dice.roll(3) {
                match ledgers[which].step().await {
                    Ok(_) => {}
                    Err(LedgerError::Stopped { .. }) => {
                        // The process has died; another is started, sometimes on a fresh disk.
                        let name = ["one", "two"][which];
                        if dice.one_in(4) {
                            let _ = std::fs::remove_dir_all(world.folder(name));
                        }
                        let stop = stop_sometimes(dice.roll(u64::MAX));
                        ledgers[which] = world.stopping(name, stop).await;
                    }
                    Err(error) => panic!("seed {seed}: {error:?}"),
                }
            }
        }
    }
    drop(ledgers);
    let mut last = world.ledger("one").await;
    settle(&mut last).await;
    let booked = world.booked().await;
    let expected = once(&all);
    assert_eq!(booked, expected, "seed {seed}");
    let account = account(&*world.lake().await, &weir_ledger::LEDGER_NODE, &rig::Lists)
        .await
        .unwrap();
    assert!(account.closes(), "seed {seed}: {account:?}");
    let sum: i128 = expected.values().map(|(cost, _)| (*cost).max(0)).sum();
    assert_eq!(
        (account.booked, account.pending_batches, account.gone),
        (sum, 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_those_of_the_computation_once() {
    let first: u64 = std::env::var("WEIR_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(1);
    let seeds = std::env::var("WEIR_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(15);
    // Worlds have nothing in common, so each processor has one.
    let at_once = std::thread::available_parallelism().map_or(2, usize::from);
    let worlds = futures::stream::iter(first..first + seeds)
        .map(|seed| tokio::spawn(one_world(seed)))
        .buffer_unordered(at_once);
    worlds.for_each(|ended| async { ended.unwrap() }).await;
}

/// A stop at each place, each time that it is passed, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_at_any_place_books_nothing_twice_and_loses_nothing() {
    for place in [
        "read",
        "computed",
        "committed",
        "applied",
        "kept",
        "syncing",
        "synced",
    ] {
        let mut world = World::new();
        let lake = world.lake().await;
        let mut all = Vec::new();
        let stops = Arc::new(AtomicU64::new(0));
        for turn in 0..6_u64 {
            let spans = [
                Span::call(7, turn * 3 + 1, 1_000 + i128::from(turn)),
                Span::tool(7, turn * 3 + 2, "review"),
                Span::call(u128::from(turn) + 100, 1, 5),
            ];
            world.append(&lake, 1 + turn % 2, &spans).await;
            all.extend(spans);
            let seen = Arc::clone(&stops);
            let stop = move |at: &str| {
                at == place && seen.fetch_add(1, Ordering::SeqCst).is_multiple_of(2)
            };
            let mut ledger = world.stopping("one", Arc::new(stop)).await;
            for _ in 0..6 {
                if ledger.step().await.is_err() {
                    break;
                }
            }
            if place.starts_with("sync") {
                // There is something to catch up with only on another disk.
                let _ = std::fs::remove_dir_all(world.folder("one"));
            }
        }
        let mut ledger = world.ledger("one").await;
        settle(&mut ledger).await;
        assert_eq!(world.booked().await, once(&all), "{place}");
        assert!(stops.load(Ordering::SeqCst) > 0, "{place} was passed");
    }
}
