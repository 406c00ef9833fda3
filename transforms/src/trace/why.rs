//! The same rules, with the reason for everything.

use std::sync::Arc;

use super::bill::Bill;
use super::book::Trace;
use super::booking::{Attribution, Booking};
pub use super::charge::Gap;
use super::fact::{Fact, Inherited, SpanId};
use super::names::OpKind;
use super::shape::{At, Shape};
use crate::price::Prices;

/// What became of a span, and by which rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is booked.
    Booked(Box<Booking>),
    /// It is no model call (rule B1).
    NoCall {
        /// It repeats the usage of other spans (rule U1).
        aggregate: bool,
    },
    /// It fetches an answer that was paid for when it was made (rule B4).
    Fetched,
    /// It reports the call of an ancestor (rule B2).
    Nested {
        /// That ancestor.
        of: SpanId,
        /// The span that is booked for the call.
        booked: SpanId,
    },
    /// It reports the call of a span with the same response id, at the same time (rule B3).
    SameResponse {
        /// The span that is booked for the call.
        booked: SpanId,
    },
}

impl Verdict {
    /// The rule that decided, by its name in the documentation.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Booked(_) | Self::NoCall { .. } => "B1",
            Self::Fetched => "B4",
            Self::Nested { .. } => "B2",
            Self::SameResponse { .. } => "B3",
        }
    }
}

/// A value, and the span that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct From {
    /// The value.
    pub value: Arc<str>,
    /// The span that says it; the span itself for its own.
    pub span: SpanId,
}

/// A gap of a booked call, and the twin that filled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// What was missing.
    pub gap: Gap,
    /// The twin that has it.
    pub by: SpanId,
}

/// Why a span costs what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The span.
    pub span: SpanId,
    /// Its parent in the tree; none for roots, where the parent has not come, and where a circle of
    /// parents was cut.
    pub parent: Option<SpanId>,
    /// The parent that it names has not come.
    pub parent_missing: bool,
    /// A circle of parents was cut at this span.
    pub cut: bool,
    /// How many copies of it came (rule B0).
    pub copies: usize,
    /// The copies differ; the one with the smallest content key counts.
    pub conflict: bool,
    /// What it does.
    pub kind: OpKind,
    /// What became of it.
    pub verdict: Verdict,
    /// How it came by its skill.
    pub attribution: Attribution,
    /// The skill, and the span that names it.
    pub skill: Option<From>,
    /// The columns of rule C1 that it has or inherits.
    pub context: Vec<(Inherited, From)>,
    /// What twins filled, for a booked call.
    pub filled: Vec<Filled>,
}

/// Why a trace costs what it costs: its spans by start and id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Each span once.
    pub spans: Vec<Why>,
}

impl Explanation {
    /// The bookings among them: what [`book`](super::book()) gives for the same facts.
    pub fn bookings(&self) -> impl Iterator<Item = &Booking> {
        self.spans.iter().filter_map(|why| match &why.verdict {
            Verdict::Booked(booking) => Some(&**booking),
            Verdict::NoCall { .. }
            | Verdict::Fetched
            | Verdict::Nested { .. }
            | Verdict::SameResponse { .. } => None,
        })
    }
}

/// As [`book`](super::book()), with the reason for each span.
pub fn explain(facts: &[Fact], prices: &dyn Prices) -> Explanation {
    let shape = Shape::of(facts);
    let trace = Trace::of(&shape, prices);
    let spans = (0..shape.spans.len()).filter_map(|at| why(&trace, at));
    Explanation {
        spans: spans.collect(),
    }
}

fn why(trace: &Trace<'_, '_>, at: At) -> Option<Why> {
    let shape = trace.shape;
    let span = shape.get(at)?;
    let id = |at: At| shape.fact(at).map(|fact| fact.span);
    let skilled = trace.attributed.skill(at);
    let skill = skilled.skill.zip(skilled.from.and_then(id));
    let mut filled = Vec::new();
    let booked = trace.bills.booked.get(at).copied().flatten().and_then(id);
    let verdict = match *trace.bills.bills.get(at)? {
        Bill::NoCall if span.fact.kind == OpKind::FetchResponse => Verdict::Fetched,
        Bill::NoCall => Verdict::NoCall {
            aggregate: span.fact.aggregate,
        },
        Bill::Nested { of } => Verdict::Nested {
            of: id(of)?,
            booked: booked?,
        },
        Bill::SameResponse { .. } => Verdict::SameResponse { booked: booked? },
        Bill::Booked => {
            let (booking, charge) = trace.booking(at)?;
            let by = charge.filled.into_iter();
            filled = by
                .filter_map(|(gap, by)| Some(Filled { gap, by: id(by)? }))
                .collect();
            Verdict::Booked(Box::new(booking))
        }
    };
    let context = Inherited::ALL.into_iter().filter_map(|which| {
        let (value, from) = trace.attributed.context(at, which)?;
        let from = From {
            value: Arc::clone(value),
            span: id(from)?,
        };
        Some((which, from))
    });
    Some(Why {
        span: span.fact.span,
        parent: span.parent.and_then(id),
        parent_missing: span.fact.parent.is_some() && span.parent.is_none() && !span.cut,
        cut: span.cut,
        copies: span.copies,
        conflict: span.conflict,
        kind: span.fact.kind,
        verdict,
        attribution: skilled.attribution,
        skill: skill.map(|(skill, span)| From {
            value: Arc::clone(&skill.name),
            span,
        }),
        context: context.collect(),
        filled,
    })
}
