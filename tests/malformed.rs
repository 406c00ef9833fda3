//! The storm of malformed requests, short enough for every run.

#![cfg(test)]

mod support;

#[test]
fn five_thousand_malformed_requests_leave_no_trace() {
    support::storm::storm(support::count_from("WEIR_TEST_MALFORMED", 5_000));
}
