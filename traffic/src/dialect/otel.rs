//! OpenTelemetry's conventions for generative AI, as they are and as they were.

use super::usage::{Usage, UsageNames};
use super::{CLIENT, INTERNAL, Words};
use crate::catalog::Tokens;
use crate::draft::{CallDraft, Draft, Operation, ToolSkill, What};

/// The names that changed.
struct Names {
    provider: &'static str,
    usage: UsageNames<'static>,
    skill: &'static str,
}

const NEW: Names = Names {
    provider: "gen_ai.provider.name",
    usage: UsageNames {
        input: "gen_ai.usage.input_tokens",
        output: "gen_ai.usage.output_tokens",
        cache_read: "gen_ai.usage.cache_read.input_tokens",
        cache_write: "gen_ai.usage.cache_write.input_tokens",
        reasoning: "gen_ai.usage.reasoning.output_tokens",
    },
    skill: "gen_ai.skill.name",
};

const OLD: Names = Names {
    provider: "gen_ai.system",
    usage: UsageNames {
        input: "gen_ai.usage.prompt_tokens",
        output: "gen_ai.usage.completion_tokens",
        cache_read: "gen_ai.usage.cache_read_input_tokens",
        cache_write: "gen_ai.usage.cache_creation_input_tokens",
        reasoning: "gen_ai.usage.reasoning_tokens",
    },
    skill: "skill.name",
};

/// As they are.
pub(super) fn new(draft: &Draft) -> Words {
    words(draft, &NEW)
}

/// As they were.
pub(super) fn old(draft: &Draft) -> Words {
    words(draft, &OLD)
}

fn words(draft: &Draft, names: &Names) -> Words {
    let mut words = match &draft.what {
        What::App(name) => Words::named(*name, INTERNAL),
        What::Workflow(name) => {
            let mut words = operation("invoke_workflow", name);
            words.text("gen_ai.workflow.name", name);
            words
        }
        What::Plan => operation("plan", "next steps"),
        What::Step(sum) => {
            let mut words = operation("agent_step", "");
            repeated(&mut words, names, *sum);
            words
        }
        What::Agent { name, sum } => {
            let mut words = operation("invoke_agent", name);
            words.text("gen_ai.agent.name", name);
            words.text(
                "gen_ai.agent.description",
                "Reads documents and answers questions",
            );
            if let Some(sum) = sum {
                repeated(&mut words, names, *sum);
            }
            words
        }
        What::Call(call) => call_words(call, names, draft.span),
        What::Tool {
            name,
            skill,
            content,
        } => tool(name, skill, (*content, draft.span), names),
        What::Retrieval => operation("retrieval", "kb-7f3a"),
        What::FetchResponse(id) => {
            let mut words = operation("fetch_response", "");
            words.text("gen_ai.response.id", id);
            words
        }
    };
    words.maybe("user.id", draft.about.user.as_deref());
    words.maybe("gen_ai.conversation.id", draft.about.session.as_deref());
    words.maybe("allocation.tag.skill", draft.about.skill.as_deref());
    words
}

fn operation(operation: &str, of: &str) -> Words {
    let name = format!("{operation} {of}");
    let mut words = Words::named(name.trim_end(), INTERNAL);
    words.text("gen_ai.operation.name", operation);
    words
}

fn repeated(words: &mut Words, names: &Names, sum: Tokens) {
    words.number(names.usage.input, sum.input);
    words.number(names.usage.output, sum.output);
}

fn call_words(call: &CallDraft, names: &Names, seed: u64) -> Words {
    let what = match call.operation {
        Operation::Chat => "chat",
        Operation::Embedding => "embeddings",
        Operation::Rerank => "rerank",
    };
    let name = format!("{what} {}", call.model_request.unwrap_or_default());
    let mut words = Words::named(name.trim_end(), CLIENT);
    words.text("gen_ai.operation.name", what);
    words.maybe(names.provider, call.provider);
    words.maybe("gen_ai.request.model", call.model_request);
    words.maybe("gen_ai.response.model", call.model_response);
    words.maybe("gen_ai.response.id", call.response_id.as_deref());
    words.number("gen_ai.request.max_tokens", 4096);
    words.text("server.address", "api.example.com");
    words.usage(&Usage::inclusive(call), &names.usage);
    words.dollars("gen_ai.usage.cost", call.reported_nano);
    words.maybe("allocation.tag.skill", call.skill.as_deref());
    words.content("gen_ai.input.messages", call.content, seed);
    words
}

fn tool(name: &str, skill: &ToolSkill, (content, seed): (usize, u64), names: &Names) -> Words {
    let mut words = operation("execute_tool", name);
    words.text("gen_ai.tool.name", name);
    words.text("gen_ai.tool.type", "function");
    words.text("gen_ai.tool.call.id", &format!("call_{seed:016x}"));
    match skill {
        ToolSkill::None => {}
        ToolSkill::Direct(skill) => {
            words.text(names.skill, skill);
            words.text("gen_ai.skill.version", "1.2.0");
        }
        ToolSkill::Arguments(skill) => {
            let arguments = format!(r#"{{"skill_name":"{skill}"}}"#);
            words.text("gen_ai.tool.call.arguments", &arguments);
        }
    }
    words.content("gen_ai.tool.call.result", content, seed);
    words
}
