//! Fails one fsync of the write-ahead log, at each of the first positions in turn.

#![cfg(test)]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use support::load::Load;
use support::oracle::Oracle;
use support::random::Random;
use support::server::Settings;

/// The exit code that says "an fsync failed".
const FSYNC_FAILED: i32 = 74;
/// How long a process may live on after it was told that its disk lies.
const EXIT_LIMIT: Duration = Duration::from_secs(2);
const POSITIONS: u32 = 24;

#[test]
fn a_failed_fsync_ends_the_process_and_no_acknowledged_row_is_lost() {
    if support::skip_unless_heavy() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(library) = support::shim::compile(folder.path()) else {
        return support::not_run("failing fsync: there is no cc");
    };
    let mut random = Random::from_env();
    let mut under_load = 0;
    for at in 1..=POSITIONS {
        let data_dir = folder.path().join(format!("data-{at}"));
        under_load += u32::from(fail_once(&data_dir, &library, at, &mut random));
        fs::remove_dir_all(&data_dir).unwrap();
    }
    println!("{under_load} of {POSITIONS} failures hit while requests were waiting");
    assert!(under_load >= POSITIONS / 2, "too few failures hit the load");
}

/// One life with one failure; true where it came after the start.
fn fail_once(data_dir: &Path, library: &Path, at: u32, random: &mut Random) -> bool {
    let mark = data_dir.with_extension("failed");
    let sound = Settings::hasty(data_dir);
    let failing = support::shim::fail_fsync(sound.clone(), library, at, &mark);
    let oracle = Arc::new(Oracle::default());
    let started = match failing.launch().try_ready() {
        Ok(mut server) => {
            let load =
                Load::start_with_tripwire(&oracle, server.http, 4, random, Some(mark.clone()));
            support::wait_for("the failure", Duration::from_secs(30), || {
                mark.try_exists().unwrap().then_some(())
            });
            let status = server.process.wait_within(EXIT_LIMIT);
            let status = status.unwrap_or_else(|| panic!("position {at}: still running"));
            assert_eq!(status.code(), Some(FSYNC_FAILED), "position {at}");
            let acknowledged = load.tally.acknowledged.load(Ordering::Relaxed);
            println!("position {at}: {acknowledged} requests acknowledged before");
            load.stop();
            true
        }
        Err((status, log)) => {
            assert!(mark.try_exists().unwrap(), "position {at}: {log}");
            let code = status.and_then(|status| status.code());
            assert_eq!(
                code,
                Some(FSYNC_FAILED),
                "position {at}, at the start: {log}"
            );
            false
        }
    };
    let server = sound.start();
    let verdict = oracle.judge(&server);
    assert!(verdict.is_clean(), "position {at}: {verdict}");
    started
}
