//! Made traffic against the truth, at its full size.

#![cfg(test)]

#[path = "truth/check.rs"]
mod check;
mod support;

use check::check;
use weir_traffic::Content;

#[test]
fn a_million_spans_cost_what_their_maker_knows() {
    if support::skip_unless_heavy() {
        return;
    }
    check(
        7,
        u64::from(support::count_from("WEIR_TEST_TRUTH_SPANS", 1_000_000)),
        Content::Off,
    );
}

#[test]
fn ten_thousand_spans_with_conversations_cost_what_their_maker_knows() {
    if support::skip_unless_heavy() {
        return;
    }
    check(
        8,
        u64::from(support::count_from("WEIR_TEST_TRUTH_CONTENT_SPANS", 10_000)),
        Content::On,
    );
}
