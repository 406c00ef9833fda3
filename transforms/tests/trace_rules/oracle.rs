//! The rules as they are written, by looking again and again at all spans: slow, and compared.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_transforms::trace::{Attribution, Fact, Inherited, OpKind, SpanId, Verdict, explain};

use super::world::{PRICES, any_trace};

/// A trace without copies and without circles: each parent has a smaller id, or is missing.
fn tree(facts: Vec<Fact>) -> BTreeMap<SpanId, Fact> {
    let mut spans = BTreeMap::new();
    for mut fact in facts {
        fact.parent = fact
            .parent
            .filter(|parent| *parent < fact.span || parent.0 > 1_000);
        spans.entry(fact.span).or_insert(fact);
    }
    spans
}

/// The ancestors of a span, the nearest first.
fn up<'a>(spans: &'a BTreeMap<SpanId, Fact>, of: &'a Fact) -> impl Iterator<Item = &'a Fact> {
    std::iter::successors(of.parent.and_then(|id| spans.get(&id)), |fact| {
        fact.parent.and_then(|id| spans.get(&id))
    })
    .take(512)
}

fn agent_of(spans: &BTreeMap<SpanId, Fact>, of: &Fact) -> Option<SpanId> {
    let found = up(spans, of).find(|fact| fact.kind == OpKind::Agent);
    found.map(|fact| fact.span)
}

/// The span whose skill counts for `of`, and how.
fn skill(spans: &BTreeMap<SpanId, Fact>, of: &Fact) -> (Option<SpanId>, &'static str) {
    if let Some(own) = &of.skill {
        return (Some(of.span), own.source.name());
    }
    if let Some(above) = up(spans, of).find(|fact| fact.skill.is_some()) {
        return (Some(above.span), "ancestor");
    }
    let takes = matches!(
        of.kind,
        OpKind::Llm | OpKind::Tool | OpKind::Embedding | OpKind::Rerank | OpKind::Retrieval
    );
    let agent = agent_of(spans, of).filter(|_| takes);
    let mut best: Option<&Fact> = None;
    for load in spans.values() {
        let end = load.end.unwrap_or(load.start).max(load.start);
        let loads = load.skill.is_some() && matches!(load.kind, OpKind::Tool | OpKind::Skill);
        if !loads || agent.is_none() || agent_of(spans, load) != agent || end > of.start {
            continue;
        }
        let order = |f: &Fact| (f.end.unwrap_or(f.start).max(f.start), f.start, f.span);
        if best.is_none_or(|best| order(load) > order(best)) {
            best = Some(load);
        }
    }
    best.map_or((None, Attribution::None.name()), |load| {
        (Some(load.span), "last_loaded")
    })
}

/// The span whose transport `of` is.
fn outer(spans: &BTreeMap<SpanId, Fact>, of: &Fact) -> Option<SpanId> {
    let nearest = up(spans, of).find(|fact| fact.kind != OpKind::Other)?;
    (of.kind.is_model_call() && nearest.kind == of.kind).then_some(nearest.span)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn one_pass_finds_what_looking_at_everything_finds(facts in any_trace(32)) {
        let spans = tree(facts);
        let facts: Vec<Fact> = spans.values().cloned().collect();
        for why in explain(&facts, &*PRICES).spans {
            let fact = &spans[&why.span];
            for which in Inherited::ALL {
                let says = |f: &&Fact| f.context.as_ref().is_some_and(|c| c.get(which).is_some());
                let expected = std::iter::once(fact).chain(up(&spans, fact)).find(says);
                let found = why.context.iter().find(|(column, _)| *column == which);
                prop_assert_eq!(found.map(|(_, from)| from.span), expected.map(|f| f.span));
            }
            let found = (why.skill.as_ref().map(|s| s.span), why.attribution.name());
            prop_assert_eq!(found, skill(&spans, fact));
            let nested = match why.verdict {
                Verdict::Nested { of, .. } => Some(of),
                Verdict::Booked(_) | Verdict::NoCall { .. } | Verdict::Fetched
                | Verdict::SameResponse { .. } => None,
            };
            prop_assert_eq!(nested, outer(&spans, fact));
        }
    }
}
