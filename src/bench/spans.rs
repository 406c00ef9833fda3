//! Bodies to send: agents' spans of about 535 bytes, each with ids of its own.
//!
//! One body is encoded once. For each request its bytes are copied and the ids overwritten where
//! they lie, which costs a small part of what encoding does.

use std::io::Write as _;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use super::Encoding;

/// Spans of a trace: an agent, then calls of a model and a tool by turns.
const TRACE_SPANS: usize = 8;

/// What stands for an id in the template: not found in the rest, since it is no UTF-8.
const MARK: [u8; 6] = [0xf5, 0xc0, 0xff, 0xc1, 0xfe, 0xf6];

const SKILLS: [&str; 5] = [
    "pdf-processing",
    "code-review",
    "web-research",
    "sql-report",
    "triage",
];
const MODELS: [&str; 4] = [
    "gpt-4o-2024-11-20",
    "claude-sonnet-4-5-20250929",
    "gpt-5-mini",
    "gemini-2.5-pro",
];

/// A body that is copied for each request.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    /// Where ids lie: the place, the length, and which span or trace it names.
    ids: Vec<(usize, usize, u64)>,
}

impl Template {
    /// A body of `spans` spans that began about `now_ns`, each with about `content` bytes of
    /// conversation.
    pub(crate) fn new(spans: usize, now_ns: u64, content: usize) -> Self {
        let talking = |i| {
            let mut span = span(i, now_ns);
            if content > 0 {
                span.attributes.extend(conversation(i, content));
            }
            span
        };
        let all = (0..spans).map(talking).collect();
        let scope = ScopeSpans {
            scope: Some(InstrumentationScope {
                name: "opentelemetry.instrumentation.agents".into(),
                version: "2.4.0".into(),
                ..InstrumentationScope::default()
            }),
            spans: all,
            ..ScopeSpans::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: resource(),
                    ..Resource::default()
                }),
                scope_spans: vec![scope],
                ..ResourceSpans::default()
            }],
        };
        let bytes = request.encode_to_vec();
        let ids = marks(&bytes);
        Self { bytes, ids }
    }

    /// How many bytes a body has before it is compressed.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The next body; `salt` must differ from that of any other.
    pub(crate) fn body(&self, salt: u64, encoding: Encoding) -> std::io::Result<Bytes> {
        let mut body = self.bytes.clone();
        for (at, length, number) in &self.ids {
            let id = mixed(salt, *number);
            if let Some(slot) = body.get_mut(*at..*at + *length) {
                slot.iter_mut().zip(id).for_each(|(to, from)| *to = from);
            }
        }
        Ok(match encoding {
            Encoding::None => body.into(),
            Encoding::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&body)?;
                encoder.finish()?.into()
            }
            Encoding::Zstd => zstd::bulk::compress(&body, 1)?.into(),
        })
    }
}

/// Sixteen bytes that no other number and salt give.
fn mixed(salt: u64, number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    let spread = |n: u64| {
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n ^ (n >> 31)
    };
    let low = spread(
        salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(number),
    );
    id.iter_mut()
        .zip(low.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    id.iter_mut()
        .skip(8)
        .zip(salt.to_le_bytes())
        .for_each(|(to, from)| *to = from);
    id
}

/// A place for an id: the mark, the number in the bytes after it.
fn mark(length: usize, number: usize) -> Vec<u8> {
    let mut id = MARK.to_vec();
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    id.extend(number.to_le_bytes());
    id.resize(length, MARK[0]);
    id
}

/// Finds the marks again.
fn marks(bytes: &[u8]) -> Vec<(usize, usize, u64)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|r| r.len() >= 8) {
        if !rest.starts_with(&MARK) {
            at += 1;
            continue;
        }
        let number = match rest.get(6..8) {
            Some([low, high]) => u16::from_le_bytes([*low, *high]),
            _ => 0,
        };
        let padded = rest
            .get(8..16)
            .is_some_and(|p| p.iter().all(|b| *b == MARK[0]));
        let length = if padded { 16 } else { 8 };
        // Traces and spans are numbered apart.
        let apart = if padded { 1 << 32 } else { 0 };
        found.push((at, length, apart + u64::from(number)));
        at += length;
    }
    found
}

fn resource() -> Vec<KeyValue> {
    vec![
        text("service.name", "agent-runtime"),
        text("service.version", "4.12.1"),
        text("deployment.environment.name", "production"),
        text("host.name", "node-17.eu-central"),
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.37.0"),
        text("process.runtime.version", "3.13.2"),
    ]
}

fn span(i: usize, now_ns: u64) -> Span {
    let trace = i / TRACE_SPANS;
    let root = trace * TRACE_SPANS;
    let parent = if i == root { Vec::new() } else { mark(8, root) };
    let start = now_ns.saturating_sub(u64::try_from(i).unwrap_or(0) * 1_000_000);
    let (name, kind, attributes) = match i % TRACE_SPANS {
        0 => ("invoke_agent researcher".to_owned(), 1, agent(trace)),
        n if n % 2 == 1 => (
            format!("chat {}", of(&MODELS, trace)),
            3,
            model_call(i, trace),
        ),
        _ => ("execute_tool read_file".to_owned(), 1, tool_call(i, trace)),
    };
    Span {
        trace_id: mark(16, trace),
        span_id: mark(8, i),
        parent_span_id: parent,
        name,
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 812_345_678,
        attributes,
        flags: 256,
        status: Some(Status {
            code: 1,
            ..Status::default()
        }),
        ..Span::default()
    }
}

fn agent(trace: usize) -> Vec<KeyValue> {
    let mut all = common("invoke_agent", trace);
    all.extend([
        text("gen_ai.agent.id", "asst_5j66UpCpwteGg4YSxUnt7lPY"),
        text(
            "gen_ai.agent.description",
            "Reads documents and answers questions about them",
        ),
        text("gen_ai.workflow.name", "document-questions"),
        text("enduser.id", "user-000017"),
        text("gen_ai.data_source.id", "kb-7f3a"),
        text("app.release", "2026.11.3"),
        number("gen_ai.usage.input_tokens", 21_337),
        number("gen_ai.usage.output_tokens", 1_204),
    ]);
    all
}

fn model_call(i: usize, trace: usize) -> Vec<KeyValue> {
    let mut all = common("chat", trace);
    let model = of(&MODELS, trace);
    let provider = of(&["openai", "anthropic", "openai", "gcp.gemini"], trace);
    let tokens = 1_200 + i64::try_from(i % 997).unwrap_or(0) * 7;
    all.extend([
        text("gen_ai.provider.name", provider),
        text("gen_ai.request.model", model),
        text("gen_ai.response.model", model),
        text("gen_ai.response.id", &format!("chatcmpl-{i:024x}")),
        double("gen_ai.request.temperature", 0.2),
        number("gen_ai.usage.input_tokens", tokens),
        number("gen_ai.usage.output_tokens", tokens / 6),
        number("gen_ai.usage.cache_read.input_tokens", tokens / 2),
    ]);
    all
}

fn tool_call(i: usize, trace: usize) -> Vec<KeyValue> {
    let mut all = common("execute_tool", trace);
    all.extend([
        text("gen_ai.tool.name", "read_file"),
        text("gen_ai.tool.type", "function"),
        text("gen_ai.tool.call.id", &format!("call_{i:020x}")),
        text("gen_ai.skill.name", of(&SKILLS, i)),
        text("mcp.method.name", "tools/call"),
        text("mcp.server.name", "filesystem"),
        number("rpc.response.status_code", 0),
    ]);
    all
}

/// Prompt and answer as the conventions put them: JSON of messages, the prompt being most of it.
fn conversation(i: usize, bytes: usize) -> [KeyValue; 2] {
    let messages = |role: &str, bytes: usize, seed: usize| {
        format!(
            r#"[{{"role":"{role}","parts":[{{"type":"text","content":"{}"}}]}}]"#,
            prose(bytes, seed)
        )
    };
    [
        text("gen_ai.input.messages", &messages("user", bytes / 8 * 7, i)),
        text(
            "gen_ai.output.messages",
            &messages("assistant", bytes / 8, i + 7),
        ),
    ]
}

/// Words in an order that repeats late, with the line ends and quotes that JSON escapes.
fn prose(bytes: usize, seed: usize) -> String {
    const WORDS: [&str; 24] = [
        "the",
        "report",
        "shows",
        "that",
        "revenue",
        "of",
        "region",
        "north",
        "grew",
        "by",
        "percent",
        "since",
        "spring",
        "while",
        "costs",
        "for",
        "storage",
        "fell",
        "and",
        r#"\"quarterly\""#,
        r"as follows:\n",
        "invoices",
        "are",
        "overdue",
    ];
    let mut state = u64::try_from(seed)
        .unwrap_or(0)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        | 1;
    let mut out = String::with_capacity(bytes + 16);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let pick = usize::try_from(state >> 40).unwrap_or(0);
        out.push_str(of(&WORDS, pick));
        if pick % 7 == 0 {
            out.push_str(&(pick % 100_000).to_string());
        }
        out.push(' ');
    }
    out
}

fn common(operation: &str, trace: usize) -> Vec<KeyValue> {
    vec![
        text("gen_ai.operation.name", operation),
        text("gen_ai.agent.name", "researcher"),
        text("gen_ai.conversation.id", &format!("conv-{trace:012x}")),
        number("thread.id", 140_213_552),
    ]
}

fn of<'a>(all: &[&'a str], i: usize) -> &'a str {
    all.get(i % all.len().max(1)).copied().unwrap_or_default()
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn double(key: &str, value: f64) -> KeyValue {
    attribute(key, any_value::Value::DoubleValue(value))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn spans(body: &[u8]) -> Vec<Span> {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        request.resource_spans[0].scope_spans[0].spans.clone()
    }

    #[test]
    fn every_span_of_every_body_has_an_id_of_its_own_and_its_parent_is_there() {
        let template = Template::new(1000, 1_795_208_519_000_000_000, 0);
        let mut ids = HashSet::new();
        for salt in 1..4 {
            let body = template.body(salt, Encoding::None).unwrap();
            assert_eq!(body.len(), template.len());
            let spans = spans(&body);
            assert_eq!(spans.len(), 1000);
            for span in &spans {
                assert!(ids.insert(span.span_id.clone()), "an id twice");
                let parent = spans.iter().find(|s| s.span_id == span.parent_span_id);
                assert_eq!(parent.is_none(), span.parent_span_id.is_empty());
                assert!(parent.is_none_or(|p| p.trace_id == span.trace_id));
            }
        }
    }

    #[test]
    fn a_span_has_about_the_size_that_was_measured_in_the_wild() {
        let template = Template::new(1000, 1_795_208_519_000_000_000, 0);
        let each = template.len() / 1000;
        assert!((500..570).contains(&each), "{each} bytes");
    }

    #[test]
    fn conversations_are_json_of_the_length_that_was_asked_for() {
        let template = Template::new(8, 1_795_208_519_000_000_000, 20_000);
        let each = template.len() / 8;
        assert!((20_000..22_000).contains(&each), "{each} bytes");
        let body = template.body(1, Encoding::None).unwrap();
        let last = spans(&body)[7].attributes.pop().unwrap();
        let Some(any_value::Value::StringValue(text)) = last.value.and_then(|v| v.value) else {
            panic!("no text");
        };
        let messages: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(messages[0]["role"], "assistant");
    }

    #[test]
    fn compressed_bodies_hold_the_same() {
        let template = Template::new(10, 1_795_208_519_000_000_000, 0);
        let plain = template.body(7, Encoding::None).unwrap();
        let zstd = template.body(7, Encoding::Zstd).unwrap();
        assert_eq!(zstd::decode_all(zstd.as_ref()).unwrap(), plain);
        let gzip = template.body(7, Encoding::Gzip).unwrap();
        let mut decoder = flate2::read::GzDecoder::new(gzip.as_ref());
        let mut decoded = Vec::new();
        std::io::Read::read_to_end(&mut decoder, &mut decoded).unwrap();
        assert_eq!(decoded, plain);
    }
}
