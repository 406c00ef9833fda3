//! Spans to put together into traces, by hand and at random.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use weir_transforms::PriceList;
use weir_transforms::trace::{
    Booking, ContentKey, Context, CostStatus, Explanation, Fact, Inherited, ModelCall, OpKind,
    Shared, Skill, SkillSource, SpanId, Usage, UsageCount, Verdict, Why, book, explain,
};

/// The built-in list, read once.
pub(crate) static PRICES: LazyLock<PriceList> =
    LazyLock::new(|| PriceList::standard().expect("a list"));

/// 2026-11-21T00:00:00Z in nanoseconds: when traces by hand take place.
pub(crate) const DAY: i64 = 1_795_219_200_000_000_000;

/// A span of a kind: its number says its id, its content key and its start, and it takes ten ticks.
pub(crate) fn span(number: u64, kind: OpKind) -> Fact {
    let start = DAY + i64::try_from(number).expect("a small number") * 10;
    Fact {
        span: SpanId(number),
        content_key: ContentKey(u128::from(number) + 1000),
        received_us: 1,
        parent: None,
        start,
        end: Some(start + 10),
        kind,
        role: None,
        aggregate: false,
        error: None,
        dialect: None,
        context: None,
        skill: None,
        call: kind.is_model_call().then(|| Box::new(call())),
    }
}

/// What a call of GPT-4o says that tells nothing of its usage.
pub(crate) fn call() -> ModelCall {
    ModelCall {
        provider: Some("openai".into()),
        model_response: Some("gpt-4o".into()),
        ..ModelCall::default()
    }
}

/// Shorter ways to say what a span is like.
pub(crate) trait Spoken: Sized {
    fn under(self, parent: u64) -> Self;
    fn lasting(self, from: i64, to: i64) -> Self;
    fn with(self, which: Inherited, value: &str) -> Self;
    fn skilled(self, name: &str, source: SkillSource) -> Self;
    fn answered(self, response_id: &str) -> Self;
    fn used(self, counts: &[(UsageCount, i64)]) -> Self;
}

impl Spoken for Fact {
    fn under(mut self, parent: u64) -> Self {
        self.parent = Some(SpanId(parent));
        self
    }

    /// From and to are ticks after midnight.
    fn lasting(mut self, from: i64, to: i64) -> Self {
        (self.start, self.end) = (DAY + from, Some(DAY + to));
        self
    }

    fn with(mut self, which: Inherited, value: &str) -> Self {
        let mut context = self.context.as_deref().cloned().unwrap_or_default();
        context.set(which, Some(value.into()));
        self.context = Some(Arc::new(context));
        self
    }

    fn skilled(mut self, name: &str, source: SkillSource) -> Self {
        self.skill = Some(Skill {
            name: name.into(),
            version: Some(format!("{name}-1").into()),
            source,
        });
        self
    }

    fn answered(mut self, response_id: &str) -> Self {
        self.call.as_mut().expect("a call").response_id = Some(response_id.into());
        self
    }

    fn used(mut self, counts: &[(UsageCount, i64)]) -> Self {
        let call = self.call.as_mut().expect("a call");
        for (which, count) in counts {
            call.usage.set(*which, Some(*count));
        }
        // As it comes from the lake: priced by itself.
        self.reprice(&*PRICES);
        self
    }
}

/// The bookings of `facts` by the built-in list.
pub(crate) fn booked(facts: &[Fact]) -> Vec<Booking> {
    book(facts, &*PRICES)
}

/// The one booking of `facts`.
pub(crate) fn only(facts: &[Fact]) -> Booking {
    let mut all = booked(facts);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

/// The numbers of the spans that are booked.
pub(crate) fn numbers(facts: &[Fact]) -> Vec<u64> {
    booked(facts).iter().map(|b| b.span.0).collect()
}

/// What is said of one span.
pub(crate) fn why(facts: &[Fact], number: u64) -> Why {
    let Explanation { spans } = explain(facts, &*PRICES);
    spans
        .into_iter()
        .find(|w| w.span == SpanId(number))
        .expect("the span")
}

/// What became of one span.
pub(crate) fn verdict(facts: &[Fact], number: u64) -> Verdict {
    why(facts, number).verdict
}

fn name(of: &'static [&'static str]) -> impl Strategy<Value = Option<Arc<str>>> + Clone {
    prop_oneof![2 => Just(None), 1 => proptest::sample::select(of).prop_map(|t| Some(t.into()))]
}

fn kind() -> impl Strategy<Value = OpKind> {
    use OpKind::*;
    prop_oneof![
        5 => Just(Llm),
        1 => Just(Embedding),
        3 => Just(Tool),
        2 => Just(Agent),
        3 => Just(Other),
        1 => proptest::sample::select(&[Workflow, Skill, Retrieval, FetchResponse, Unlisted][..]),
    ]
}

fn context() -> impl Strategy<Value = Context> {
    let texts = proptest::array::uniform9(name(&["a", "b"]));
    (texts, name(&["production"])).prop_map(|(inherited, environment)| Context {
        inherited,
        environment,
    })
}

fn skill() -> impl Strategy<Value = Option<Skill>> {
    let sources = [
        SkillSource::Direct,
        SkillSource::Metadata,
        SkillSource::ToolArgs,
        SkillSource::Resource,
    ];
    let skill = (
        name(&["s", "t"]),
        name(&["1"]),
        proptest::sample::select(sources.to_vec()),
    );
    skill.prop_map(|(name, version, source)| {
        let name = name?;
        Some(Skill {
            name,
            version,
            source,
        })
    })
}

fn usage() -> impl Strategy<Value = Usage> {
    let count = proptest::option::of(prop_oneof![
        0..3_i64,
        0..2_000_i64,
        99_999_999_990..=100_000_000_000_i64
    ]);
    proptest::collection::vec(count, UsageCount::ALL.len()).prop_map(|counts| {
        let mut usage = Usage::default();
        for (which, count) in UsageCount::ALL.into_iter().zip(counts) {
            usage.set(which, count);
        }
        usage
    })
}

fn model_call() -> impl Strategy<Value = ModelCall> {
    let names = (
        name(&["openai", "anthropic"]),
        name(&["gpt-4o", "no-such-model"]),
        name(&["gpt-4o-mini", "claude-sonnet-4-5"]),
        name(&["flex", "batch"]),
        name(&["response-1", "response-2", "short"]),
        name(&["a-list"]),
    );
    let flags = (
        any::<[bool; 3]>(),
        any::<Option<bool>>(),
        proptest::option::of(0..10_i128.pow(13)),
    );
    (names, usage(), flags).prop_map(
        |(names, usage, ([invalid, inclusive, reasoning], batch, reported))| {
            let (provider, model_request, model_response, service_tier, response_id, list) = names;
            ModelCall {
                provider,
                model_request,
                model_response,
                service_tier,
                response_id,
                batch,
                usage: if invalid { Usage::default() } else { usage },
                invalid,
                made_inclusive: inclusive,
                reasoning_added: reasoning,
                reported,
                computed: reported.map(|r| r / 2),
                cost: reported,
                status: CostStatus::Reported,
                disagrees: reported.map(|_| true),
                price_ref: list
                    .as_ref()
                    .map(|list| format!("{list}:openai/gpt-4o").into()),
                list,
            }
        },
    )
}

/// A span of a trace of about `spans`: with any parent, and any content under a few ids.
pub(crate) fn any_fact(spans: u64) -> impl Strategy<Value = Fact> {
    let ids = (
        0..spans,
        0..3_u128,
        proptest::option::of(0..spans + 2),
        0..3_i64,
    );
    let times = (0..300_i64, proptest::option::of(-20..100_i64));
    let rest = (
        any::<bool>(),
        name(&["timeout"]),
        name(&["langfuse", "openinference"]),
    );
    (ids, times, kind(), rest, context(), skill(), model_call()).prop_map(
        |((id, content, parent, received_us), (start, lasts), kind, rest, context, skill, call)| {
            let (aggregate, error, dialect) = rest;
            Fact {
                span: SpanId(id),
                content_key: ContentKey(content),
                received_us,
                parent: parent.map(SpanId),
                start: DAY + start,
                end: lasts.map(|lasts| DAY + start + lasts),
                kind,
                role: None,
                aggregate,
                error,
                dialect,
                context: Shared::default().context(context),
                skill,
                call: kind.is_model_call().then(|| Box::new(call)),
            }
        },
    )
}

/// A trace of up to `spans`, with copies and conflicts, circles and missing parents.
pub(crate) fn any_trace(spans: usize) -> impl Strategy<Value = Vec<Fact>> {
    let of = move |size: usize| {
        let ids = u64::try_from(size).expect("a small number");
        proptest::collection::vec(any_fact(ids), size)
    };
    (1..=spans).prop_flat_map(of)
}
