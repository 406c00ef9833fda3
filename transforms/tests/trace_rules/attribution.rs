//! Rules C1 and K1 to K5: whose work a call is.

use weir_transforms::trace::{Attribution, Fact, Inherited, OpKind, Sign, SkillSource, difference};

use super::world::{Spoken as _, booked, only, span, why};

fn skill_of(facts: &[Fact], number: u64) -> (Option<String>, Attribution) {
    let why = why(facts, number);
    (why.skill.map(|s| s.value.to_string()), why.attribution)
}

fn some(name: &str, attribution: Attribution) -> (Option<String>, Attribution) {
    (Some(name.into()), attribution)
}

const NONE: (Option<String>, Attribution) = (None, Attribution::None);

#[test]
fn each_column_comes_from_the_nearest_ancestor_that_has_it() {
    let facts = [
        span(1, OpKind::Workflow)
            .with(Inherited::UserId, "ann")
            .with(Inherited::AgentName, "outer")
            .with(Inherited::CostCenter, "c-1"),
        span(2, OpKind::Agent)
            .under(1)
            .with(Inherited::AgentName, "inner"),
        span(3, OpKind::Llm)
            .under(2)
            .with(Inherited::CostCenter, "c-2"),
    ];
    let booking = only(&facts);
    assert_eq!(booking.agent_name.as_deref(), Some("inner"));
    assert_eq!(booking.user_id.as_deref(), Some("ann"));
    assert_eq!(booking.cost_center.as_deref(), Some("c-2"));
    assert_eq!(booking.team_id, None);
    let from: Vec<(Inherited, u64)> = why(&facts, 3)
        .context
        .iter()
        .map(|(which, from)| (*which, from.span.0))
        .collect();
    let expected = [
        (Inherited::AgentName, 2),
        (Inherited::UserId, 1),
        (Inherited::CostCenter, 3),
    ];
    assert_eq!(from, expected);
}

#[test]
fn every_inherited_column_reaches_the_booking() {
    let mut root = span(1, OpKind::Workflow);
    for which in Inherited::ALL {
        root = root.with(which, which.name());
    }
    let b = only(&[root, span(2, OpKind::Llm).under(1)]);
    let columns = [
        (&b.agent_name, "agent_name"),
        (&b.agent_id, "agent_id"),
        (&b.session_id, "session_id"),
        (&b.user_id, "user_id"),
        (&b.workflow_name, "workflow_name"),
        (&b.team_id, "team_id"),
        (&b.cost_center, "cost_center"),
        (&b.project, "project"),
    ];
    for (value, name) in columns {
        assert_eq!(value.as_deref(), Some(name));
    }
}

#[test]
fn five_hundred_and_twelve_ancestors_are_looked_at() {
    let chain = |links: u64| -> Vec<Fact> {
        let root = span(0, OpKind::Agent)
            .with(Inherited::AgentName, "far")
            .skilled("far-skill", SkillSource::Direct);
        let mut facts = vec![root];
        facts.extend((1..links).map(|n| span(n, OpKind::Other).under(n - 1)));
        facts.push(span(links, OpKind::Llm).under(links - 1));
        facts
    };
    let near = only(&chain(512));
    assert_eq!(near.agent_name.as_deref(), Some("far"));
    assert_eq!(near.attribution, Attribution::Ancestor);
    let far = only(&chain(513));
    assert_eq!((far.agent_name, far.skill), (None, None));
}

#[test]
fn a_skill_of_the_spans_own_comes_first_with_its_kind() {
    let kinds = [
        (SkillSource::Direct, Attribution::Direct),
        (SkillSource::Metadata, Attribution::Metadata),
        (SkillSource::ToolArgs, Attribution::ToolArgs),
        (SkillSource::Resource, Attribution::Resource),
    ];
    for (source, attribution) in kinds {
        let facts = [
            span(1, OpKind::Agent).skilled("above", SkillSource::Direct),
            span(2, OpKind::Tool)
                .under(1)
                .skilled("loaded", SkillSource::Direct),
            span(5, OpKind::Llm).under(1).skilled("own", source),
        ];
        let booking = only(&facts);
        assert_eq!(booking.skill.as_deref(), Some("own"));
        assert_eq!(booking.skill_version.as_deref(), Some("own-1"));
        assert_eq!(booking.attribution, attribution);
    }
}

#[test]
fn then_the_nearest_ancestors_then_the_last_that_was_loaded() {
    let facts = [
        span(1, OpKind::Agent),
        span(2, OpKind::Tool)
            .under(1)
            .skilled("loaded", SkillSource::ToolArgs),
        span(4, OpKind::Workflow)
            .under(1)
            .skilled("step", SkillSource::Metadata),
        span(5, OpKind::Llm).under(4),
        span(7, OpKind::Llm).under(1),
    ];
    assert_eq!(skill_of(&facts, 5), some("step", Attribution::Ancestor));
    assert_eq!(skill_of(&facts, 7), some("loaded", Attribution::LastLoaded));
    let bookings = booked(&facts);
    assert_eq!(bookings[1].skill_version.as_deref(), Some("loaded-1"));
}

#[test]
fn the_call_that_decided_to_load_a_skill_stays_unattributed() {
    let facts = [
        span(1, OpKind::Agent),
        span(2, OpKind::Llm).under(1).lasting(0, 10),
        span(3, OpKind::Tool)
            .under(1)
            .lasting(10, 20)
            .skilled("pdf", SkillSource::Direct),
        span(4, OpKind::Llm).under(1).lasting(19, 30),
        span(5, OpKind::Llm).under(1).lasting(20, 30),
    ];
    assert_eq!(skill_of(&facts, 2), NONE);
    // It had begun before the skill was there.
    assert_eq!(skill_of(&facts, 4), NONE);
    assert_eq!(skill_of(&facts, 5), some("pdf", Attribution::LastLoaded));
}

#[test]
fn of_several_skills_in_one_agent_the_last_wins() {
    let load = |number, from, to, name| {
        let tool = span(number, OpKind::Tool).under(1).lasting(from, to);
        tool.skilled(name, SkillSource::Direct)
    };
    let facts = [
        span(1, OpKind::Agent),
        load(2, 0, 50, "slow"),
        load(3, 5, 20, "quick"),
        load(6, 1, 60, "one"),
        load(7, 2, 60, "two"),
        span(10, OpKind::Llm).under(1).lasting(30, 31),
        span(11, OpKind::Llm).under(1).lasting(55, 56),
        span(12, OpKind::Tool).under(1).lasting(70, 71),
    ];
    assert_eq!(skill_of(&facts, 10), some("quick", Attribution::LastLoaded));
    // When it ended decides, not when it began.
    assert_eq!(skill_of(&facts, 11), some("slow", Attribution::LastLoaded));
    // Of two that ended at once, the one that began later.
    assert_eq!(skill_of(&facts, 12), some("two", Attribution::LastLoaded));
}

#[test]
fn skills_stay_within_the_agent_that_loaded_them() {
    let facts = [
        span(1, OpKind::Agent),
        span(2, OpKind::Tool)
            .under(1)
            .skilled("outer", SkillSource::Direct),
        span(10, OpKind::Agent).under(1),
        span(11, OpKind::Llm).under(10),
        span(12, OpKind::Tool)
            .under(10)
            .skilled("inner", SkillSource::Direct),
        span(14, OpKind::Llm).under(10),
        span(20, OpKind::Llm).under(1),
        span(30, OpKind::Llm),
    ];
    assert_eq!(skill_of(&facts, 11), NONE);
    assert_eq!(skill_of(&facts, 14), some("inner", Attribution::LastLoaded));
    assert_eq!(skill_of(&facts, 20), some("outer", Attribution::LastLoaded));
    // Under no agent nothing is carried over.
    assert_eq!(skill_of(&facts, 30), NONE);
}

#[test]
fn only_tools_load_skills_and_only_work_takes_them() {
    use OpKind::*;
    let with = |loader: OpKind, taker: OpKind| {
        let facts = [
            span(1, Agent),
            span(2, loader).under(1).skilled("s", SkillSource::Direct),
            span(4, taker).under(1),
        ];
        skill_of(&facts, 4)
    };
    for loader in [Tool, Skill] {
        for taker in [Llm, Tool, Embedding, Rerank, Retrieval] {
            assert_eq!(with(loader, taker), some("s", Attribution::LastLoaded));
        }
        for taker in [Workflow, Other, Mcp, Memory, Plan] {
            assert_eq!(with(loader, taker), NONE, "{taker:?}");
        }
    }
    for loader in [Llm, Workflow, Other, Mcp, Agent] {
        assert_eq!(with(loader, Llm), NONE, "{loader:?}");
    }
}

#[test]
fn a_parent_that_comes_late_moves_the_cost() {
    let call = span(5, OpKind::Llm).under(1);
    let load = span(3, OpKind::Tool)
        .under(1)
        .skilled("late", SkillSource::Direct);
    let before = booked(&[call.clone(), load.clone()]);
    assert_eq!(before[0].attribution, Attribution::None);
    let agent = span(1, OpKind::Agent).with(Inherited::AgentName, "a");
    let after = booked(&[call, load, agent]);
    let changes = difference(&before, &after);
    let signs: Vec<Sign> = changes.iter().map(|(sign, _)| *sign).collect();
    assert_eq!(signs, [Sign::Minus, Sign::Plus]);
    assert_eq!(changes[1].1.skill.as_deref(), Some("late"));
    assert_eq!(changes[1].1.agent_name.as_deref(), Some("a"));
}
