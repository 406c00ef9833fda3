//! The Vercel AI SDK under its older names.

use super::usage::{Usage, UsageNames};
use super::{INTERNAL, Words};
use crate::draft::{CallDraft, Draft, Operation, ToolSkill, What};

const USAGE: UsageNames<'static> = UsageNames {
    input: "ai.usage.inputTokens",
    output: "ai.usage.outputTokens",
    cache_read: "ai.usage.cachedInputTokens",
    cache_write: "ai.usage.inputTokenDetails.cacheWriteTokens",
    reasoning: "ai.usage.reasoningTokens",
};

/// A span in its words.
pub(super) fn words(draft: &Draft) -> Words {
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
        What::Call(call) => call_words(call, draft.span),
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

fn call_words(call: &CallDraft, seed: u64) -> Words {
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
    let names = UsageNames {
        input: if embeds {
            "ai.usage.tokens"
        } else {
            USAGE.input
        },
        ..USAGE
    };
    words.usage(&Usage::inclusive(call), &names);
    words.maybe("ai.telemetry.metadata.skill", call.skill.as_deref());
    words.content("ai.prompt.messages", call.content, seed);
    words
}
