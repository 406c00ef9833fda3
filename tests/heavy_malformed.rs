//! The storm of malformed requests at its full length.

#![cfg(test)]

mod support;

#[test]
fn a_hundred_thousand_malformed_requests_leave_no_trace() {
    if support::skip_unless_heavy() {
        return;
    }
    support::storm::storm(support::count_from("WEIR_TEST_MALFORMED", 100_000));
}
