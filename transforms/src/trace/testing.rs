//! Facts for tests.

use super::fact::{ContentKey, Fact, SpanId};
use super::names::OpKind;

/// The span id of a number.
pub(super) fn id(number: u64) -> SpanId {
    SpanId(number)
}

/// A span that is nothing special: it starts at its number times ten and takes ten nanoseconds.
pub(super) fn fact(number: u64) -> Fact {
    let start = i64::try_from(number).expect("a small number") * 10;
    Fact {
        span: id(number),
        content_key: ContentKey(u128::from(number) + 1000),
        received_us: 1,
        parent: None,
        start,
        end: Some(start + 10),
        kind: OpKind::Other,
        role: None,
        aggregate: false,
        error: None,
        dialect: None,
        context: None,
        skill: None,
        call: None,
    }
}
