//! Langfuse's SDK, whose counts are additive.

use super::usage::{Usage, UsageNames};
use super::{INTERNAL, Words};
use crate::draft::{CallDraft, Draft, Operation, What};

const USAGE: UsageNames<'static> = UsageNames {
    input: "input",
    output: "output",
    cache_read: "cache_read_input_tokens",
    cache_write: "cache_creation_input_tokens",
    reasoning: "output_reasoning_tokens",
};

/// A span in its words.
pub(super) fn words(draft: &Draft) -> Words {
    let typed = |name: &str, kind: &str| {
        let mut words = Words::named(name, INTERNAL);
        words.text("langfuse.observation.type", kind);
        words
    };
    let mut words = match &draft.what {
        What::Call(call) => call_words(call, draft.span),
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

fn call_words(call: &CallDraft, seed: u64) -> Words {
    let kind = match call.operation {
        Operation::Chat | Operation::Rerank => "generation",
        Operation::Embedding => "embedding",
    };
    let mut words = Words::named("generation", INTERNAL);
    words.text("langfuse.observation.type", kind);
    words.maybe("langfuse.observation.model.name", call.model_request);
    let usage = Usage::additive(call).named(&USAGE).into_iter();
    let details: Vec<String> = usage
        .map(|(name, count)| format!(r#""{name}": {count}"#))
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
