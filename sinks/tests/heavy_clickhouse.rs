//! The drill of exactness on ClickHouse at length: 2,000 batches through bad weather, or as many as
//! `WEIR_DRILL_BATCHES` says. Runs with `WEIR_HEAVY=1`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]
#![allow(dead_code, reason = "modules are shared with the quick tests")]

#[path = "clickhouse/exactly_once.rs"]
mod exactly_once;
#[path = "clickhouse/reader.rs"]
mod reader;
#[path = "clickhouse/server.rs"]
mod server;
