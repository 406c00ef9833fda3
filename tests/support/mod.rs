//! What the tests of the whole binary share: a server to start and to hurt, a client that knows
//! exactly which answers it got, and an oracle that holds the server to them.
//!
//! Nothing here knows weir's insides: it is spoken to over sockets, watched from outside, and
//! judged by what its SQL and its lake return.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod oracle;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod shim;
pub(crate) mod storm;
pub(crate) mod traffic;

use std::io::Write as _;
use std::time::{Duration, Instant};

/// True where the heavy tier was not asked for; the caller then returns.
pub(crate) fn skip_unless_heavy() -> bool {
    let heavy = std::env::var("WEIR_HEAVY").is_ok_and(|value| value == "1");
    if !heavy {
        println!("not run: heavy tier (set WEIR_HEAVY=1)");
    }
    !heavy
}

/// Says why a test cannot run here; under `CI=true`, where nothing may be left out, it fails.
pub(crate) fn not_run(why: &str) {
    assert!(
        std::env::var("CI").map_or(true, |value| value != "true"),
        "not run: {why}"
    );
    // Past the capture of the test harness, so that a person sees it.
    writeln!(std::io::stderr(), "not run: {why}").unwrap();
}

/// A count from the environment, as `xtask torture` sets it.
pub(crate) fn count_from(variable: &str, default: u32) -> u32 {
    std::env::var(variable).map_or(default, |text| text.parse().expect(variable))
}

/// Calls `probe` until it gives something; panics with `what` after `limit`.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
