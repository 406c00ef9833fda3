//! Made traffic through decoding, mapping, pricing and the rules of a trace, against the truth that
//! its maker knows: the difference is exactly zero.

#![cfg(test)]

#[path = "truth/check.rs"]
mod check;

use check::{SPANS_QUICK, check};
use weir_traffic::Content;

#[test]
fn a_hundred_thousand_spans_cost_what_their_maker_knows() {
    check(1, SPANS_QUICK, Content::Off);
}

#[test]
fn recorded_conversations_change_nothing_of_the_cost() {
    check(2, 600, Content::On);
    check(3, 2_000, Content::Mixed);
}
