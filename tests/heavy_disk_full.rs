//! Fills the disk of a working server and frees it again.

#![cfg(test)]

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use support::disk::{self, Mounted};
use support::load::Load;
use support::oracle::Oracle;
use support::random::Random;
use support::server::{Settings, Weir};

const DISK_MEBIBYTES: u32 = 64;
/// How long after space has returned the service may still refuse.
const RECOVERY_LIMIT: Duration = Duration::from_secs(5);

#[test]
fn a_full_disk_is_answered_with_503_and_forgotten_when_space_returns() {
    if support::skip_unless_heavy() {
        return;
    }
    let cycles = support::count_from("WEIR_DISK_FULL_CYCLES", 5);
    let folder = tempfile::tempdir().unwrap();
    let small = match Mounted::memory(&folder.path().join("small"), DISK_MEBIBYTES) {
        Ok(small) => small,
        Err(why) => return support::not_run(&format!("full disks: needs root: {why}")),
    };
    let mut random = Random::from_env();
    let settings = Settings::hasty(&small.path().join("data"));
    let oracle = Arc::new(Oracle::default());
    let mut server = settings.start();
    let ballast = small.path().join("ballast");
    for cycle in 0..cycles {
        let load = Load::start(&oracle, server.http, 4, &mut random);
        support::wait_for("the load begins", RECOVERY_LIMIT, || {
            (load.tally.acknowledged.load(Ordering::Relaxed) > 0).then_some(())
        });
        thread::sleep(random.millis(50, 500));
        let refused = fill_until_refused(&load, &ballast);
        thread::sleep(random.millis(100, 1_500));
        assert!(
            server.process.wait_within(Duration::ZERO).is_none(),
            "the server gave up on a full disk"
        );
        fs::remove_file(&ballast).unwrap();
        let freed = Instant::now();
        support::wait_for("a 2xx after space returned", RECOVERY_LIMIT, || {
            load.tally.last_acknowledged().filter(|at| *at > freed)
        });
        println!(
            "cycle {cycle}: refused {:?} after the disk was full, took again {:?} after it was not",
            refused,
            freed.elapsed()
        );
        load.stop();
        server = maybe_restart(server, &settings, &mut random);
        let verdict = oracle.judge(&server);
        println!("cycle {cycle}: {verdict}");
        assert!(verdict.is_clean(), "cycle {cycle}: {verdict}");
    }
    server.wait_stored();
    let verdict = oracle.judge(&server);
    assert!(verdict.is_clean(), "in the end: {verdict}");
}

/// Leaves no byte free and waits for the first refusal; what the server frees by itself meanwhile
/// is taken at once.
fn fill_until_refused(load: &Load, ballast: &std::path::Path) -> Duration {
    let before = load.tally.refused.load(Ordering::Relaxed);
    let began = Instant::now();
    let mut pieces = 0;
    disk::fill(ballast);
    while load.tally.refused.load(Ordering::Relaxed) == before {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "never refused on a full disk"
        );
        pieces += 1;
        disk::append(ballast);
        thread::sleep(Duration::from_millis(10));
    }
    println!("filled in {pieces} pieces");
    began.elapsed()
}

fn maybe_restart(mut server: Weir, settings: &Settings, random: &mut Random) -> Weir {
    if random.chance(50) {
        return server;
    }
    server.process.kill();
    settings.start()
}
