//! Shared fixtures of the benches: agent spans as SDKs send them, of the size that was measured in
//! real captures (about 535 bytes a span without content, 12 to 14 attributes).
//!
//! The same number of spans always gives the same bytes.

pub mod ledger;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;

/// How many spans share a resource: one SDK's export.
const SPANS_PER_RESOURCE: usize = 250;

/// When the first span starts, in nanoseconds since the epoch: 2026-11-20T12:00:00Z.
pub const FIRST_START_NANOS: u64 = 1_795_176_000_000_000_000;

const MODELS: [(&str, &str, &str); 4] = [
    ("openai", "gpt-4o", "gpt-4o-2024-11-20"),
    (
        "anthropic",
        "claude-sonnet-4-5",
        "claude-sonnet-4-5-20250929",
    ),
    ("openai", "gpt-4.1-mini", "gpt-4.1-mini-2025-04-14"),
    ("gcp.gemini", "gemini-2.5-pro", "gemini-2.5-pro"),
];

const TOOLS: [&str; 4] = ["read_file", "search_web", "run_tests", "load_skill"];

const SKILLS: [&str; 3] = ["pdf-forms", "release-notes", "incident-triage"];

/// A small generator of numbers, so that nothing depends on a crate's stream (SplitMix64).
#[derive(Debug)]
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn of<T: Copy>(&mut self, choices: &[T], default: T) -> T {
        let place = usize::try_from(self.next()).unwrap_or(0) % choices.len().max(1);
        choices.get(place).copied().unwrap_or(default)
    }
}

/// The body of an export request with that many agent spans: model calls and the tool calls
/// between them, in traces of ten.
pub fn agent_request(spans: usize) -> Vec<u8> {
    agent_message(spans).encode_to_vec()
}

/// The same request as OTLP/JSON, as a JavaScript SDK would send it.
pub fn agent_request_json(spans: usize) -> Vec<u8> {
    serde_json::to_vec(&agent_message(spans)).unwrap_or_default()
}

/// The same request as a message.
pub fn agent_message(spans: usize) -> ExportTraceServiceRequest {
    let mut numbers = Numbers(42);
    let mut resource_spans = Vec::new();
    let mut made = 0;
    while made < spans {
        let count = SPANS_PER_RESOURCE.min(spans - made);
        let spans = (made..made + count)
            .map(|index| span(index, &mut numbers))
            .collect();
        resource_spans.push(ResourceSpans {
            resource: Some(resource(resource_spans.len())),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "opentelemetry.instrumentation.openai_v2".into(),
                    version: "2.4b0".into(),
                    ..InstrumentationScope::default()
                }),
                spans,
                schema_url: "https://opentelemetry.io/schemas/1.37.0".into(),
            }],
            schema_url: String::new(),
        });
        made += count;
    }
    ExportTraceServiceRequest { resource_spans }
}

fn resource(index: usize) -> Resource {
    Resource {
        attributes: vec![
            text("telemetry.sdk.language", "python"),
            text("telemetry.sdk.name", "opentelemetry"),
            text("telemetry.sdk.version", "1.45.2"),
            text("service.name", &format!("agent-service-{index}")),
            text("service.version", "3.14.0"),
            text("deployment.environment.name", "production"),
            text("host.name", &format!("ip-10-0-12-{index}")),
            int("process.pid", 4242),
        ],
        ..Resource::default()
    }
}

fn span(index: usize, numbers: &mut Numbers) -> Span {
    let trace = u128::from(numbers.0 | 1);
    let trace_index = u64::try_from(index / 10).unwrap_or(0);
    let trace_id = (trace ^ (u128::from(trace_index) << 64) ^ 0x5b8e_fff7).to_be_bytes();
    let start = FIRST_START_NANOS + u64::try_from(index).unwrap_or(0) * 1_700_301;
    let is_tool = index % 5 == 4;
    let attributes = if is_tool {
        tool_attributes(numbers)
    } else {
        call_attributes(numbers)
    };
    let name = if is_tool { "execute_tool" } else { "chat" };
    let failed = numbers.below(50) == 0;
    Span {
        trace_id: trace_id.to_vec(),
        span_id: (numbers.next() | 1).to_be_bytes().to_vec(),
        parent_span_id: (numbers.next() | 1).to_be_bytes().to_vec(),
        name: format!("{name} {}", numbers.of(&TOOLS, "read_file")),
        kind: if is_tool { 1 } else { 3 },
        start_time_unix_nano: start,
        end_time_unix_nano: start + 50_000_000 + numbers.below(4_000_000_000),
        attributes,
        status: failed.then(|| Status {
            message: "upstream timed out".into(),
            code: 2,
        }),
        flags: 256,
        ..Span::default()
    }
}

fn call_attributes(numbers: &mut Numbers) -> Vec<KeyValue> {
    let (provider, request, response) = numbers.of(&MODELS, ("openai", "gpt-4o", "gpt-4o"));
    let input = 900 + numbers.below(30_000);
    vec![
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", provider),
        text("gen_ai.request.model", request),
        text("gen_ai.response.model", response),
        text(
            "gen_ai.response.id",
            &format!("chatcmpl-{:08x}", numbers.below(1 << 32)),
        ),
        list("gen_ai.response.finish_reasons", "stop"),
        int("gen_ai.usage.input_tokens", input),
        int("gen_ai.usage.output_tokens", 20 + numbers.below(900)),
        int("gen_ai.usage.cache_read.input_tokens", input / 2),
        text("gen_ai.agent.name", "research-agent"),
        text("server.address", "api.openai.com"),
        int("server.port", 443),
    ]
}

fn tool_attributes(numbers: &mut Numbers) -> Vec<KeyValue> {
    vec![
        text("gen_ai.operation.name", "execute_tool"),
        text("gen_ai.tool.name", numbers.of(&TOOLS, "read_file")),
        text("gen_ai.tool.type", "function"),
        text(
            "gen_ai.tool.call.id",
            &format!("call_{:016x}", numbers.next()),
        ),
        text("gen_ai.agent.name", "research-agent"),
        text(
            "gen_ai.conversation.id",
            &format!("conv-{:08x}", numbers.below(1 << 20)),
        ),
        text("mcp.method.name", "tools/call"),
        text("mcp.session.id", &format!("{:016x}", numbers.next())),
        text("mcp.protocol.version", "2025-06-18"),
        text("skill.name", numbers.of(&SKILLS, "pdf-forms")),
        text("user.id", &format!("user-{:05}", numbers.below(20_000))),
        text(
            "session.id",
            &format!("session-{:08x}", numbers.below(1 << 20)),
        ),
        int("retry.count", numbers.below(3)),
        KeyValue {
            key: "gen_ai.tool.cached".into(),
            value: Some(AnyValue {
                value: Some(Value::BoolValue(false)),
            }),
            ..KeyValue::default()
        },
    ]
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

fn int(key: &str, value: u64) -> KeyValue {
    attribute(
        key,
        Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
    )
}

fn list(key: &str, only: &str) -> KeyValue {
    let values = vec![AnyValue {
        value: Some(Value::StringValue(only.into())),
    }];
    attribute(key, Value::ArrayValue(ArrayValue { values }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_takes_about_535_bytes() {
        let bytes = agent_request(1000).len();
        assert!((500_000..=580_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_same_count_gives_the_same_bytes() {
        assert_eq!(agent_request(37), agent_request(37));
        assert_eq!(agent_message(1001).resource_spans.len(), 5);
    }
}
