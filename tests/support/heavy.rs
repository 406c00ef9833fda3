//! Which tests run, and how often they repeat; also for the tests of other crates, which include this
//! file by its path.

#![allow(dead_code, reason = "each test binary uses a part of this")]
#![allow(
    clippy::print_stdout,
    clippy::explicit_write,
    clippy::unwrap_used,
    reason = "these lines are for the person who runs the tests"
)]

use std::io::Write as _;

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
