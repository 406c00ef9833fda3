//! What the mapping and the price cost a span, for counting instructions: agent spans of 12 to 14
//! attributes as SDKs send them, in batches of 1,000. Run as
//! `cargo run --release -p weir-transforms --example enrich_cost -- BATCHES`; without a number it only
//! makes the rows.

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a measurement fails like a test"
)]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{
    ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    new_null_array,
};
use arrow_schema::{DataType, Field};
use weir_model::Dataset;
use weir_transforms::Enricher;

const ROWS: usize = 1000;

const START_US: i64 = 1_795_176_000_000_000;

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

const SKILLS: [&str; 3] = ["pdf-forms", "release-notes", "incident-triage"];

type Pairs = Vec<(&'static str, String)>;

fn model_call(n: usize) -> Pairs {
    let (provider, asked, answered) = MODELS[n % MODELS.len()];
    let input = 900 + n * 7919 % 30_000;
    vec![
        ("gen_ai.operation.name", "chat".into()),
        ("gen_ai.provider.name", provider.into()),
        ("gen_ai.request.model", asked.into()),
        ("gen_ai.response.model", answered.into()),
        ("gen_ai.response.id", format!("chatcmpl-{n:08x}")),
        ("gen_ai.response.finish_reasons", "[\"stop\"]".into()),
        ("gen_ai.usage.input_tokens", input.to_string()),
        ("gen_ai.usage.output_tokens", (20 + n % 900).to_string()),
        (
            "gen_ai.usage.cache_read.input_tokens",
            (input / 2).to_string(),
        ),
        ("gen_ai.agent.name", "research-agent".into()),
        ("server.address", "api.openai.com".into()),
        ("server.port", "443".into()),
    ]
}

fn tool_call(n: usize) -> Pairs {
    vec![
        ("gen_ai.operation.name", "execute_tool".into()),
        ("gen_ai.tool.name", "run_tests".into()),
        ("gen_ai.tool.type", "function".into()),
        ("gen_ai.tool.call.id", format!("call_{n:016x}")),
        ("gen_ai.agent.name", "research-agent".into()),
        ("gen_ai.conversation.id", format!("conv-{n:08x}")),
        ("mcp.method.name", "tools/call".into()),
        ("mcp.session.id", format!("{n:016x}")),
        ("mcp.protocol.version", "2025-06-18".into()),
        ("skill.name", SKILLS[n % SKILLS.len()].into()),
        ("user.id", format!("user-{n:05}")),
        ("session.id", format!("session-{n:08x}")),
        ("retry.count", (n % 3).to_string()),
        ("gen_ai.tool.cached", "false".into()),
    ]
}

fn resource(n: usize) -> Pairs {
    vec![
        ("telemetry.sdk.language", "python".into()),
        ("telemetry.sdk.name", "opentelemetry".into()),
        ("telemetry.sdk.version", "1.45.2".into()),
        ("service.name", format!("agent-service-{}", n / 250)),
        ("service.version", "3.14.0".into()),
        ("deployment.environment.name", "production".into()),
        ("host.name", format!("ip-10-0-12-{}", n / 250)),
        ("process.pid", "4242".into()),
    ]
}

fn map(rows: &[Pairs]) -> ArrayRef {
    let names = MapFieldNames {
        entry: "key_value".into(),
        key: "key".into(),
        value: "value".into(),
    };
    let value = Field::new("value", DataType::Utf8, true);
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(Arc::new(value));
    for row in rows {
        for (key, value) in row {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).expect("as many keys as values");
    }
    Arc::new(builder.finish())
}

fn rows() -> RecordBatch {
    let spans: Vec<Pairs> = (0..ROWS)
        .map(|n| {
            if n % 5 == 4 {
                tool_call(n)
            } else {
                model_call(n)
            }
        })
        .collect();
    let resources: Vec<Pairs> = (0..ROWS).map(resource).collect();
    let schema = Dataset::Spans.accepted_schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "attributes" => map(&spans),
            "resource_attributes" => map(&resources),
            "name" => Arc::new(StringArray::from_iter_values((0..ROWS).map(|n| {
                if n % 5 == 4 {
                    "execute_tool run_tests"
                } else {
                    "chat gpt-4o"
                }
            }))),
            "scope_name" => Arc::new(StringArray::from(vec![
                "opentelemetry.instrumentation.openai_v2";
                ROWS
            ])),
            "start_time" | "received_at" => {
                Arc::new(TimestampMicrosecondArray::from(vec![START_US; ROWS]).with_timezone("UTC"))
            }
            "start_time_unix_nano" => Arc::new(Int64Array::from(vec![START_US * 1000; ROWS])),
            "part_date" => Arc::new(Date32Array::from(vec![20_777; ROWS])),
            _ if !field.is_nullable() => Arc::new(StringArray::from(vec!["x"; ROWS])),
            _ => new_null_array(field.data_type(), ROWS),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).expect("accepted rows")
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:"));
    let digits = line.and_then(|l| l.split_whitespace().nth(1));
    digits.and_then(|d| d.parse().ok()).unwrap_or(0)
}

fn main() {
    let batches: usize = std::env::args()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let rows = rows();
    let before = resident_kib();
    let enricher = Enricher::standard().expect("the mapping");
    println!("the mapping and the list: {} KiB", resident_kib() - before);
    let start = Instant::now();
    for _ in 0..batches {
        enricher.enrich_spans(rows.clone()).expect("enriched");
    }
    if batches > 0 {
        let spans = batches * ROWS;
        let nanos = start.elapsed().as_nanos() / u128::try_from(spans).unwrap_or(1);
        println!("{spans} spans, {nanos} ns each");
    }
}
