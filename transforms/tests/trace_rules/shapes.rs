//! Hostile shapes: circles, own parents, roots that never come.

use weir_transforms::trace::{Attribution, Inherited, OpKind, SkillSource, SpanId, Verdict};

use super::world::{Spoken as _, booked, numbers, only, span, why};

#[test]
fn nothing_gives_nothing() {
    assert_eq!(booked(&[]), []);
}

#[test]
fn a_span_that_is_its_own_parent_is_a_root() {
    let facts = [span(1, OpKind::Llm).under(1).with(Inherited::UserId, "u")];
    let booking = only(&facts);
    assert_eq!(booking.user_id.as_deref(), Some("u"));
    assert!(booking.flags.cycle && !booking.flags.twin_merged);
    let why = why(&facts, 1);
    assert!(why.cut && why.parent.is_none() && !why.parent_missing);
}

#[test]
fn calls_in_a_circle_of_parents_are_billed_once_not_never() {
    let facts = [
        span(1, OpKind::Llm).under(3),
        span(2, OpKind::Llm).under(1),
        span(3, OpKind::Other).under(2),
        span(4, OpKind::Llm).under(3),
    ];
    assert_eq!(numbers(&facts), [1]);
    assert!(only(&facts).flags.cycle);
}

#[test]
fn a_circle_of_others_leaves_the_calls_below_it_alone() {
    let facts = [
        span(1, OpKind::Other)
            .under(2)
            .skilled("s", SkillSource::Direct),
        span(2, OpKind::Other).under(1).with(Inherited::TeamId, "t"),
        span(3, OpKind::Llm).under(2),
    ];
    let booking = only(&facts);
    assert_eq!(booking.team_id.as_deref(), Some("t"));
    assert_eq!(booking.attribution, Attribution::Ancestor);
    assert!(booking.flags.cycle);
    assert_eq!(booking.flags.words().collect::<Vec<_>>(), ["cycle"]);
}

#[test]
fn a_circle_elsewhere_is_nobodys_business() {
    let facts = [
        span(1, OpKind::Other).under(2),
        span(2, OpKind::Other).under(1),
        span(3, OpKind::Llm),
    ];
    assert!(!only(&facts).flags.cycle);
}

#[test]
fn a_root_that_never_comes_leaves_its_children_on_their_own() {
    let facts = [
        span(2, OpKind::Llm).under(99),
        span(4, OpKind::Llm).under(99),
    ];
    assert_eq!(numbers(&facts), [2, 4]);
    let why = why(&facts, 2);
    assert!(why.parent_missing && why.parent.is_none());
    assert!(matches!(why.verdict, Verdict::Booked(b) if !b.flags.cycle));
}

#[test]
fn times_that_cannot_be_are_no_reason_to_lose_a_call() {
    let mut backwards = span(1, OpKind::Llm);
    backwards.end = Some(backwards.start - 5);
    let mut timeless = span(2, OpKind::Llm);
    (timeless.start, timeless.end) = (0, None);
    let mut extreme = span(3, OpKind::Llm);
    (extreme.start, extreme.end) = (i64::MIN, Some(i64::MAX));
    let bookings = booked(&[backwards, timeless, extreme]);
    let order: Vec<SpanId> = bookings.iter().map(|b| b.span).collect();
    assert_eq!(order, [SpanId(3), SpanId(2), SpanId(1)]);
    assert!(bookings.iter().all(|b| b.duration_nanos.is_none()));
}

#[test]
fn a_span_without_a_start_is_priced_as_of_when_it_was_received() {
    use super::world::PRICES;
    use weir_transforms::trace::UsageCount;
    let mut fact = span(1, OpKind::Llm);
    (fact.start, fact.received_us) = (0, 1_795_219_200_000_000);
    let fact = fact.used(&[(UsageCount::Input, 100)]);
    let dated = span(1, OpKind::Llm).used(&[(UsageCount::Input, 100)]);
    assert_eq!(only(&[fact.clone()]).computed, only(&[dated]).computed);
    let mut again = fact;
    again.reprice(&*PRICES);
    assert!(again.call.unwrap().computed.is_some());
}
