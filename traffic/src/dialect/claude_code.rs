//! Claude Code's traces, whose counts are bare and additive.

use super::usage::Usage;
use super::{CLIENT, INTERNAL, Words};
use crate::draft::{CallDraft, Draft, ToolSkill, What};

/// A span in its words.
pub(super) fn words(draft: &Draft) -> Words {
    let typed = |name: &str, kind: &str| {
        let mut words = Words::named(name, INTERNAL);
        words.text("span.type", kind);
        words
    };
    let mut words = match &draft.what {
        What::Call(call) => call_words(call, draft.span),
        What::Agent { name, .. } => {
            let mut words = typed("claude_code.interaction", "interaction");
            words.text("agent.name", name);
            words
        }
        What::Tool {
            name,
            skill,
            content,
        } => {
            let mut words = typed("claude_code.tool", "tool");
            match skill {
                ToolSkill::None => words.text("tool_name", name),
                ToolSkill::Direct(skill) | ToolSkill::Arguments(skill) => {
                    words.text("tool_name", "Skill");
                    words.text("skill_name", skill);
                }
            }
            words.content("output", *content, draft.span);
            words
        }
        What::App(_)
        | What::Workflow(_)
        | What::Plan
        | What::Step(_)
        | What::Retrieval
        | What::FetchResponse(_) => typed("claude_code.hook", "hook"),
    };
    let about = &draft.about;
    words.maybe("user.account_uuid", about.user.as_deref());
    words.maybe("session.id", about.session.as_deref());
    words.maybe("allocation.tag.skill", about.skill.as_deref());
    words
}

fn call_words(call: &CallDraft, seed: u64) -> Words {
    let mut words = Words::named("claude_code.llm_request", CLIENT);
    words.text("span.type", "llm_request");
    words.maybe("model", call.model_request);
    words.maybe("request_id", call.response_id.as_deref());
    let usage = Usage::additive(call);
    // It writes what was cached even where that is nothing.
    for (name, count) in [
        ("input_tokens", usage.input),
        ("output_tokens", usage.output),
        ("cache_read_tokens", usage.cache_read),
        ("cache_creation_tokens", usage.cache_write),
    ] {
        if let Some(count) = count {
            words.number(name, count);
        }
    }
    words.dollars("cost_usd", call.reported_nano);
    words.maybe("allocation.tag.skill", call.skill.as_deref());
    words.content("prompt", call.content, seed);
    words
}
