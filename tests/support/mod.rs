//! What the tests of the whole binary share: a server to start and to hurt, a client that knows
//! exactly which answers it got, and an oracle that holds the server to them.
//!
//! Nothing here knows weir's insides: it is spoken to over sockets, watched from outside, and
//! judged by what its SQL and its lake return.

#![allow(dead_code, reason = "each test binary uses a part of this")]

pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod grpc;
mod heavy;
pub(crate) mod http;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod oracle;
pub(crate) mod random;
pub(crate) mod server;
pub(crate) mod shim;
pub(crate) mod storm;
pub(crate) mod traffic;

use std::time::{Duration, Instant};

#[allow(unused_imports, reason = "each test binary uses a part of this")]
pub(crate) use heavy::{count_from, not_run, skip_unless_heavy};

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
