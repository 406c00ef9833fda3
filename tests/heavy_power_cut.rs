//! Copies the disk of a working server at random moments, as a power cut would leave it, and starts
//! a server on each copy: it must hold every row that had been acknowledged by then.

#![cfg(test)]

mod support;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use support::disk::{Disk, Mounted};
use support::load::Load;
use support::oracle::{self, Claim, Oracle, Verdict};
use support::random::Random;
use support::server::{Settings, Weir};

const DISK_MEBIBYTES: u64 = 512;

/// A server on a disk that can be copied, and what it owes.
struct Rig {
    folder: tempfile::TempDir,
    oracle: Arc<Oracle>,
    random: Random,
}

impl Rig {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            oracle: Arc::new(Oracle::default()),
            random: Random::from_env(),
        }
    }

    fn disk(&self) -> Option<Disk> {
        match Disk::create(self.folder.path(), DISK_MEBIBYTES) {
            Ok(disk) => Some(disk),
            Err(why) => {
                support::not_run(&format!("power cuts: needs root and loop devices: {why}"));
                None
            }
        }
    }

    /// Loads `server` for a while, then copies its disk in the midst of it; what the copy owes.
    fn cut(&mut self, server: &Weir, disk: &Disk, image: &Path) -> Vec<Claim> {
        let load = Load::start(&self.oracle, server.http, 4, &mut self.random);
        support::wait_for("the load begins", Duration::from_secs(20), || {
            (load.tally.acknowledged.load(Ordering::Relaxed) > 0).then_some(())
        });
        thread::sleep(self.random.millis(20, 900));
        let then = self.oracle.claims();
        disk.copy(image);
        load.stop();
        self.oracle.owed_at(&then)
    }

    /// Starts a server on the copy and compares; where it does not start, why.
    fn recover(&self, image: &Path, owed: &[Claim]) -> Result<Verdict, String> {
        let copy = Mounted::image(image, &self.folder.path().join("copy"))?;
        let settings = Settings::hasty(&copy.path().join("data"));
        let verdict = match settings.launch().try_ready() {
            Ok(server) => Ok(oracle::judge(owed, &server)),
            Err((status, log)) => Err(format!("does not start: {status:?}\n{log}")),
        };
        drop(copy);
        fs::remove_file(image).unwrap();
        verdict
    }
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    if support::skip_unless_heavy() {
        return;
    }
    let mut rig = Rig::new();
    let Some(disk) = rig.disk() else { return };
    let cuts = support::count_from("WEIR_POWER_CUTS", 20);
    let settings = Settings::hasty(&disk.path().join("data"));
    let image = rig.folder.path().join("copy.img");
    let mut server = settings.start();
    for cut in 0..cuts {
        if rig.random.chance(20) {
            server.process.kill();
            server = settings.start();
        }
        let owed = rig.cut(&server, &disk, &image);
        let verdict = rig
            .recover(&image, &owed)
            .unwrap_or_else(|why| panic!("image {cut} {why}"));
        println!("image {cut}: {verdict}");
        assert!(verdict.is_clean(), "image {cut}: {verdict}");
    }
    let verdict = rig.oracle.judge(&server);
    assert!(verdict.is_clean(), "the server itself: {verdict}");
}

/// The test of the test: were the server to skip its fsyncs, the images would show it.
#[test]
fn a_server_that_skips_its_fsyncs_is_caught() {
    if support::skip_unless_heavy() {
        return;
    }
    let mut rig = Rig::new();
    let Some(library) = support::shim::compile(rig.folder.path()) else {
        return support::not_run("the planted fault: there is no cc");
    };
    let Some(disk) = rig.disk() else { return };
    let settings = Settings::hasty(&disk.path().join("data"));
    let server = support::shim::skip_fsync(settings, &library).start();
    let image = rig.folder.path().join("copy.img");
    for cut in 0..10 {
        let owed = rig.cut(&server, &disk, &image);
        // What is left of the files may also be unreadable, at which the questions panic.
        let recovered = catch_unwind(AssertUnwindSafe(|| rig.recover(&image, &owed)));
        match recovered.unwrap_or_else(|_| Err("cannot be read".to_owned())) {
            Ok(verdict) if verdict.is_clean() => println!("image {cut} is whole by luck"),
            Ok(verdict) => return println!("caught by image {cut}: {verdict}"),
            Err(why) => return println!("caught by image {cut}, which {why}"),
        }
    }
    panic!("ten images of a server that never syncs show no loss: the test sees nothing");
}
