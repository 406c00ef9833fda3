//! Whose work a call is: context from ancestors (rule C1), the skill (rules K1 to K5).

use std::collections::HashMap;
use std::sync::Arc;

use super::booking::Attribution;
use super::fact::{Fact, Inherited, Skill, SkillSource};
use super::names::OpKind;
use super::shape::{At, Shape};

/// How many ancestors up rules look.
const HOPS_MAX: u16 = 512;

/// The nearest ancestor with some property, and how far up it is.
#[derive(Clone, Copy, Debug, Default)]
struct Near(Option<(u32, u16)>);

impl Near {
    /// The nearest for a child, where `above` is its parent's and `here` says that the parent itself
    /// has the property.
    fn step(here: bool, parent: At, above: Self) -> Self {
        if here {
            return Self(u32::try_from(parent).ok().map(|at| (at, 1)));
        }
        let further = above.0.map(|(at, hops)| (at, hops.saturating_add(1)));
        Self(further.filter(|(_, hops)| *hops <= HOPS_MAX))
    }

    fn at(self) -> Option<At> {
        self.0.and_then(|(at, _)| usize::try_from(at).ok())
    }
}

/// The skill of a span, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Skilled<'a> {
    pub(super) attribution: Attribution,
    /// The span that names it; the span itself for its own.
    pub(super) from: Option<At>,
    pub(super) skill: Option<&'a Skill>,
}

/// A span that loaded a skill, ordered by when it ended, then by start and id.
type Load = (i64, At);

/// Whose work the spans of a trace are.
#[derive(Debug)]
pub(super) struct Attributed<'s, 'a> {
    shape: &'s Shape<'a>,
    context: [Vec<Near>; Inherited::ALL.len()],
    agent: Vec<Near>,
    skill: Vec<Near>,
    /// By agent span, loads in the order of their ends.
    loads: HashMap<At, Vec<Load>>,
}

impl<'s, 'a> Attributed<'s, 'a> {
    pub(super) fn of(shape: &'s Shape<'a>) -> Self {
        let near = |has: &dyn Fn(&Fact) -> bool| {
            shape.inherit(Near::default(), |fact, parent, above| {
                Near::step(has(fact), parent, above)
            })
        };
        let agent = near(&|fact| fact.kind == OpKind::Agent);
        let mut loads: HashMap<At, Vec<Load>> = HashMap::new();
        for (at, span) in shape.spans.iter().enumerate() {
            let loader = span.fact.kind.loads_skills() && span.fact.skill.is_some();
            let under = agent.get(at).and_then(|near| near.at());
            if let Some(under) = under.filter(|_| loader) {
                let load = (span.fact.end_or_start(), at);
                loads.entry(under).or_default().push(load);
            }
        }
        loads.values_mut().for_each(|all| all.sort_unstable());
        Self {
            shape,
            context: Inherited::ALL.map(|which| near(&|fact| fact.own(which).is_some())),
            skill: near(&|fact| fact.skill.is_some()),
            agent,
            loads,
        }
    }

    /// The value of a column for the span at `at`, and the span that says it (rule C1).
    pub(super) fn context(&self, at: At, which: Inherited) -> Option<(&'a Arc<str>, At)> {
        if let Some(own) = self.shape.fact(at)?.own(which) {
            return Some((own, at));
        }
        let near = self.context.get(which as usize)?.get(at)?;
        let from = near.at()?;
        Some((self.shape.fact(from)?.own(which)?, from))
    }

    /// The skill of the span at `at`.
    pub(super) fn skill(&self, at: At) -> Skilled<'a> {
        let none = Skilled {
            attribution: Attribution::None,
            from: None,
            skill: None,
        };
        let Some(fact) = self.shape.fact(at) else {
            return none;
        };
        if let Some(own) = &fact.skill {
            return Skilled {
                attribution: own.source.into(),
                from: Some(at),
                skill: Some(own),
            };
        }
        let named = |from: Option<At>, attribution| {
            let skill = self.shape.fact(from?)?.skill.as_ref()?;
            Some(Skilled {
                attribution,
                from,
                skill: Some(skill),
            })
        };
        let ancestor = self.skill.get(at).and_then(|near| near.at());
        named(ancestor, Attribution::Ancestor)
            .or_else(|| named(self.last_loaded(at, fact), Attribution::LastLoaded))
            .unwrap_or(none)
    }

    /// The latest span under the same agent that loaded a skill and had ended when `fact` began
    /// (rule K4); of several that ended at once the last by start and id.
    fn last_loaded(&self, at: At, fact: &Fact) -> Option<At> {
        if !fact.kind.takes_last_skill() {
            return None;
        }
        let agent = self.agent.get(at)?.at()?;
        let loads = self.loads.get(&agent)?;
        let ended = loads.partition_point(|(end, _)| *end <= fact.start);
        let before = loads.get(..ended)?;
        before.last().map(|(_, at)| *at)
    }
}

impl From<SkillSource> for Attribution {
    fn from(source: SkillSource) -> Self {
        match source {
            SkillSource::Direct => Self::Direct,
            SkillSource::Metadata => Self::Metadata,
            SkillSource::ToolArgs => Self::ToolArgs,
            SkillSource::Resource => Self::Resource,
        }
    }
}
