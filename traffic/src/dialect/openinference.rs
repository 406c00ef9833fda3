//! OpenInference.

use super::usage::{Usage, UsageNames};
use super::{INTERNAL, Words};
use crate::draft::{CallDraft, Draft, Operation, ToolSkill, What};

const USAGE: UsageNames<'static> = UsageNames {
    input: "llm.token_count.prompt",
    output: "llm.token_count.completion",
    cache_read: "llm.token_count.prompt_details.cache_read",
    cache_write: "llm.token_count.prompt_details.cache_write",
    reasoning: "llm.token_count.completion_details.reasoning",
};

/// A span in its words.
pub(super) fn words(draft: &Draft) -> Words {
    let kinded = |name: &str, kind: &str| {
        let mut words = Words::named(name, INTERNAL);
        words.text("openinference.span.kind", kind);
        words
    };
    let mut skill = draft.about.skill.as_deref();
    let mut words = match &draft.what {
        What::Workflow(name) => kinded(name, "CHAIN"),
        What::App(_) | What::Plan | What::FetchResponse(_) => kinded("RunnableSequence", "CHAIN"),
        What::Step(sum) => {
            let mut words = kinded("RunnableCallable", "CHAIN");
            words.number("llm.token_count.prompt", sum.input);
            words.number("llm.token_count.completion", sum.output);
            words
        }
        What::Agent { name, sum } => {
            let mut words = kinded("AgentExecutor", "AGENT");
            words.text("agent.name", name);
            if let Some(sum) = sum {
                words.number("llm.token_count.prompt", sum.input);
                words.number("llm.token_count.completion", sum.output);
            }
            words
        }
        What::Tool {
            name,
            skill,
            content,
        } => {
            let mut words = kinded(name, "TOOL");
            words.text("tool.name", name);
            if let ToolSkill::Arguments(skill) | ToolSkill::Direct(skill) = skill {
                words.text("input.value", &format!(r#"{{"skill_name": "{skill}"}}"#));
            }
            words.content("output.value", *content, draft.span);
            words
        }
        What::Retrieval => kinded("VectorStoreRetriever", "RETRIEVER"),
        What::Call(call) => {
            skill = call.skill.as_deref();
            call_words(call, draft.span)
        }
    };
    words.maybe("user.id", draft.about.user.as_deref());
    words.maybe("session.id", draft.about.session.as_deref());
    if let Some(skill) = skill {
        words.text(
            "metadata",
            &format!(r#"{{"skill": "{skill}", "release": "2026.11"}}"#),
        );
    }
    words
}

fn call_words(call: &CallDraft, seed: u64) -> Words {
    let (kind, model) = match call.operation {
        Operation::Chat => ("LLM", "llm.model_name"),
        Operation::Embedding => ("EMBEDDING", "embedding.model_name"),
        Operation::Rerank => ("RERANKER", "reranker.model_name"),
    };
    let mut words = Words::named("ChatModel", INTERNAL);
    words.text("openinference.span.kind", kind);
    words.maybe(model, call.model_request);
    words.maybe("llm.provider", call.provider);
    words.usage(&Usage::inclusive(call), &USAGE);
    words.dollars("llm.cost.total", call.reported_nano);
    words.content("llm.input_messages.0.message.content", call.content, seed);
    words
}
