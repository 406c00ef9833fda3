//! OpenInference, the Vercel AI SDK, Langfuse and Claude Code.

use super::{CLIENT, INTERNAL, Words, input};
use crate::draft::{CallDraft, Draft, Operation, ToolSkill, What};

/// OpenInference.
pub(super) fn openinference(draft: &Draft) -> Words {
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
            openinference_call(call, draft.span)
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

fn openinference_call(call: &CallDraft, seed: u64) -> Words {
    let (kind, model) = match call.operation {
        Operation::Chat => ("LLM", "llm.model_name"),
        Operation::Embedding => ("EMBEDDING", "embedding.model_name"),
        Operation::Rerank => ("RERANKER", "reranker.model_name"),
    };
    let mut words = Words::named("ChatModel", INTERNAL);
    words.text("openinference.span.kind", kind);
    words.maybe(model, call.model_request);
    words.maybe("llm.provider", call.provider);
    let (tokens, shown) = (call.tokens, call.shown);
    words.count("llm.token_count.prompt", shown.input, input(call, false));
    words.count("llm.token_count.completion", shown.output, tokens.output);
    let details = |part: &str| format!("llm.token_count.prompt_details.{part}");
    let cache = |count: i64| shown.cache && count > 0;
    words.count(
        &details("cache_read"),
        cache(tokens.cache_read),
        tokens.cache_read,
    );
    words.count(
        &details("cache_write"),
        cache(tokens.cache_write),
        tokens.cache_write,
    );
    let thought = tokens.reasoning;
    let key = "llm.token_count.completion_details.reasoning";
    words.count(key, shown.reasoning && thought > 0, thought);
    words.dollars("llm.cost.total", call.reported_nano);
    words.content("llm.input_messages.0.message.content", call.content, seed);
    words
}

/// The Vercel AI SDK under its older names.
pub(super) fn vercel(draft: &Draft) -> Words {
    let operation = |id: &str| {
        let mut words = Words::named(id, INTERNAL);
        words.text("ai.operationId", id);
        words
    };
    let mut words = match &draft.what {
        What::Agent { name, sum } => {
            let mut words = operation("ai.generateText");
            words.text("ai.telemetry.functionId", name);
            if let Some(sum) = sum {
                words.number("ai.usage.inputTokens", sum.input);
                words.number("ai.usage.outputTokens", sum.output);
            }
            words
        }
        What::Tool {
            name,
            skill,
            content,
        } => {
            let mut words = operation("ai.toolCall");
            words.text("ai.toolCall.name", name);
            words.text("ai.toolCall.id", &format!("call_{:016x}", draft.span));
            if let ToolSkill::Arguments(skill) | ToolSkill::Direct(skill) = skill {
                words.text(
                    "ai.toolCall.args",
                    &format!(r#"{{"skill_name":"{skill}"}}"#),
                );
            }
            words.content("ai.toolCall.result", *content, draft.span);
            words
        }
        What::Call(call) => vercel_call(call, draft.span),
        What::App(_)
        | What::Workflow(_)
        | What::Plan
        | What::Step(_)
        | What::Retrieval
        | What::FetchResponse(_) => Words::named("step", INTERNAL),
    };
    let about = &draft.about;
    words.maybe("ai.telemetry.metadata.userId", about.user.as_deref());
    words.maybe("ai.telemetry.metadata.sessionId", about.session.as_deref());
    words.maybe("ai.telemetry.metadata.skill", about.skill.as_deref());
    words
}

fn vercel_call(call: &CallDraft, seed: u64) -> Words {
    let embeds = call.operation == Operation::Embedding;
    let id = if embeds {
        "ai.embed.doEmbed"
    } else {
        "ai.generateText.doGenerate"
    };
    let mut words = Words::named(id, INTERNAL);
    words.text("ai.operationId", id);
    // The SDK names the provider with the kind of interface behind a point.
    let provider = call.provider.map(|provider| match provider {
        "anthropic" => "anthropic.messages",
        "openai" => "openai.chat",
        other => other,
    });
    words.maybe("ai.model.provider", provider);
    words.maybe("ai.model.id", call.model_request);
    words.maybe("ai.response.model", call.model_response);
    words.maybe("ai.response.id", call.response_id.as_deref());
    let (tokens, shown) = (call.tokens, call.shown);
    let counted = if embeds {
        "ai.usage.tokens"
    } else {
        "ai.usage.inputTokens"
    };
    words.count(counted, shown.input, input(call, false));
    words.count("ai.usage.outputTokens", shown.output, tokens.output);
    let cache = |count: i64| shown.cache && count > 0;
    words.count(
        "ai.usage.cachedInputTokens",
        cache(tokens.cache_read),
        tokens.cache_read,
    );
    let key = "ai.usage.inputTokenDetails.cacheWriteTokens";
    words.count(key, cache(tokens.cache_write), tokens.cache_write);
    let thought = tokens.reasoning;
    words.count(
        "ai.usage.reasoningTokens",
        shown.reasoning && thought > 0,
        thought,
    );
    words.maybe("ai.telemetry.metadata.skill", call.skill.as_deref());
    words.content("ai.prompt.messages", call.content, seed);
    words
}

/// Langfuse's SDK, whose counts are additive.
pub(super) fn langfuse(draft: &Draft) -> Words {
    let typed = |name: &str, kind: &str| {
        let mut words = Words::named(name, INTERNAL);
        words.text("langfuse.observation.type", kind);
        words
    };
    let mut words = match &draft.what {
        What::Call(call) => langfuse_call(call, draft.span),
        What::Agent { name, .. } => typed(name, "agent"),
        What::Tool { name, content, .. } => {
            let mut words = typed(name, "tool");
            words.content("langfuse.observation.output", *content, draft.span);
            words
        }
        What::Workflow(name) => {
            let mut words = typed(name, "chain");
            words.text("langfuse.trace.name", name);
            words
        }
        What::Retrieval => typed("search", "retriever"),
        What::App(_) | What::Plan | What::Step(_) | What::FetchResponse(_) => typed("step", "span"),
    };
    let about = &draft.about;
    words.maybe("langfuse.user.id", about.user.as_deref());
    words.maybe("langfuse.session.id", about.session.as_deref());
    words.maybe("langfuse.trace.metadata.skill", about.skill.as_deref());
    words
}

fn langfuse_call(call: &CallDraft, seed: u64) -> Words {
    let kind = match call.operation {
        Operation::Chat | Operation::Rerank => "generation",
        Operation::Embedding => "embedding",
    };
    let mut words = Words::named("generation", INTERNAL);
    words.text("langfuse.observation.type", kind);
    words.maybe("langfuse.observation.model.name", call.model_request);
    let (tokens, shown) = (call.tokens, call.shown);
    let cache = |count: i64| shown.cache && count > 0;
    let details: Vec<String> = [
        ("input", shown.input, input(call, true)),
        ("output", shown.output, tokens.output),
        (
            "cache_read_input_tokens",
            cache(tokens.cache_read),
            tokens.cache_read,
        ),
        (
            "cache_creation_input_tokens",
            cache(tokens.cache_write),
            tokens.cache_write,
        ),
        (
            "output_reasoning_tokens",
            shown.reasoning && tokens.reasoning > 0,
            tokens.reasoning,
        ),
    ]
    .into_iter()
    .filter(|(_, shown, _)| *shown)
    .map(|(name, _, count)| format!(r#""{name}": {count}"#))
    .collect();
    if !details.is_empty() {
        let details = format!("{{{}}}", details.join(", "));
        words.text("langfuse.observation.usage_details", &details);
    }
    if let Some(nano) = call.reported_nano {
        let cost = format!(
            r#"{{"total": {}.{:09}}}"#,
            nano / 1_000_000_000,
            nano % 1_000_000_000
        );
        words.text("langfuse.observation.cost_details", &cost);
    }
    words.maybe("langfuse.observation.metadata.skill", call.skill.as_deref());
    words.content("langfuse.observation.input", call.content, seed);
    words
}

/// Claude Code's traces, whose counts are bare and additive.
pub(super) fn claude_code(draft: &Draft) -> Words {
    let typed = |name: &str, kind: &str| {
        let mut words = Words::named(name, INTERNAL);
        words.text("span.type", kind);
        words
    };
    let mut words = match &draft.what {
        What::Call(call) => claude_call(call, draft.span),
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

fn claude_call(call: &CallDraft, seed: u64) -> Words {
    let mut words = Words::named("claude_code.llm_request", CLIENT);
    words.text("span.type", "llm_request");
    words.maybe("model", call.model_request);
    words.maybe("request_id", call.response_id.as_deref());
    let (tokens, shown) = (call.tokens, call.shown);
    words.count("input_tokens", shown.input, input(call, true));
    words.count("output_tokens", shown.output, tokens.output);
    words.count("cache_read_tokens", shown.cache, tokens.cache_read);
    words.count("cache_creation_tokens", shown.cache, tokens.cache_write);
    words.dollars("cost_usd", call.reported_nano);
    words.maybe("allocation.tag.skill", call.skill.as_deref());
    words.content("prompt", call.content, seed);
    words
}
