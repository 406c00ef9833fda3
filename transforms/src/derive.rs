//! Rules: what a span means where no single attribute says it.

use std::borrow::Cow;

use chrono::DateTime;

use crate::enrich::Scope;
use crate::field::Field;
use crate::keys::Feed;
use crate::mapping::{Mapping, Rule};
use crate::row::Row;
use crate::{json, money, usage};

/// What a rule sees of a span beside its slots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) name: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) start_unix_nano: Option<i64>,
}

/// Slots that hold the arguments of a tool call, best first.
const ARGUMENTS: [Field; 4] = [
    Field::GenAiToolArguments,
    Field::AiToolArguments,
    Field::InputValue,
    Field::TraceloopInput,
];

/// Slots of which one at least is filled where a rule has anything to say, but for the two rules that
/// read the span's name.
pub(crate) const READ: [Field; 11] = [
    Field::OpeninferenceKind,
    Field::TraceloopKind,
    Field::CompletionStart,
    Field::CostDetails,
    Field::InputCost,
    Field::UrlFull,
    Field::ApiBase,
    Field::GenAiToolArguments,
    Field::AiToolArguments,
    Field::InputValue,
    Field::TraceloopInput,
];

/// How a span of a tool call is named.
const TOOL_CALL: &str = "execute_tool ";

/// Applies every rule that could improve its slot.
pub(crate) fn apply<'a>(row: &mut Row<'a>, span: Span<'a>, scope: &Scope<'_>, mapping: &Mapping) {
    if !row.for_rules && !scope.mcp && !span.name.starts_with(TOOL_CALL) {
        return;
    }
    for (field, rank, rule) in &mapping.rules {
        if *rank >= row.rank(*field) {
            continue;
        }
        match rule {
            Rule::CompletionStart => {
                if let Some(seconds) = completion_seconds(row, span) {
                    row.offer_seconds(*rank, seconds);
                }
            }
            Rule::CostDetailsSum | Rule::InputAndOutputCost => {
                if let Some(amount) = reported_sum(row, *rule) {
                    row.offer_money(*rank, amount);
                }
            }
            Rule::TraceloopTool
            | Rule::ToolInSpanName
            | Rule::McpSpanName
            | Rule::SkillToolArguments
            | Rule::HostOfUrl
            | Rule::HostOfApiBase
            | Rule::OpeninferenceAgent => {
                if let Some(text) = text(row, span, mapping, *rule) {
                    let feed = Feed {
                        field: *field,
                        rank: *rank,
                        kind: field.kind(),
                        per_mille: false,
                    };
                    row.offer_owned(feed, text, mapping, || false);
                }
            }
        }
    }
}

fn text<'a>(row: &Row<'a>, span: Span<'a>, mapping: &Mapping, rule: Rule) -> Option<Cow<'a, str>> {
    let owned = |text: &str| Some(Cow::Owned(text.to_owned()));
    match rule {
        Rule::TraceloopTool if row.text(Field::TraceloopKind) == Some("tool") => {
            owned(row.text(Field::TraceloopEntity)?)
        }
        Rule::ToolInSpanName => {
            let rest = span.name.strip_prefix(TOOL_CALL)?;
            Some(Cow::Borrowed(rest.split(' ').next()?))
        }
        Rule::McpSpanName if span.scope.starts_with("opentelemetry.instrumentation.mcp") => {
            Some(Cow::Borrowed(span.name.strip_suffix(".mcp")?))
        }
        Rule::SkillToolArguments => skill_argument(row, mapping).map(Cow::Owned),
        Rule::HostOfUrl => owned(host(row.text(Field::UrlFull)?)?),
        Rule::HostOfApiBase => owned(host(row.text(Field::ApiBase)?)?),
        Rule::OpeninferenceAgent if row.text(Field::OpeninferenceKind) == Some("AGENT") => {
            Some(Cow::Borrowed(span.name))
        }
        Rule::TraceloopTool
        | Rule::McpSpanName
        | Rule::OpeninferenceAgent
        | Rule::CompletionStart
        | Rule::CostDetailsSum
        | Rule::InputAndOutputCost => None,
    }
}

/// The skill named in the arguments of a tool that loads skills.
fn skill_argument(row: &Row<'_>, mapping: &Mapping) -> Option<String> {
    let tool = row.text(Field::ToolName)?;
    if !mapping.skill_tools.iter().any(|t| t == tool) {
        return None;
    }
    ARGUMENTS.iter().find_map(|field| {
        let arguments = json::object(row.text(*field)?)?;
        let mut keys = mapping.skill_arguments.iter();
        keys.find_map(|key| Some(arguments.get(key)?.as_str()?.to_owned()))
    })
}

fn host(url: &str) -> Option<&str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"))?;
    rest.split(['/', ':']).next().filter(|h| !h.is_empty())
}

/// Seconds from the start to the first piece of the answer, by Langfuse.
#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds of one call lie far below 2^53"
)]
fn completion_seconds(row: &Row<'_>, span: Span<'_>) -> Option<f64> {
    let text = row.text(Field::CompletionStart)?.trim_matches('"');
    let first = DateTime::parse_from_rfc3339(text)
        .ok()?
        .timestamp_nanos_opt()?;
    let waited = first.checked_sub(span.start_unix_nano?)?;
    (waited >= 0).then(|| waited as f64 / 1e9)
}

/// A cost that the sender gave in parts.
fn reported_sum(row: &Row<'_>, rule: Rule) -> Option<i128> {
    if rule == Rule::InputAndOutputCost {
        let input = money::parse(row.text(Field::InputCost)?)?;
        return input.checked_add(money::parse(row.text(Field::OutputCost)?)?);
    }
    let details = json::object(row.text(Field::CostDetails)?)?;
    if details.contains_key("total") {
        return None;
    }
    let numbers = details.values().filter(|v| v.is_number());
    let mut sum = None;
    for number in numbers {
        sum = Some(money::parse(&number.to_string())?.checked_add(sum.unwrap_or_default())?);
    }
    sum
}

/// The convention that the span follows; `other` where none is known.
pub(crate) fn dialect(row: &Row<'_>, scope: &Scope<'_>) -> &'static str {
    let has = row.families;
    if scope.claude_code || scope.of_claude_code && row.has(Field::SpanType) {
        "claude_code"
    } else if scope.langfuse || has.langfuse {
        "langfuse"
    } else if scope.openinference || row.has(Field::OpeninferenceKind) {
        "openinference"
    } else if has.vercel && scope.name == "ai" {
        "vercel_ai"
    } else if has.traceloop || scope.openllmetry {
        "openllmetry"
    } else if row.has(Field::McpMethodKey) {
        "mcp"
    } else if has.gen_ai {
        "otel_genai"
    } else {
        "other"
    }
}

/// The kind of operation: by its MCP method, else its name, else the span's name, else its usage.
pub(crate) fn op_kind<'m>(
    row: &Row<'_>,
    span_name: &str,
    known: &mut dyn FnMut(&str) -> Option<&'m str>,
) -> &'m str {
    if let Some(method) = row.text(Field::McpMethod) {
        return if method == "tools/call" {
            "tool"
        } else {
            "mcp"
        };
    }
    if let Some(name) = row.text(Field::OpName) {
        return known(name).unwrap_or("other");
    }
    let first_word = span_name.split(' ').next().unwrap_or_default();
    let used = row.has(Field::InputTokens) || row.has(Field::OutputTokens);
    known(first_word).unwrap_or(if used { "llm" } else { "other" })
}

/// Whether spans of this kind are calls that a provider bills.
pub(crate) fn billable(op_kind: &str) -> bool {
    usage::BILLABLE.contains(&op_kind)
}
