//! The drill of exactness on ClickHouse at length: 2,000 batches through bad weather, or as many as
//! `WEIR_DRILL_BATCHES` says. Runs with `WEIR_HEAVY=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

#[path = "clickhouse/drill.rs"]
mod drill;
#[path = "clickhouse/reader.rs"]
mod reader;
#[path = "clickhouse/server.rs"]
#[allow(dead_code, reason = "the quick tests use all of it")]
mod server;

use server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_batches_arrive_once() {
    if std::env::var("WEIR_HEAVY").map_or(true, |value| value != "1") {
        println!("not run: heavy tier (set WEIR_HEAVY=1)");
        return;
    }
    let Some(server) = Server::shared() else {
        return;
    };
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let batches = number("WEIR_DRILL_BATCHES").unwrap_or(1_000);
    let seed = number("WEIR_TEST_SEED").unwrap_or(1);
    let batches = i64::try_from(batches).unwrap();
    // Of each of two datasets.
    drill::run(server, drill::of(batches, seed)).await;
}
