//! The Snowflake sink's drill of exactness with 2,000 batches, and Snowflake's own client at the
//! stand-in that the sink is tested at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

#[path = "../support/snowpipe/mod.rs"]
#[allow(dead_code, reason = "the quick tests use the rest of it")]
mod snowpipe;

mod official;
#[path = "../../../tests/support/heavy.rs"]
mod support;

use std::time::Duration;

use weir_sinks::contract::assert_holds;
use weir_sinks::testing::{Drill, FaultProxy};

use snowpipe::Trouble;
use snowpipe::destination::{Names, Snow};

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_batches_through_a_bad_network_each_row_once() {
    if support::skip_unless_heavy() {
        return;
    }
    let mut snow = Snow::start().await;
    let proxy = FaultProxy::start(snow.emulator.address, 11).await.unwrap();
    snow.config.url = format!("https://{}", proxy.address());
    snow.config.run_rows = 1_800;
    for trouble in [
        Trouble::Refuse(429, "", Some("1")),
        Trouble::Refuse(503, "", None),
        Trouble::Refuse(401, "390318", None),
        Trouble::Refuse(400, "STALE_CONTINUATION_TOKEN_SEQUENCER", None),
        Trouble::Refuse(409, "ERR_CHANNEL_MUST_BE_REOPENED", None),
        Trouble::DoneBut(500),
        Trouble::Lose,
    ] {
        snow.emulator.let_through("/rows", 10);
        snow.emulator.fault("/rows", 5, trouble);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut drill = Drill::new(2_000, 11);
    drill.restarts = 10;
    drill.limit = Duration::from_secs(300);
    drill.run(&Names(snow), &proxy, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_holds_with_a_database_for_each_tenant() {
    if support::skip_unless_heavy() {
        return;
    }
    let mut snow = Snow::start().await;
    snow.by_tenant();
    assert_holds(&snow).await;
}
