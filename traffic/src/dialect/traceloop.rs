//! OpenLLMetry (Traceloop), and LiteLLM, which write OpenTelemetry's old names and some of their own.

use super::usage::{Usage, UsageNames};
use super::{CLIENT, INTERNAL, Words};
use crate::draft::{CallDraft, Draft, Operation, ToolSkill, What};

const USAGE: UsageNames<'static> = UsageNames {
    input: "gen_ai.usage.input_tokens",
    output: "gen_ai.usage.output_tokens",
    cache_read: "gen_ai.usage.cache_read_input_tokens",
    cache_write: "gen_ai.usage.cache_creation.input_tokens",
    reasoning: "gen_ai.usage.reasoning_tokens",
};

/// OpenLLMetry.
pub(super) fn words(draft: &Draft) -> Words {
    let entity = |name: &str, kind: &str| {
        let mut words = Words::named(format!("{name}.{kind}"), INTERNAL);
        words.text("traceloop.span.kind", kind);
        words.text("traceloop.entity.name", name);
        words
    };
    let mut words = match &draft.what {
        What::Call(call) => traceloop_call(call, draft.span),
        What::Workflow(name) => {
            let mut words = entity(name, "workflow");
            words.text("traceloop.workflow.name", name);
            words
        }
        What::Agent { name, .. } => {
            let mut words = entity(name, "agent");
            words.text("gen_ai.agent.name", name);
            words
        }
        What::Tool {
            name,
            skill,
            content,
        } => {
            let mut words = entity(name, "tool");
            if let ToolSkill::Arguments(skill) | ToolSkill::Direct(skill) = skill {
                let arguments = format!(r#"{{"skill_name": "{skill}"}}"#);
                words.text("traceloop.entity.input", &arguments);
            }
            words.content("traceloop.entity.output", *content, draft.span);
            words
        }
        What::App(_) | What::Plan | What::Step(_) | What::Retrieval | What::FetchResponse(_) => {
            entity("step", "task")
        }
    };
    let about = &draft.about;
    words.maybe(
        "traceloop.association.properties.user_id",
        about.user.as_deref(),
    );
    words.maybe(
        "traceloop.association.properties.session_id",
        about.session.as_deref(),
    );
    words.maybe(
        "traceloop.association.properties.skill",
        about.skill.as_deref(),
    );
    words
}

fn traceloop_call(call: &CallDraft, seed: u64) -> Words {
    let (name, kind) = match call.operation {
        Operation::Chat => ("openai.chat", "chat"),
        Operation::Embedding => ("openai.embeddings", "embedding"),
        Operation::Rerank => ("cohere.rerank", "rerank"),
    };
    let mut words = Words::named(name, CLIENT);
    words.text("llm.request.type", kind);
    words.maybe("gen_ai.system", call.provider);
    words.maybe("gen_ai.request.model", call.model_request);
    words.maybe("gen_ai.response.model", call.model_response);
    words.maybe("gen_ai.response.id", call.response_id.as_deref());
    words.usage(&Usage::inclusive(call), &USAGE);
    words.dollars("gen_ai.usage.cost", call.reported_nano);
    words.maybe(
        "traceloop.association.properties.skill",
        call.skill.as_deref(),
    );
    words.content("gen_ai.prompt.0.content", call.content, seed);
    words
}

/// LiteLLM, which sees single calls at a gateway.
pub(super) fn litellm(draft: &Draft) -> Words {
    let mut words = match &draft.what {
        What::Call(call) => litellm_call(call, draft.span),
        What::App(_)
        | What::Workflow(_)
        | What::Plan
        | What::Step(_)
        | What::Agent { .. }
        | What::Tool { .. }
        | What::Retrieval
        | What::FetchResponse(_) => Words::named("proxy_pre_call", INTERNAL),
    };
    words.maybe("metadata.user_api_key_user_id", draft.about.user.as_deref());
    words
}

fn litellm_call(call: &CallDraft, seed: u64) -> Words {
    let operation = match call.operation {
        Operation::Chat => "chat",
        Operation::Embedding => "embeddings",
        Operation::Rerank => "rerank",
    };
    let mut words = Words::named("litellm_request", CLIENT);
    words.text("gen_ai.operation.name", operation);
    words.maybe("gen_ai.system", call.provider);
    words.maybe("gen_ai.request.model", call.model_request);
    words.maybe("gen_ai.response.model", call.model_response);
    words.maybe("gen_ai.response.id", call.response_id.as_deref());
    // It tells the sums alone.
    let usage = Usage {
        cache_read: None,
        cache_write: None,
        reasoning: None,
        ..Usage::inclusive(call)
    };
    words.usage(&usage, &USAGE);
    words.dollars("gen_ai.cost.total_cost", call.reported_nano);
    if let Some(skill) = &call.skill {
        // As Python writes a dictionary.
        let metadata = format!("{{'skill': '{skill}', 'job': None}}");
        words.text("metadata.spend_logs_metadata", &metadata);
    }
    words.content("gen_ai.input.messages", call.content, seed);
    words
}
