//! The drill of exactness on Postgres at length: 2,000 batches through bad weather, or as many as
//! `WEIR_DRILL_BATCHES` says. Runs with `WEIR_HEAVY=1`.

#![cfg(test)]
#![allow(dead_code, reason = "modules are shared with the quick tests")]

#[path = "sql/back.rs"]
mod back;
#[path = "sql/place.rs"]
mod place;
#[path = "../../store/tests/server/mod.rs"]
mod server;
#[path = "../../tests/support/heavy.rs"]
mod support;

#[test]
fn nothing_is_lost_or_doubled_in_two_thousand_batches() {
    if support::skip_unless_heavy() {
        return;
    }
    let batches = std::env::var("WEIR_DRILL_BATCHES").ok();
    let batches = batches.map_or(2_000, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Of each of two datasets.
    let drill = weir_sinks::testing::Drill {
        limit: std::time::Duration::from_secs(300),
        ..weir_sinks::testing::Drill::new(batches / 2, 2)
    };
    runtime.block_on(place::drill(drill));
}
