use std::sync::{Arc, LazyLock};

use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{ArrayRef, Date32Array, TimestampMicrosecondArray, new_null_array};
use arrow_schema::{DataType, Field as ArrowField};
use proptest::prelude::*;
use weir_model::Dataset;

use super::*;

static ENRICHER: LazyLock<Enricher> = LazyLock::new(|| Enricher::standard().expect("built in"));

const START_US: i64 = 1_795_208_519_000_000;

/// What a test says of a span.
#[derive(Clone, Debug, Default)]
struct Sent {
    name: &'static str,
    attributes: Vec<(&'static str, &'static str)>,
    types: Vec<(&'static str, &'static str)>,
    resource: Vec<(&'static str, &'static str)>,
}

fn sent(attributes: &[(&'static str, &'static str)]) -> Sent {
    Sent {
        attributes: attributes.to_vec(),
        ..Sent::default()
    }
}

fn map(rows: &[&[(&'static str, &'static str)]]) -> ArrayRef {
    let names = MapFieldNames {
        entry: "key_value".into(),
        key: "key".into(),
        value: "value".into(),
    };
    let value = ArrowField::new("value", DataType::Utf8, true);
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(Arc::new(value));
    for row in rows {
        for (key, value) in *row {
            builder.keys().append_value(key);
            builder.values().append_value(value);
        }
        builder.append(true).expect("as many keys as values");
    }
    Arc::new(builder.finish())
}

fn batch(spans: &[Sent]) -> RecordBatch {
    let schema = Dataset::Spans.accepted_schema();
    let n = spans.len();
    let maps = |of: fn(&Sent) -> &[(&'static str, &'static str)]| {
        map(&spans.iter().map(of).collect::<Vec<_>>())
    };
    let column = |field: &ArrowField| -> ArrayRef {
        match field.name().as_str() {
            "attributes" => maps(|s| &s.attributes),
            "attribute_types" => maps(|s| &s.types),
            "resource_attributes" => maps(|s| &s.resource),
            "name" => Arc::new(StringArray::from_iter_values(spans.iter().map(|s| s.name))),
            "start_time" | "received_at" => {
                Arc::new(TimestampMicrosecondArray::from(vec![START_US; n]).with_timezone("UTC"))
            }
            "part_date" => Arc::new(Date32Array::from(vec![20_777; n])),
            _ if !field.is_nullable() => Arc::new(StringArray::from(vec!["x"; n])),
            _ => new_null_array(field.data_type(), n),
        }
    };
    let columns = schema.fields().iter().map(|f| column(f)).collect();
    RecordBatch::try_new(schema, columns).expect("accepted rows")
}

fn enrich(spans: &[Sent]) -> RecordBatch {
    ENRICHER.enrich_spans(batch(spans)).expect("enriched")
}

fn text<'a>(rows: &'a RecordBatch, column: &str, at: usize) -> Option<&'a str> {
    let column = rows
        .column_by_name(column)
        .expect(column)
        .as_string::<i32>();
    column.is_valid(at).then(|| column.value(at))
}

fn money(rows: &RecordBatch, column: &str, at: usize) -> Option<i128> {
    let column = rows
        .column_by_name(column)
        .expect(column)
        .as_primitive::<Decimal128Type>();
    column.is_valid(at).then(|| column.value(at))
}

const CALL: [(&str, &str); 5] = [
    ("gen_ai.operation.name", "chat"),
    ("gen_ai.provider.name", "openai"),
    ("gen_ai.request.model", "gpt-4o"),
    ("gen_ai.usage.input_tokens", "1000"),
    ("gen_ai.usage.output_tokens", "10"),
];

#[test]
fn a_model_call_is_mapped_and_priced() {
    let rows = enrich(&[sent(&CALL)]);
    let expected = [
        ("dialect", "otel_genai"),
        ("op_name", "chat"),
        ("op_kind", "llm"),
        ("provider", "openai"),
        ("model", "gpt-4o"),
        ("cost_status", "computed"),
    ];
    for (column, value) in expected {
        assert_eq!(text(&rows, column, 0), Some(value), "{column}");
    }
    let reference = format!("{}:openai/gpt-4o", ENRICHER.standard.name());
    assert_eq!(text(&rows, "price_ref", 0), Some(&*reference));
    assert_eq!(money(&rows, "cost_usd", 0), Some(2_600_000_000));
    assert_eq!(money(&rows, "cost_computed_usd", 0), Some(2_600_000_000));
    assert_eq!(money(&rows, "cost_reported_usd", 0), None);
}

#[test]
fn what_is_not_known_has_no_cost_and_says_why() {
    let with = |key, value| {
        let mut call = CALL.to_vec();
        call.retain(|(k, _)| *k != key);
        call.push((key, value));
        sent(&call)
    };
    let no_usage = sent(&CALL[..3]);
    let agent = with("gen_ai.operation.name", "invoke_agent");
    let spans = [
        with("gen_ai.request.model", "our-own-7b"),
        with("gen_ai.usage.input_tokens", "-1"),
        no_usage,
        agent,
    ];
    let rows = enrich(&spans);
    let statuses = [
        Some("unpriced"),
        Some("invalid_usage"),
        Some("no_usage"),
        None,
    ];
    for (at, status) in statuses.into_iter().enumerate() {
        assert_eq!(text(&rows, "cost_status", at), status, "{at}");
        assert_eq!(money(&rows, "cost_usd", at), None, "{at}");
    }
    let tokens = rows.column_by_name("usage_input_tokens").expect("a column");
    let tokens: Vec<_> = tokens.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(tokens, [Some(1000), None, None, None]);
}

#[test]
fn the_reported_cost_is_used_and_a_disagreement_is_told() {
    let with = |cost| {
        let mut call = CALL.to_vec();
        call.push(("gen_ai.usage.cost", cost));
        sent(&call)
    };
    let rows = enrich(&[with("0.0026"), with("0.0027"), with("NaN")]);
    let used = [0, 1, 2].map(|at| money(&rows, "cost_usd", at));
    assert_eq!(
        used,
        [
            Some(2_600_000_000),
            Some(2_700_000_000),
            Some(2_600_000_000)
        ]
    );
    assert_eq!(text(&rows, "cost_status", 0), Some("reported"));
    assert_eq!(text(&rows, "cost_status", 2), Some("computed"));
    let disagrees = rows.column_by_name("cost_disagrees").expect("a column");
    let disagrees: Vec<_> = disagrees.as_boolean().iter().collect();
    assert_eq!(disagrees, [Some(false), Some(true), None]);
}

#[test]
fn the_best_source_wins_in_any_order_and_an_unusable_one_is_passed_over() {
    let rows = enrich(&[
        sent(&[("session.id", "second"), ("langfuse.session.id", "first")]),
        sent(&[("langfuse.session.id", "first"), ("session.id", "second")]),
        sent(&[("langfuse.session.id", "None"), ("session.id", "second")]),
        sent(&[("metadata", r#"{"session_id": "inside"}"#)]),
        sent(&[("metadata", "{'thread_id': 'python'}")]),
    ]);
    let sessions: Vec<_> = (0..5).map(|at| text(&rows, "session_id", at)).collect();
    assert_eq!(
        sessions,
        [
            Some("first"),
            Some("first"),
            Some("second"),
            Some("inside"),
            Some("python")
        ]
    );
}

#[test]
fn a_double_without_a_fraction_is_a_count_and_text_with_one_is_not() {
    let call = |typed: bool| Sent {
        attributes: vec![
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.usage.input_tokens", "12.0"),
        ],
        types: if typed {
            vec![("gen_ai.usage.input_tokens", "double")]
        } else {
            Vec::new()
        },
        ..Sent::default()
    };
    let rows = enrich(&[call(true), call(false)]);
    let tokens = rows.column_by_name("usage_input_tokens").expect("a column");
    let tokens: Vec<_> = tokens.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(tokens, [Some(12), None]);
}

#[test]
fn a_skill_is_read_from_where_a_span_names_it() {
    let tool = Sent {
        name: "execute_tool load_skill",
        attributes: vec![
            ("gen_ai.operation.name", "execute_tool"),
            ("gen_ai.tool.call.arguments", r#"{"skill_name": "pdf"}"#),
        ],
        ..Sent::default()
    };
    let resource = Sent {
        resource: vec![("skill.name", "all")],
        ..Sent::default()
    };
    let spans = [
        sent(&[("gen_ai.skill.name", "a")]),
        sent(&[("skill", "b")]),
        tool,
        resource,
    ];
    let rows = enrich(&spans);
    let named: Vec<_> = (0..4)
        .map(|at| {
            (
                text(&rows, "skill_name", at),
                text(&rows, "skill_source", at),
            )
        })
        .collect();
    let expected = [
        ("a", "direct"),
        ("b", "metadata"),
        ("pdf", "tool_args"),
        ("all", "resource"),
    ];
    assert_eq!(
        named,
        expected.map(|(skill, source)| (Some(skill), Some(source)))
    );
}

#[test]
fn what_was_sent_is_untouched_and_a_missing_column_is_an_error() {
    let before = batch(&[sent(&CALL), Sent::default()]);
    let after = ENRICHER.enrich_spans(before.clone()).expect("enriched");
    for name in [
        "tenant_id",
        "name",
        "attributes",
        "resource_attributes",
        "events",
        "part_date",
    ] {
        assert_eq!(
            before.column_by_name(name),
            after.column_by_name(name),
            "{name}"
        );
    }
    assert_eq!(before.schema(), after.schema());
    let at = before.schema().index_of("attributes").expect("a column");
    let mut without = before;
    without.remove_column(at);
    assert!(ENRICHER.enrich_spans(without).is_err());
}

fn any_span() -> impl Strategy<Value = Sent> {
    let keys = [
        "gen_ai.operation.name",
        "gen_ai.request.model",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.cost",
        "metadata",
        "skill",
        "session.id",
        "url.full",
        "unheard.of",
        "",
    ];
    let values = [
        "chat",
        "gpt-4o",
        "17",
        "-3",
        "0.5",
        "{\"skill\": \"x\"}",
        "None",
        "",
        "http://h:1/p",
    ];
    let pairs = || {
        let pair = (
            prop::sample::select(keys.to_vec()),
            prop::sample::select(values.to_vec()),
        );
        prop::collection::vec(pair, 0..6).prop_map(|mut pairs| {
            pairs.sort_unstable();
            pairs.dedup_by_key(|(key, _)| *key);
            pairs
        })
    };
    let resources = [
        vec![],
        vec![("skill.name", "r")],
        vec![("deployment.environment", "prod")],
    ];
    let resource = prop::sample::select(resources.to_vec());
    (pairs(), resource).prop_map(|(attributes, resource)| Sent {
        attributes,
        resource,
        ..Sent::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a span means depends on nothing but the span: not on its neighbours, not on its place.
    #[test]
    fn a_part_of_a_batch_is_enriched_as_in_the_whole(
        spans in prop::collection::vec(any_span(), 1..20),
        cut in 0usize..20,
    ) {
        let cut = cut.min(spans.len() - 1);
        let whole = enrich(&spans);
        let part = ENRICHER.enrich_spans(batch(&spans).slice(cut, spans.len() - cut)).expect("enriched");
        prop_assert_eq!(part, whole.slice(cut, spans.len() - cut));
    }
}
