//! What captured spans mean, compared with a slow reference reading of the same rules.
//!
//! Every golden row has more than one span can say: twins merged, context inherited, skills carried
//! over. Compared is what a span says by itself:
//!
//! * all text columns, where the golden value is the span's own (not in its `inherited` list);
//! * usage, also `usage_aggregate`, `usage_made_inclusive` and `usage_invalid`;
//! * the skill, where it is the span's own (direct, metadata, tool arguments or resource);
//! * the computed cost to 10^-9 dollars, its status and its price entry, and the reported cost.
//!
//! Left out are `billable`, `duplicate_*`, `tool_role` and `inherited`; and, on a span whose twin
//! filled its gaps, the columns that a twin may fill.

#![cfg(test)]

#[path = "support/testdata.rs"]
mod testdata;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use serde_json::{Map, Value, json};
use weir_ingest::decode::otlp::{OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits};
use weir_model::TenantId;
use weir_transforms::Enricher;

/// Columns of the golden rows that are not the span's own, or are checked by a rule of their own.
const NOT_COMPARED: &[&str] = &[
    "trace_id",
    "span_id",
    "parent_span_id",
    "kind",
    "start_ns",
    "end_ns",
    "status",
    "billable",
    "inherited",
    "tool_role",
    "skill_name",
    "skill_attribution",
    "price_provider",
    "price_model",
    "cost_usd",
    "cost_status",
    "cost_disagrees",
    "duplicate_of",
    "duplicate_rule",
    "usage_aggregate",
    "usage_made_inclusive",
    "usage_invalid",
];

/// Columns with another name in the schema.
const RENAMED: &[(&str, &str)] = &[("service", "service_name"), ("scope", "scope_name")];

fn enriched(body: &[u8]) -> RecordBatch {
    let at = Acceptance {
        tenant: TenantId::local(),
        received_at_us: 1_795_300_000_000_000,
    };
    let decoded = decode_traces(body, OtlpEncoding::Json, &at, &Limits::default()).unwrap();
    Enricher::standard()
        .unwrap()
        .enrich_spans(decoded.rows)
        .unwrap()
}

/// Rows by span, with the columns that are not NULL.
fn rows(batch: &RecordBatch) -> BTreeMap<String, Map<String, Value>> {
    let schema = batch.schema();
    let row = |at: usize| {
        let columns = schema.fields().iter().zip(batch.columns());
        let present = columns.filter(|(_, column)| column.is_valid(at));
        present
            .map(|(field, column)| (field.name().clone(), value(column, at)))
            .collect()
    };
    let ids = batch.column_by_name("span_id").unwrap().as_string::<i32>();
    (0..batch.num_rows())
        .map(|at| (ids.value(at).to_owned(), row(at)))
        .collect()
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "every other type reads as NULL, also those that arrow adds"
)]
fn value(column: &dyn Array, at: usize) -> Value {
    match column.data_type() {
        DataType::Utf8 => json!(column.as_string::<i32>().value(at)),
        DataType::Int64 => json!(column.as_primitive::<Int64Type>().value(at)),
        DataType::Float64 => json!(column.as_primitive::<Float64Type>().value(at)),
        DataType::Boolean => json!(column.as_boolean().value(at)),
        DataType::Decimal128(_, 12) => {
            json!(
                column
                    .as_primitive::<Decimal128Type>()
                    .value(at)
                    .to_string()
            )
        }
        DataType::List(of) if *of.data_type() == DataType::Utf8 => {
            let list = column.as_list::<i32>().value(at);
            json!(list.as_string::<i32>().iter().flatten().collect::<Vec<_>>())
        }
        _ => Value::Null,
    }
}

/// An amount of 10^-12 dollars, rounded to nine digits as the goldens are.
fn nine_digits(amount: &Value) -> String {
    let amount: i128 = amount.as_str().unwrap().parse().unwrap();
    let (whole, rest) = (amount / 1000, amount % 1000);
    let up = rest > 500 || rest == 500 && whole % 2 == 1;
    let nano = whole + i128::from(up);
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

fn flag(row: &Map<String, Value>, word: &str) -> bool {
    row.get("usage_flags")
        .and_then(Value::as_array)
        .is_some_and(|f| f.contains(&json!(word)))
}

/// Whether a twin may fill the column.
fn twin_fills(column: &str) -> bool {
    column.starts_with("usage_")
        || matches!(
            column,
            "service_tier"
                | "response_id"
                | "model_response"
                | "provider_raw"
                | "cost_reported_usd"
        )
}

/// What differs between a golden row and ours.
fn differences(
    golden: &Map<String, Value>,
    ours: &Map<String, Value>,
    twinned: bool,
) -> Vec<String> {
    let inherited: HashSet<&str> = golden
        .get("inherited")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut found = Vec::new();
    let mut compare = |column: &str, golden: Option<&Value>, ours: Option<&Value>| {
        if golden != ours {
            found.push(format!("{column}: golden {golden:?}, ours {ours:?}"));
        }
    };
    for (column, expected) in golden {
        if NOT_COMPARED.contains(&column.as_str()) || inherited.contains(column.as_str()) {
            continue;
        }
        let name = RENAMED
            .iter()
            .find(|(old, _)| old == column)
            .map_or(column.as_str(), |(_, new)| new);
        let ours = ours.get(name);
        if twinned && twin_fills(column) && ours.is_none() {
            continue;
        }
        if column == "cost_reported_usd" {
            let rounded = ours.map(|v| json!(nine_digits(v)));
            compare(column, Some(expected), rounded.as_ref());
        } else {
            compare(column, Some(expected), ours);
        }
    }
    compare_skill(golden, ours, &mut compare);
    compare_flags(golden, ours, &mut compare);
    if golden["billable"] == true && !twinned {
        compare_cost(golden, ours, &mut compare);
    }
    found.extend(extra(golden, ours, &inherited));
    found
}

type Compare<'a> = &'a mut dyn FnMut(&str, Option<&Value>, Option<&Value>);

fn compare_skill(golden: &Map<String, Value>, ours: &Map<String, Value>, compare: Compare<'_>) {
    let own = ["direct", "metadata", "tool_args", "resource"];
    let source = golden
        .get("skill_attribution")
        .filter(|s| own.iter().any(|o| *s == o));
    compare("skill_source", source, ours.get("skill_source"));
    let skill = source.and_then(|_| golden.get("skill_name"));
    compare("skill_name", skill, ours.get("skill_name"));
}

fn compare_flags(golden: &Map<String, Value>, ours: &Map<String, Value>, compare: Compare<'_>) {
    let inclusive = flag(ours, "made_inclusive") || flag(ours, "reasoning_added");
    for (column, set) in [
        ("usage_aggregate", flag(ours, "aggregate")),
        ("usage_invalid", flag(ours, "invalid")),
        ("usage_made_inclusive", inclusive),
    ] {
        let set = set.then_some(Value::Bool(true));
        compare(column, golden.get(column), set.as_ref());
    }
}

fn compare_cost(golden: &Map<String, Value>, ours: &Map<String, Value>, compare: Compare<'_>) {
    let computed = ours.get("cost_computed_usd").map(|v| json!(nine_digits(v)));
    compare(
        "cost_computed_usd",
        golden.get("cost_usd"),
        computed.as_ref(),
    );
    // The goldens keep "computed" where a reported cost stands beside it; here that one is used.
    if ours.get("cost_reported_usd").is_none() {
        compare(
            "cost_status",
            golden.get("cost_status"),
            ours.get("cost_status"),
        );
    }
    let entry = golden.get("price_provider").zip(golden.get("price_model"));
    let entry =
        entry.map(|(p, m)| json!(format!("{}/{}", p.as_str().unwrap(), m.as_str().unwrap())));
    // Behind the list's name, which stands for its content.
    let reference = ours.get("price_ref").and_then(Value::as_str);
    let reference = reference.map(|r| json!(r.split_once(':').unwrap().1));
    compare("price_ref", entry.as_ref(), reference.as_ref());
    let disagrees = ours.get("cost_disagrees").filter(|v| **v == true);
    compare("cost_disagrees", golden.get("cost_disagrees"), disagrees);
}

/// Mapped columns that we fill and the golden row does not.
fn extra(
    golden: &Map<String, Value>,
    ours: &Map<String, Value>,
    inherited: &HashSet<&str>,
) -> Vec<String> {
    let mapping: Value = serde_json::from_str(include_str!("../transforms/mapping.json")).unwrap();
    let mapped = mapping["columns"].as_object().unwrap().keys();
    let unexpected = mapped.filter(|c| ours.contains_key(*c) && !golden.contains_key(*c));
    let unexpected =
        unexpected.filter(|c| !inherited.contains(c.as_str()) && *c != "tenant_claimed");
    unexpected
        .map(|c| format!("{c}: golden has none, ours {:?}", ours[c]))
        .collect()
}

fn check(golden_file: &Path) -> usize {
    let golden: Value = serde_json::from_slice(&std::fs::read(golden_file).unwrap()).unwrap();
    let name = golden_file
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .replace(".rows.json", ".json");
    let place = if name.starts_with('j') {
        "otlp/edge"
    } else {
        "otlp/captured"
    };
    let ours = rows(&enriched(
        &std::fs::read(testdata::path(place).join(&name)).unwrap(),
    ));
    let golden = golden["rows"].as_array().unwrap();
    let twinned: HashSet<&str> = golden
        .iter()
        .filter_map(|r| r["duplicate_of"].as_str())
        .collect();
    let mut wrong = Vec::new();
    for row in golden {
        let span = row["span_id"].as_str().unwrap();
        let row = row.as_object().unwrap();
        for difference in differences(row, &ours[span], twinned.contains(span)) {
            wrong.push(format!("{name} {span}: {difference}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    golden.len()
}

#[test]
fn every_captured_span_means_what_the_reference_says() {
    let files = testdata::files("mapping");
    let spans: usize = files.iter().map(|file| check(file)).sum();
    assert_eq!((files.len(), spans), (12, 66));
}
