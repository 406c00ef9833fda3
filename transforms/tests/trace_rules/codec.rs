//! Facts are kept as bytes and read back as they were.

use proptest::prelude::*;
use weir_transforms::trace::{DecodeError, Fact, Shared, book};

use super::world::{PRICES, any_fact, any_trace};

fn encoded(fact: &Fact) -> Vec<u8> {
    let mut bytes = Vec::new();
    fact.encode(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_fact_is_read_back(fact in any_fact(u64::MAX - 2)) {
        let bytes = encoded(&fact);
        prop_assert_eq!(Fact::decode(&bytes, &mut Shared::default()), Ok(fact));
    }

    #[test]
    fn bookings_of_what_was_read_back_are_the_same(facts in any_trace(12)) {
        let mut shared = Shared::default();
        let back: Vec<Fact> = facts
            .iter()
            .map(|f| Fact::decode(&encoded(f), &mut shared).expect("a fact"))
            .collect();
        prop_assert_eq!(book(&back, &*PRICES), book(&facts, &*PRICES));
    }

    #[test]
    fn cut_or_damaged_bytes_never_pass_for_the_fact_or_panic(
        fact in any_fact(9), at in any::<prop::sample::Index>(), bit in 0..8_u8
    ) {
        let bytes = encoded(&fact);
        let at = at.index(bytes.len());
        prop_assert!(Fact::decode(&bytes[..at], &mut Shared::default()).is_err());
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << bit;
        let read = Fact::decode(&damaged, &mut Shared::default());
        prop_assert_ne!(read, Ok(fact));
    }
}

#[test]
fn unknown_versions_and_trailing_bytes_are_refused() {
    let fact = super::world::span(1, weir_transforms::trace::OpKind::Llm);
    let mut bytes = encoded(&fact);
    bytes.push(0);
    let mut shared = Shared::default();
    assert_eq!(Fact::decode(&bytes, &mut shared), Err(DecodeError::Long));
    bytes[0] = 99;
    assert_eq!(
        Fact::decode(&bytes, &mut shared),
        Err(DecodeError::Version(99))
    );
    assert_eq!(Fact::decode(&[], &mut shared), Err(DecodeError::Short));
}

#[test]
fn a_tool_span_takes_few_bytes() {
    let tool = super::world::span(1, weir_transforms::trace::OpKind::Tool);
    assert!(encoded(&tool).len() < 50, "{}", encoded(&tool).len());
}
