//! Crashes at every moment, on a disk that lies; and proof that the test would notice.

#![cfg(test)]

mod rows;
mod sim;

use std::panic::{AssertUnwindSafe, catch_unwind};

use sim::world::World;
use weir_ingest::wal::{Bug, Planted};

/// Lives that one world sees before the next seed.
const LIVES: u64 = 25;

fn crashes_wanted() -> u64 {
    // `WEIR_SIM_CRASHES` sets the number; the default keeps the quick tier quick.
    let set = std::env::var("WEIR_SIM_CRASHES")
        .ok()
        .and_then(|n| n.parse().ok());
    set.unwrap_or(2_000)
}

/// The first fault that worlds from `seed` on show within so many crashes.
fn first_fault(seed: u64, crashes: u64, planted: Planted) -> Option<String> {
    for world_seed in seed..seed + crashes.div_ceil(LIVES) {
        let mut world = World::new(world_seed, planted);
        for life in 0..LIVES {
            let lived = catch_unwind(AssertUnwindSafe(|| world.live_and_crash()));
            let fault = match lived {
                Ok(Ok(())) => continue,
                Ok(Err(fault)) => fault,
                Err(_) => "a panic".to_owned(),
            };
            return Some(format!("seed {world_seed}, life {life}: {fault}"));
        }
    }
    None
}

#[test]
fn no_crash_loses_doubles_or_changes_a_row() {
    let crashes = crashes_wanted();
    // Two threads, each with seeds of its own.
    let faults: Vec<Option<String>> = std::thread::scope(|scope| {
        let halves = [1_u64, 1_000_001]
            .map(|seed| scope.spawn(move || first_fault(seed, crashes / 2, Planted::default())));
        halves
            .into_iter()
            .map(|half| half.join().unwrap())
            .collect()
    });
    assert_eq!(
        faults,
        [None, None],
        "repeat with that seed in `World::new`"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut world = World::new(seed, Planted::default());
        for _ in 0..LIVES {
            world.live_and_crash().unwrap();
        }
        world.disk.events()
    };
    assert_eq!(run(42), run(42));
    assert_ne!(run(42), run(43));
}

#[test]
fn every_planted_bug_is_caught() {
    let bugs = [
        Bug::AckBeforeSync,
        Bug::NoDirSync,
        Bug::UnlinkBeforeCursor,
        Bug::AppendAfterTornTail,
        Bug::RetryFsync,
        Bug::NoSaltCheck,
        Bug::NoChecksum,
        Bug::ShowBeforeSeal,
        Bug::ReuseNumbers,
        Bug::WriteAfterFailure,
        Bug::KeepAbandoned,
        Bug::TrustPageCache,
    ];
    let missed: Vec<Bug> = bugs
        .into_iter()
        .filter(|bug| first_fault(7, 4_000, Planted::new(*bug)).is_none())
        .collect();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
