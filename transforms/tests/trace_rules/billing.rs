//! Rules B0 to B4: what is billed, and once.

use weir_transforms::trace::{ContentKey, SpanId};
use weir_transforms::trace::{CostStatus, OpKind, UsageCount, Verdict};

use super::world::{Spoken as _, numbers, only, span, verdict};

#[test]
fn only_model_calls_are_billed() {
    for code in 1..=18 {
        let kind = [
            OpKind::Llm,
            OpKind::Embedding,
            OpKind::Rerank,
            OpKind::Retrieval,
            OpKind::Tool,
            OpKind::Agent,
            OpKind::Workflow,
            OpKind::Plan,
            OpKind::Memory,
            OpKind::CreateAgent,
            OpKind::FetchResponse,
            OpKind::Guardrail,
            OpKind::Evaluator,
            OpKind::Prompt,
            OpKind::Skill,
            OpKind::Mcp,
            OpKind::Other,
            OpKind::Unlisted,
        ][code - 1];
        let facts = [span(1, kind)];
        assert_eq!(numbers(&facts).len(), usize::from(code <= 3), "{kind:?}");
        let expected = match kind {
            OpKind::FetchResponse => "B4",
            _ => "B1",
        };
        assert_eq!(verdict(&facts, 1).rule(), expected);
    }
}

#[test]
fn a_sum_on_an_agent_is_said_and_not_billed() {
    let mut agent = span(1, OpKind::Agent);
    agent.aggregate = true;
    let facts = [agent, span(2, OpKind::Llm).under(1)];
    assert_eq!(numbers(&facts), [2]);
    assert_eq!(verdict(&facts, 1), Verdict::NoCall { aggregate: true });
}

#[test]
fn of_copies_the_smallest_content_key_wins_and_a_conflict_is_flagged() {
    let first = span(1, OpKind::Llm).used(&[(UsageCount::Input, 100)]);
    let mut other = span(1, OpKind::Llm).used(&[(UsageCount::Input, 900)]);
    other.content_key = ContentKey(first.content_key.0 - 1);
    for facts in [
        [first.clone(), other.clone()],
        [other.clone(), first.clone()],
    ] {
        let booking = only(&facts);
        assert_eq!(booking.content_key, other.content_key);
        assert_eq!(booking.usage.get(UsageCount::Input), Some(900));
        assert!(booking.flags.conflict);
        assert_eq!(booking.flags.words().collect::<Vec<_>>(), ["conflict"]);
    }
    assert!(!only(&[first.clone(), first]).flags.conflict);
}

#[test]
fn of_equal_copies_the_one_that_was_accepted_first_counts() {
    // The second copy was priced under a newer list; the booking stays what it was.
    let first = span(1, OpKind::Llm).used(&[(UsageCount::Input, 100)]);
    let mut again = first.clone();
    again.received_us = 2;
    again.call.as_mut().unwrap().cost = Some(0);
    let booking = only(&[again, first.clone()]);
    assert_eq!(booking.cost, first.call.unwrap().cost);
    assert!(!booking.flags.conflict);
}

#[test]
fn a_call_directly_below_a_call_of_its_kind_is_its_transport() {
    let outer = span(1, OpKind::Llm);
    let facts = [
        outer.clone(),
        span(2, OpKind::Other).under(1),
        span(3, OpKind::Other).under(2),
        span(4, OpKind::Llm).under(3),
        span(5, OpKind::Llm).under(4),
    ];
    assert_eq!(numbers(&facts), [1]);
    let (one, four) = (SpanId(1), SpanId(4));
    assert_eq!(
        verdict(&facts, 4),
        Verdict::Nested {
            of: one,
            booked: one
        }
    );
    assert_eq!(
        verdict(&facts, 5),
        Verdict::Nested {
            of: four,
            booked: one
        }
    );
    assert!(only(&facts).flags.twin_merged);
}

#[test]
fn a_call_below_another_kind_or_another_kind_of_call_is_its_own() {
    for between in [
        OpKind::Tool,
        OpKind::Workflow,
        OpKind::Agent,
        OpKind::Unlisted,
    ] {
        let facts = [
            span(1, OpKind::Llm),
            span(2, between).under(1),
            span(3, OpKind::Llm).under(2),
        ];
        assert_eq!(numbers(&facts), [1, 3], "{between:?}");
    }
    let facts = [span(1, OpKind::Llm), span(2, OpKind::Embedding).under(1)];
    assert_eq!(numbers(&facts), [1, 2]);
}

#[test]
fn calls_with_one_response_id_that_overlap_in_time_are_one() {
    let id = "chatcmpl-1";
    let twin = |number, from, to| span(number, OpKind::Llm).lasting(from, to).answered(id);
    // The earlier start keeps the bill; touching is overlapping; of equal starts the smaller id.
    assert_eq!(numbers(&[twin(1, 10, 20), twin(2, 5, 10)]), [2]);
    assert_eq!(numbers(&[twin(1, 10, 20), twin(2, 10, 12)]), [1]);
    // A server that uses ids again: both calls are real.
    assert_eq!(numbers(&[twin(1, 10, 20), twin(2, 21, 30)]), [1, 2]);
    // The third overlaps the second and not the first: by the first to keep a bill it is judged.
    assert_eq!(
        numbers(&[twin(1, 0, 10), twin(2, 5, 20), twin(3, 15, 30)]),
        [1, 3]
    );
    // Without an end a span is a point in time.
    let mut open = twin(2, 15, 15);
    open.end = None;
    assert_eq!(numbers(&[twin(1, 10, 20), open.clone()]), [1]);
    open.start -= 100;
    assert_eq!(numbers(&[twin(1, 10, 20), open]), [2, 1]);
    let booked = SpanId(1);
    let facts = [twin(1, 10, 20), twin(2, 12, 18)];
    assert_eq!(verdict(&facts, 2), Verdict::SameResponse { booked });
    assert_eq!(verdict(&facts, 2).rule(), "B3");
}

#[test]
fn short_response_ids_join_nothing() {
    let call = |number, id| span(number, OpKind::Llm).lasting(0, 9).answered(id);
    assert_eq!(numbers(&[call(1, "1234567"), call(2, "1234567")]), [1, 2]);
    assert_eq!(numbers(&[call(1, "12345678"), call(2, "12345678")]), [1]);
    // Characters count, not bytes.
    assert_eq!(numbers(&[call(1, "äöüäöüä"), call(2, "äöüäöüä")]), [1, 2]);
}

#[test]
fn a_sibling_of_a_transport_is_found_by_the_transports_response_id() {
    let facts = [
        span(1, OpKind::Llm)
            .lasting(0, 100)
            .answered("gateway-own-id"),
        span(2, OpKind::Llm)
            .lasting(10, 90)
            .under(1)
            .answered("msg_01234567"),
        span(3, OpKind::Llm)
            .lasting(11, 89)
            .answered("msg_01234567"),
    ];
    assert_eq!(numbers(&facts), [1]);
    let booked = SpanId(1);
    assert_eq!(verdict(&facts, 3), Verdict::SameResponse { booked });
}

#[test]
fn the_transport_of_a_sibling_is_paid_by_whoever_pays_for_the_sibling() {
    let facts = [
        span(1, OpKind::Llm).lasting(0, 100).answered("response-1"),
        span(2, OpKind::Llm).lasting(5, 90).answered("response-1"),
        span(3, OpKind::Llm).lasting(6, 80).under(2),
    ];
    assert_eq!(numbers(&facts), [1]);
    let nested = Verdict::Nested {
        of: SpanId(2),
        booked: SpanId(1),
    };
    assert_eq!(verdict(&facts, 3), nested);
}

#[test]
fn retries_are_calls_of_their_own() {
    let agent = span(1, OpKind::Agent);
    let mut failed = span(2, OpKind::Llm)
        .under(1)
        .used(&[(UsageCount::Input, 50)]);
    failed.error = Some("429".into());
    let retry = span(4, OpKind::Llm)
        .under(1)
        .used(&[(UsageCount::Input, 50)]);
    let silent = span(6, OpKind::Llm).under(1);
    let bookings = super::world::booked(&[agent, failed, retry, silent]);
    assert_eq!(bookings.len(), 3);
    assert_eq!(bookings[0].error_type.as_deref(), Some("429"));
    assert_eq!(bookings[0].cost, bookings[1].cost);
    // A failed call that says nothing costs nothing that is known, which is not zero.
    assert_eq!(
        (bookings[2].cost, bookings[2].status),
        (None, CostStatus::NoUsage)
    );
}
