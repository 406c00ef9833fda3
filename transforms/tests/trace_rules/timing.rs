//! Large traces take time in proportion to their spans, whatever their shape.

use std::time::{Duration, Instant};

use weir_transforms::trace::{Fact, Inherited, OpKind, SkillSource, UsageCount, book};

use super::world::{PRICES, Spoken as _, span};

/// What 100,000 spans may take without optimisation on a busy machine.
const AT_MOST: Duration = Duration::from_secs(30);

/// Four times the spans may take so many times as long; in proportion it is 4, by squares 16.
const GROWTH_MAX: f64 = 9.0;

fn call(number: u64, under: u64) -> Fact {
    let counts = [(UsageCount::Input, 100), (UsageCount::Output, 10)];
    span(number, OpKind::Llm).under(under).used(&counts)
}

/// A chain in which every kind of rule has to look far up.
fn chain(spans: u64) -> Vec<Fact> {
    let link = |number: u64| match number % 4 {
        1 => call(number, number - 1),
        2 => span(number, OpKind::Workflow).under(number - 1),
        _ => span(number, OpKind::Other).under(number - 1),
    };
    let root = span(0, OpKind::Agent)
        .with(Inherited::AgentName, "deep")
        .skilled("dig", SkillSource::Direct);
    std::iter::once(root).chain((1..spans).map(link)).collect()
}

/// One agent: a tool that loads a skill, and a call, again and again.
fn star(spans: u64) -> Vec<Fact> {
    let leaf = |number: u64| match number % 2 {
        0 => call(number, 0).answered("the-same-id-everywhere"),
        _ => span(number, OpKind::Tool)
            .under(0)
            .skilled("one", SkillSource::ToolArgs),
    };
    let root = span(0, OpKind::Agent);
    std::iter::once(root).chain((1..spans).map(leaf)).collect()
}

/// All spans in one circle of parents.
fn circle(spans: u64) -> Vec<Fact> {
    (0..spans)
        .map(|number| call(number, (number + 1) % spans))
        .collect()
}

/// All calls at once under one response id.
fn twins(spans: u64) -> Vec<Fact> {
    let twin = |number: u64| {
        let apart = call(number, u64::MAX);
        apart.lasting(0, 1_000_000).answered("one-response")
    };
    (0..spans).map(twin).collect()
}

fn took(facts: &[Fact], booked: usize) -> Duration {
    let runs = (0..3).map(|_| {
        let begun = Instant::now();
        assert_eq!(book(facts, &*PRICES).len(), booked);
        begun.elapsed()
    });
    runs.min().expect("some runs")
}

#[test]
fn a_hundred_thousand_spans_of_any_shape_take_time_in_proportion() {
    type Shape = (&'static str, fn(u64) -> Vec<Fact>, fn(u64) -> u64);
    let shapes: [Shape; 4] = [
        ("chain", chain, |spans| spans.div_ceil(4)),
        ("star", star, |spans| spans / 2 - 1),
        ("circle", circle, |_| 1),
        ("twins", twins, |_| 1),
    ];
    for (name, shape, booked) in shapes {
        let of = |spans: u64| {
            let booked = usize::try_from(booked(spans)).expect("a small number");
            took(&shape(spans), booked)
        };
        let (small, large) = (of(25_000), of(100_000));
        assert!(large < AT_MOST, "{name}: {large:?}");
        let growth = large.as_secs_f64() / small.as_secs_f64().max(0.01);
        assert!(growth < GROWTH_MAX, "{name}: {small:?} became {large:?}");
    }
}
