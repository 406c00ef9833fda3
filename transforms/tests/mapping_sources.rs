//! One test for each source of each column: the mapping file itself says what is tested.
//!
//! For every source a span is built that says a value there and nowhere else, for every two sources
//! of a column one that says both, and for every two neighbours one where the better says nothing
//! usable.

#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Date32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field};
use serde_json::{Map, Value, json};
use weir_model::Dataset;
use weir_transforms::Enricher;

const START_US: i64 = 1_795_208_519_000_000;

/// A value that no column of the type takes; a column that takes any text has words for nothing.
fn unusable(kind: &str) -> &'static str {
    match kind {
        "int" => "many",
        "bool" => "maybe",
        "double" => "soon",
        "money" => "free",
        _ => "None",
    }
}

/// What the source of that rank says: another for each, and fit for the type.
fn value(kind: &str, rank: usize) -> String {
    match kind {
        "int" => (1000 + rank).to_string(),
        "bool" => rank.is_multiple_of(2).to_string(),
        "double" => (rank + 1).to_string(),
        "money" => format!("0.{:03}", rank + 1),
        _ => format!("v{rank}"),
    }
}

/// A span in the making.
#[derive(Clone, Debug, Default)]
struct Said {
    name: String,
    scope: String,
    attributes: Map<String, Value>,
    resource: Map<String, Value>,
    event: Option<(String, String, String)>,
}

impl Said {
    fn set(&mut self, key: &str, value: impl Into<String>) {
        self.attributes
            .insert(key.into(), Value::String(value.into()));
    }

    /// Says `value` where `source` reads it.
    fn say(&mut self, source: &str, value: &str) {
        let (kind, rest) = source.split_once(':').unwrap_or(("", source));
        match kind {
            "R" => {
                self.resource.insert(rest.into(), json!(value));
            }
            "E" => {
                let (event, key) = rest.split_once(':').expect("an event and a key");
                self.event = Some((event.into(), key.into(), value.into()));
            }
            "J" => {
                let (key, member) = rest.split_once('#').expect("a key and a member");
                self.member(key, member, value);
            }
            "D" => self.rule(rest, value),
            _ => match source.split_once('|') {
                Some((key, "/1000")) => match value.parse::<u64>() {
                    Ok(seconds) => self.set(key, (seconds * 1000).to_string()),
                    Err(_) => self.set(key, value),
                },
                _ => self.set(source, value),
            },
        }
    }

    fn member(&mut self, key: &str, member: &str, value: &str) {
        let object = self.attributes.get(key).and_then(Value::as_str);
        let mut object: Value =
            object.map_or_else(|| json!({}), |o| serde_json::from_str(o).expect("JSON"));
        object[member] = json!(value);
        self.set(key, object.to_string());
    }

    /// What makes a rule give `value`; a rule that is not here fails the test.
    fn rule(&mut self, rule: &str, value: &str) {
        match rule {
            "completion_start" => {
                let at = START_US / 1_000_000 + value.parse::<i64>().expect("seconds");
                let at = chrono::DateTime::from_timestamp(at, 0).expect("a time");
                self.set(
                    "langfuse.observation.completion_start_time",
                    at.to_rfc3339(),
                );
            }
            "cost_details_sum" => {
                let key = "langfuse.observation.cost_details";
                let object = self.attributes.get(key).and_then(Value::as_str);
                let mut object: Value =
                    object.map_or_else(|| json!({}), |o| serde_json::from_str(o).expect("JSON"));
                object["input"] = serde_json::from_str(value).expect("a number");
                self.set(key, object.to_string());
            }
            "input_and_output_cost" => {
                self.set("gen_ai.usage.input_cost", value);
                self.set("gen_ai.usage.output_cost", "0");
            }
            "traceloop_tool" => {
                self.set("traceloop.span.kind", "tool");
                self.set("traceloop.entity.name", value);
            }
            "tool_in_span_name" => self.name = format!("execute_tool {value} more"),
            "mcp_span_name" => {
                self.scope = "opentelemetry.instrumentation.mcp.instrumentation".into();
                self.name = format!("{value}.mcp");
            }
            "skill_tool_arguments" => {
                self.set("gen_ai.tool.name", "load_skill");
                let arguments = json!({ "skill_name": value });
                self.set("gen_ai.tool.call.arguments", arguments.to_string());
            }
            "host_of_url" => self.set("url.full", format!("https://{value}/v1?x=1")),
            "host_of_api_base" => self.set("gen_ai.openai.api_base", format!("http://{value}:80")),
            "openinference_agent" => {
                self.set("openinference.span.kind", "AGENT");
                self.name = value.into();
            }
            other => panic!("how is the rule {other} made to fill its column?"),
        }
    }
}

fn mapping() -> Value {
    serde_json::from_str(include_str!("../mapping.json")).expect("the mapping")
}

/// Columns with their types and sources.
fn columns() -> Vec<(String, String, Vec<String>)> {
    let mapping = mapping();
    let columns = mapping["columns"].as_object().expect("columns").iter();
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    columns
        .map(|(name, column)| {
            let from = column["from"].as_array().expect("sources");
            (
                name.clone(),
                text(&column["type"]),
                from.iter().map(text).collect(),
            )
        })
        .collect()
}

fn map(rows: &[&Map<String, Value>]) -> ArrayRef {
    let names = MapFieldNames {
        entry: "key_value".into(),
        key: "key".into(),
        value: "value".into(),
    };
    let value = Field::new("value", DataType::Utf8, true);
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(Arc::new(value));
    for row in rows {
        for (key, value) in *row {
            builder.keys().append_value(key);
            builder.values().append_value(value.as_str().expect("text"));
        }
        builder.append(true).expect("as many keys as values");
    }
    Arc::new(builder.finish())
}

/// The events of all spans: none, or one.
fn events(spans: &[Said], kind: &DataType) -> ArrayRef {
    let DataType::List(element) = kind else {
        panic!("events are a list");
    };
    let DataType::Struct(fields) = element.data_type() else {
        panic!("of structs");
    };
    let all: Vec<_> = spans.iter().filter_map(|s| s.event.clone()).collect();
    let attributes: Vec<Map<String, Value>> = all
        .iter()
        .map(|(_, key, value)| [(key.clone(), json!(value))].into_iter().collect())
        .collect();
    let members = fields.iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "name" => Arc::new(StringArray::from_iter_values(all.iter().map(|(n, ..)| n))),
            "attributes" => map(&attributes.iter().collect::<Vec<_>>()),
            _ => new_null_array(field.data_type(), all.len()),
        }
    });
    let events = StructArray::new(fields.clone(), members.collect(), None);
    let lengths = spans.iter().map(|s| usize::from(s.event.is_some()));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Arc::new(ListArray::new(
        Arc::clone(element),
        offsets,
        Arc::new(events),
        None,
    ))
}

fn enrich(spans: &[Said]) -> RecordBatch {
    let schema = Dataset::Spans.accepted_schema();
    let n = spans.len();
    let text = |of: fn(&Said) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(spans.iter().map(of)))
    };
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "attributes" => map(&spans.iter().map(|s| &s.attributes).collect::<Vec<_>>()),
            "resource_attributes" => map(&spans.iter().map(|s| &s.resource).collect::<Vec<_>>()),
            "events" => events(spans, field.data_type()),
            "name" => text(|s| &s.name),
            "scope_name" => text(|s| &s.scope),
            "start_time" | "received_at" => {
                Arc::new(TimestampMicrosecondArray::from(vec![START_US; n]).with_timezone("UTC"))
            }
            "start_time_unix_nano" => Arc::new(Int64Array::from(vec![START_US * 1000; n])),
            "part_date" => Arc::new(Date32Array::from(vec![20_777; n])),
            _ if !field.is_nullable() => Arc::new(StringArray::from(vec!["x"; n])),
            _ => new_null_array(field.data_type(), n),
        }
    });
    let columns = columns.collect();
    let rows = RecordBatch::try_new(schema, columns).expect("accepted rows");
    let enricher = Enricher::standard().expect("the mapping");
    enricher.enrich_spans(rows).expect("enriched")
}

/// What stands in `column` of `row`, in the form of [`value`].
#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "every other type fails the test, also those that arrow adds"
)]
fn found(rows: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = rows.column_by_name(column).expect("a column");
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Decimal128(..) => {
            let amount = column.as_primitive::<Decimal128Type>().value(row);
            assert_eq!(amount % 1_000_000_000, 0);
            format!("0.{:03}", amount / 1_000_000_000)
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            let list = list.as_string::<i32>().iter().flatten();
            list.collect::<Vec<_>>().join(",")
        }
        other => panic!("{other}"),
    })
}

/// A span that is a model call, so that usage is kept, unless its operation is what is tested.
fn call(column: &str) -> Said {
    let mut said = Said::default();
    if column != "op_name" {
        said.set("gen_ai.operation.name", "chat");
    }
    said
}

/// Enriches what was said, and compares the column that each is about.
fn check(cases: &[(String, Said, String, String)], at_least: usize) {
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let spans: Vec<Said> = cases.iter().map(|(_, said, ..)| said.clone()).collect();
    let rows = enrich(&spans);
    let wrong: Vec<String> = cases
        .iter()
        .enumerate()
        .filter_map(|(row, (column, _, expected, what))| {
            let found = found(&rows, column, row);
            let wrong = found.as_ref() != Some(expected);
            wrong.then(|| format!("{column} <- {what}: {found:?} for {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_source_fills_its_column() {
    let mut cases = Vec::new();
    for (column, kind, sources) in columns() {
        for (rank, source) in sources.iter().enumerate() {
            let value = value(&kind, rank);
            let mut said = call(&column);
            said.say(source, &value);
            cases.push((column.clone(), said, value, source.clone()));
        }
    }
    check(&cases, 287);
}

#[test]
fn of_any_two_sources_the_better_wins() {
    let mut cases = Vec::new();
    for (column, kind, sources) in columns() {
        for (rank, better) in sources.iter().enumerate() {
            for (below, worse) in sources.iter().enumerate().skip(rank + 1) {
                let expected = value(&kind, rank);
                let mut said = call(&column);
                said.say(worse, &value(&kind, below));
                said.say(better, &expected);
                let what = format!("{better} before {worse}");
                cases.push((column.clone(), said, expected, what));
            }
        }
    }
    check(&cases, 1000);
}

#[test]
fn a_source_that_says_nothing_usable_is_passed_over() {
    let mut cases = Vec::new();
    for (column, kind, sources) in columns() {
        for (rank, pair) in sources.windows(2).enumerate() {
            let [better, worse] = pair else { continue };
            if better.starts_with("D:") {
                continue;
            }
            let expected = value(&kind, rank + 1);
            let mut said = call(&column);
            said.say(worse, &expected);
            said.say(better, unusable(&kind));
            let what = format!("{worse} after an unusable {better}");
            cases.push((column.clone(), said, expected, what));
        }
    }
    check(&cases, 200);
}

/// The table of conventions that the mapping is made from; ours may add sources at the end.
#[test]
fn no_column_and_no_source_of_the_conventions_is_missing() {
    let text = include_str!("../../testdata/conventions/columns.json");
    let conventions: Value = serde_json::from_str(text).expect("the conventions");
    let ours: BTreeMap<String, (String, Vec<String>)> = columns()
        .into_iter()
        .map(|(name, kind, from)| (name, (kind, from)))
        .collect();
    let (mut columns, mut sources) = (0, 0);
    for (name, column) in conventions["columns"].as_object().expect("columns") {
        let (_, from) = &ours[name];
        columns += 1;
        for (rank, source) in column["from"]
            .as_array()
            .expect("sources")
            .iter()
            .enumerate()
        {
            sources += 1;
            let source = source.as_str().expect("text");
            let rule = source.starts_with("D:") || source.contains('+');
            let same = from[rank] == source || rule && from[rank].starts_with("D:");
            assert!(same, "{name} {rank}: {source}, ours {}", from[rank]);
        }
    }
    assert_eq!((columns, sources), (53, 287));
    let mapping = without_own(mapping());
    for (theirs, ours) in [
        ("op_kind", "op_kind"),
        ("provider_alias", "provider_alias"),
        ("provider_ignore", "provider_ignore"),
        ("absent_strings", "absent"),
        ("exclusive_input_dialects", "exclusive_input_dialects"),
    ] {
        assert_eq!(conventions[theirs], mapping[ours], "{ours}");
    }
    let tools = &conventions["skill_tools"];
    assert_eq!(tools["names"], mapping["skill_tools"]);
    assert_eq!(tools["argument_keys"], mapping["skill_arguments"]);
}

/// The mapping without what it knows beside the conventions of spans: names in log records and
/// telemetry events.
fn without_own(mut mapping: Value) -> Value {
    let kinds = mapping["op_kind"]["llm"].as_array_mut().expect("a list");
    let before = kinds.len();
    kinds.retain(|name| name != "claude_code.api_request");
    assert_eq!(kinds.len() + 1, before);
    let aliases = mapping["provider_alias"].as_object_mut().expect("a table");
    let own = aliases.shift_remove("anthropic-claude-enterprise");
    assert_eq!(own, Some("anthropic".into()));
    mapping
}
