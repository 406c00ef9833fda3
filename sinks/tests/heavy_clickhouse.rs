//! ClickHouse at length: the drill of exactness with 2,000 batches, or as many as
//! `WEIR_DRILL_BATCHES` says, and what else takes long. Runs with `WEIR_HEAVY=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

#[path = "clickhouse/drill.rs"]
mod drill;
#[path = "clickhouse/long.rs"]
mod long;
#[path = "clickhouse/reader.rs"]
mod reader;
#[path = "clickhouse/server.rs"]
#[allow(dead_code, reason = "the quick tests use all of it")]
mod server;
#[path = "../../tests/support/heavy.rs"]
mod support;

use server::Server;
use weir_model::Dataset;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_batches_arrive_once() {
    if support::skip_unless_heavy() {
        return;
    }
    let Some(server) = Server::shared() else {
        return;
    };
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let batches = number("WEIR_DRILL_BATCHES").unwrap_or(2_000);
    let seed = number("WEIR_TEST_SEED").unwrap_or(1);
    let batches = i64::try_from(batches).unwrap();
    // Those of the ledger cost the server a view as well.
    let ledger = batches / 5;
    drill::run(server, drill::of(Dataset::CostLedger, ledger, seed)).await;
    let rest = batches - ledger;
    drill::run(server, drill::of(Dataset::RejectedEvents, rest, seed)).await;
}
