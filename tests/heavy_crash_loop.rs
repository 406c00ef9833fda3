//! Kills the server again and again under load, and holds it to what it had acknowledged.

#![cfg(test)]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use support::load::Load;
use support::oracle::Oracle;
use support::random::Random;
use support::server::{Settings, Weir, pending};

/// What the issue of bounded shutdowns allows, with sinks or without.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// How a life of the server ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Killed,
    Terminated,
    StoppedThenKilled,
    StoppedThenContinued,
}

fn choose(random: &mut Random) -> End {
    match random.within(0, 100) {
        0..65 => End::Killed,
        65..80 => End::Terminated,
        80..90 => End::StoppedThenKilled,
        _ => End::StoppedThenContinued,
    }
}

fn end(mut server: Weir, how: End, random: &mut Random) {
    match how {
        End::Killed => {}
        End::Terminated => {
            let (status, took) = server.terminate(SHUTDOWN_LIMIT);
            assert_eq!(status.code(), Some(0), "after {took:?}");
        }
        End::StoppedThenKilled => {
            server.process.signal(Signal::STOP);
            thread::sleep(random.millis(10, 100));
        }
        End::StoppedThenContinued => {
            server.process.signal(Signal::STOP);
            thread::sleep(random.millis(100, 400));
            server.process.signal(Signal::CONT);
            thread::sleep(random.millis(10, 200));
        }
    }
    server.process.kill();
}

#[test]
fn no_acknowledged_row_is_lost_or_doubled_however_often_the_server_is_killed() {
    if support::skip_unless_heavy() {
        return;
    }
    let cycles = support::count_from("WEIR_CRASH_CYCLES", 50);
    let mut random = Random::from_env();
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::hasty(&folder.path().join("data"));
    let oracle = Arc::new(Oracle::default());
    let (mut acknowledged, mut broken) = (0, 0);
    for cycle in 0..cycles {
        if random.chance(20) {
            // Also in the middle of a start: recovery must survive its own death.
            let mut starting = settings.launch();
            thread::sleep(random.millis(0, 400));
            starting.process.kill();
        }
        let server = settings.start();
        let load = Load::start(&oracle, server.http, 4, &mut random);
        thread::sleep(random.millis(50, 900));
        end(server, choose(&mut random), &mut random);
        let tally = load.stop();
        acknowledged += tally.acknowledged.load(Ordering::Relaxed);
        broken += tally.broken.load(Ordering::Relaxed);
        if cycle % 25 == 24 {
            let server = settings.start();
            let verdict = oracle.judge(&server);
            println!("after {} cycles: {verdict}", cycle + 1);
            assert!(verdict.is_clean(), "{verdict}");
        }
    }
    println!("{cycles} cycles: {acknowledged} requests acknowledged, {broken} cut off");
    assert!(acknowledged > u64::from(cycles), "the load came to nothing");
    settle(&settings, &oracle, &mut random);
}

/// The last word: all is in the lake, the server's own account agrees, and it still works.
fn settle(settings: &Settings, oracle: &Arc<Oracle>, random: &mut Random) {
    let mut server = settings.start();
    let load = Load::start(oracle, server.http, 1, random);
    support::wait_for("a fresh request is taken", Duration::from_secs(10), || {
        (load.tally.acknowledged.load(Ordering::Relaxed) > 0).then_some(())
    });
    load.stop();
    server.wait_stored();
    let verdict = oracle.judge(&server);
    println!("in the end: {verdict}");
    assert!(verdict.is_clean(), "{verdict}");
    let (status, took) = server.terminate(SHUTDOWN_LIMIT);
    assert_eq!(status.code(), Some(0), "after {took:?}");
    let data_dir = settings.data_dir().to_str().unwrap();
    let pending = pending(&["verify", "--json", "--data-dir", data_dir]);
    assert_eq!(pending, 0, "the stopped node's own account");
    let server = settings.start();
    let verdict = oracle.judge(&server);
    assert!(verdict.is_clean(), "after a restart: {verdict}");
}
