//! Gaps of a billed call, filled by its twins; then the rules of usage, and the price again.

use weir_transforms::trace::{CostStatus, Fact, OpKind, SpanId, UsageCount as Count, book};
use weir_transforms::{Call, Prefer, Priced, Pricer, Prices};

use super::world::{PRICES, Spoken as _, only, span, why};

/// What the filled call costs if one span had said it all.
fn at_once(counts: &[(Count, i64)]) -> Option<i128> {
    span(1, OpKind::Llm).used(counts).call.unwrap().computed
}

#[test]
fn nested_and_sibling_twins_fill_gaps_alike_in_the_order_of_start_and_id() {
    let outer = span(1, OpKind::Llm).lasting(0, 100).answered("response-1");
    let sibling = span(2, OpKind::Llm).lasting(5, 90).answered("response-1");
    let nested = span(3, OpKind::Llm).lasting(4, 80).under(1);
    let facts = [
        outer.used(&[(Count::Input, 1000)]),
        sibling.used(&[(Count::Output, 77), (Count::CacheRead, 400)]),
        nested.used(&[(Count::Output, 50)]),
    ];
    let booking = only(&facts);
    let counts = [
        (Count::Input, 1000),
        (Count::Output, 50),
        (Count::CacheRead, 400),
    ];
    for (which, count) in counts {
        assert_eq!(booking.usage.get(which), Some(count), "{which:?}");
    }
    assert_eq!(booking.computed, at_once(&counts));
    let filled: Vec<(&str, u64)> = why(&facts, 1)
        .filled
        .iter()
        .map(|f| (f.gap.column(), f.by.0))
        .collect();
    let expected = [("usage_output_tokens", 3), ("usage_cache_read_tokens", 2)];
    assert_eq!(filled, expected);
}

#[test]
fn a_cache_that_only_the_twin_knows_of_makes_an_exclusive_input_inclusive() {
    // 210 tokens beside 16,399 read and 2,089 written, as Anthropic counts.
    let counts = [(Count::Input, 210), (Count::Output, 445)];
    let mut inner = span(2, OpKind::Llm).under(1).used(&[
        (Count::Input, 18_698),
        (Count::CacheRead, 16_399),
        (Count::CacheWrite, 2_089),
    ]);
    inner.call.as_mut().unwrap().made_inclusive = true;
    let booking = only(&[span(1, OpKind::Llm).used(&counts), inner]);
    assert_eq!(booking.usage.get(Count::Input), Some(18_698));
    let whole = [
        (Count::Input, 18_698),
        (Count::Output, 445),
        (Count::CacheRead, 16_399),
        (Count::CacheWrite, 2_089),
    ];
    assert_eq!(booking.computed, at_once(&whole));
    assert_eq!(booking.cost, booking.computed);
}

#[test]
fn what_the_rules_had_added_before_is_not_added_twice() {
    // Langfuse said 10 and 100 read; the twin knows of 5 written.
    let mut outer = span(1, OpKind::Llm).used(&[(Count::Input, 110), (Count::CacheRead, 100)]);
    outer.dialect = Some("langfuse".into());
    outer.call.as_mut().unwrap().made_inclusive = true;
    let twin = span(2, OpKind::Llm)
        .under(1)
        .used(&[(Count::CacheWrite, 5)]);
    let booking = only(&[outer.clone(), twin.clone()]);
    assert_eq!(booking.usage.get(Count::Input), Some(115));
    // The same of a dialect that includes: nothing is added.
    outer.dialect = Some("openinference".into());
    outer.call.as_mut().unwrap().made_inclusive = false;
    let booking = only(&[outer, twin]);
    assert_eq!(booking.usage.get(Count::Input), Some(110));
}

#[test]
fn an_input_from_the_twin_counts_as_the_twin_counts() {
    let mut outer = span(1, OpKind::Llm).used(&[(Count::CacheRead, 100)]);
    outer.dialect = Some("claude_code".into());
    let twin = span(2, OpKind::Llm).under(1);
    let twin = twin.used(&[(Count::Input, 310), (Count::CacheRead, 100)]);
    let booking = only(&[outer, twin]);
    assert_eq!(booking.usage.get(Count::Input), Some(310));
}

#[test]
fn reasoning_that_only_the_twin_knows_of_is_added_where_it_exceeds_the_output() {
    let outer = span(1, OpKind::Llm).used(&[(Count::Output, 10)]);
    let twin = span(2, OpKind::Llm)
        .under(1)
        .used(&[(Count::Reasoning, 32)]);
    assert_eq!(
        only(&[outer.clone(), twin]).usage.get(Count::Output),
        Some(42)
    );
    let mut added = outer;
    let call = added.call.as_mut().unwrap();
    call.usage.set(Count::Output, Some(42));
    call.usage.set(Count::Reasoning, Some(32));
    call.reasoning_added = true;
    let twin = span(2, OpKind::Llm).under(1).used(&[(Count::Input, 5)]);
    assert_eq!(only(&[added, twin]).usage.get(Count::Output), Some(42));
}

#[test]
fn usage_that_cannot_be_is_replaced_by_the_twins() {
    let mut outer = span(1, OpKind::Llm);
    outer.call.as_mut().unwrap().invalid = true;
    outer.call.as_mut().unwrap().status = CostStatus::InvalidUsage;
    assert_eq!(only(&[outer.clone()]).status, CostStatus::InvalidUsage);
    let counts = [(Count::Input, 12)];
    let twin = span(2, OpKind::Llm).under(1).used(&counts);
    let booking = only(&[outer.clone(), twin]);
    assert_eq!(booking.status, CostStatus::Computed);
    assert_eq!(booking.computed, at_once(&counts));
    // A twin without usage leaves it what it is.
    let twin = span(2, OpKind::Llm).under(1).answered("response-1");
    assert_eq!(only(&[outer, twin]).status, CostStatus::InvalidUsage);
}

#[test]
fn a_cost_that_only_the_twin_reports_is_preferred_and_compared() {
    let counts = [(Count::Input, 1000)];
    let mut twin = span(2, OpKind::Llm).under(1);
    twin.call.as_mut().unwrap().reported = Some(5_000_000_000);
    let booking = only(&[span(1, OpKind::Llm).used(&counts), twin.clone()]);
    assert_eq!(booking.computed, at_once(&counts));
    assert_eq!(booking.cost, Some(5_000_000_000));
    assert_eq!(booking.status, CostStatus::Reported);
    assert_eq!(booking.disagrees, Some(true));
    // What is reported beside counts that cannot be is not believed.
    twin.call.as_mut().unwrap().invalid = true;
    let booking = only(&[span(1, OpKind::Llm).used(&counts), twin]);
    assert_eq!((booking.cost, booking.reported), (booking.computed, None));
}

#[test]
fn model_provider_tier_and_batch_come_from_the_twin_where_the_span_has_none() {
    let mut outer = span(1, OpKind::Llm).used(&[(Count::Input, 1_000_000)]);
    let call = outer.call.as_mut().unwrap();
    (call.provider, call.model_response) = (None, None);
    outer.reprice(&*PRICES);
    assert_eq!(only(&[outer.clone()]).status, CostStatus::Unpriced);
    let mut twin = span(2, OpKind::Llm).under(1);
    twin.call.as_mut().unwrap().batch = Some(true);
    let booking = only(&[outer, twin.clone()]);
    assert_eq!(booking.model.as_deref(), Some("gpt-4o"));
    assert_eq!(booking.provider.as_deref(), Some("openai"));
    let mut expected = twin.used(&[(Count::Input, 1_000_000)]);
    expected.reprice(&*PRICES);
    assert_eq!(booking.computed, expected.call.unwrap().computed);
    assert_ne!(booking.computed, at_once(&[(Count::Input, 1_000_000)]));
}

/// Flat prices under a name.
struct Flat(&'static str, i128, Prefer);

impl Pricer for Flat {
    fn price(&self, call: &Call<'_>) -> Priced {
        let amount = i128::from(call.tokens.input + call.tokens.output) * self.1;
        Priced::Amount(amount, format!("{}:flat", self.0).into())
    }

    fn name(&self) -> &str {
        self.0
    }

    fn prefer(&self) -> Prefer {
        self.2
    }
}

struct Lists(Vec<Flat>);

impl Prices for Lists {
    fn under(&self, list: Option<&str>) -> &dyn Pricer {
        let known = self.0.iter().find(|p| Some(p.name()) == list);
        known.unwrap_or(&self.0[0])
    }
}

#[test]
fn a_completed_call_is_priced_under_the_list_that_it_was_priced_under_before() {
    let lists = Lists(vec![
        Flat("new", 7, Prefer::Reported),
        Flat("old", 3, Prefer::Computed),
    ]);
    let priced = |number, list: usize, counts| -> Fact {
        let mut fact = span(number, OpKind::Llm).used(counts);
        fact.reprice(&lists.0[list]);
        fact
    };
    let outer = priced(1, 1, &[(Count::Input, 100)]);
    let mut twin = priced(2, 0, &[(Count::Output, 10)]).under(1);
    twin.call.as_mut().unwrap().reported = Some(1);
    let booking = &book(&[outer.clone(), twin.clone()], &lists)[0];
    assert_eq!(booking.computed, Some(330));
    assert_eq!(booking.price_ref.as_deref(), Some("old:flat"));
    // That list preferred what is computed.
    assert_eq!((booking.cost, booking.reported), (Some(330), Some(1)));
    assert_eq!(booking.status, CostStatus::Computed);
    // Alone it keeps the price that it has, without being asked for.
    let alone = &book(&[outer.clone()], &lists)[0];
    assert_eq!(alone.computed, Some(300));
    // Where it was priced under none, the twin's counts; repricing puts it under another.
    let mut anew = outer;
    anew.reprice(&lists.0[0]);
    let booking = &book(&[anew, twin], &lists)[0];
    assert_eq!(booking.computed, Some(770));
    assert_eq!((booking.cost, booking.span), (Some(1), SpanId(1)));
}
