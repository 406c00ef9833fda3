//! Facts for tests.

use super::fact::{ContentKey, Fact, ModelCall, Skill, SkillSource, SpanId};
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

/// A span of some kind below another; model calls have an empty call.
pub(super) fn child(number: u64, parent: u64, kind: OpKind) -> Fact {
    Fact {
        parent: Some(id(parent)),
        kind,
        call: kind.is_model_call().then(Box::<ModelCall>::default),
        ..fact(number)
    }
}

/// A skill under its name.
pub(super) fn skill(name: &str) -> Skill {
    Skill {
        name: name.into(),
        version: None,
        source: SkillSource::Direct,
    }
}
