//! Columns of datasets as columns of ClickHouse: types, codecs, indexes.

use arrow_schema::{DataType, Field};
use weir_model::schema::{Column, ColumnType, MONEY, MONEY_SUM, event_fields, link_fields};
use weir_model::{Dataset, schema};

/// The column that says which of a row's maps and lists are NULL: ClickHouse has no such NULLs and
/// stores empty ones. Bit 0 stands for the first nullable map or list of the dataset's schema.
pub(super) const NULLS: &str = "_nulls";

/// Texts that take few values: stored by number.
const FEW_VALUES: &[&str] = &[
    "tenant_id",
    "_node",
    "agent_id",
    "agent_name",
    "agent_version",
    "archetype_id",
    "ai_agent_name",
    "ai_model_name",
    "ai_provider",
    "api_operation",
    "api_service",
    "api_type",
    "chain_status",
    "class_name",
    "category_name",
    "activity_name",
    "cost_center",
    "cost_status",
    "data_action",
    "decision",
    "decision_raw",
    "detector",
    "dialect",
    "envelope",
    "environment",
    "error_type",
    "event_type",
    "hash_alg",
    "kind",
    "log_name",
    "mcp_method",
    "mcp_protocol_version",
    "mcp_server",
    "metadata_version",
    "model",
    "model_request",
    "model_response",
    "name",
    "op_kind",
    "op_name",
    "org_id",
    "policy_source",
    "price_ref",
    "product_name",
    "product_vendor",
    "product_version",
    "profile_id",
    "project",
    "prompt_name",
    "prompt_version",
    "provider",
    "provider_raw",
    "reason_code",
    "record_hash_alg",
    "record_kind",
    "resource_schema_url",
    "resource_type",
    "rpc_status_code",
    "schema_version",
    "scope_name",
    "scope_schema_url",
    "scope_version",
    "service_name",
    "service_tier",
    "severity",
    "severity_text",
    "signer_key_id",
    "skill",
    "skill_attribution",
    "skill_name",
    "skill_source",
    "skill_version",
    "source",
    "source_id",
    "source_kind",
    "status",
    "status_code",
    "team_id",
    "tenant_claimed",
    "tool_name",
    "tool_type",
    "upstream",
    "user_agent",
    "validation_status",
    "workflow_name",
];

/// Texts that are long: worth more work to compress.
const LONG: &[&str] = &["body", "details", "findings", "payload", "raw"];

/// Ids that are looked up alone, with the share of blocks that a look-up may read in vain.
const LOOKED_UP: &[(&str, &str)] = &[
    ("trace_id", "0.001"),
    ("trace_uid", "0.001"),
    ("span_id", "0.01"),
    ("span_uid", "0.01"),
    ("session_id", "0.01"),
    ("session_uid", "0.01"),
    ("event_id", "0.01"),
    ("event_uid", "0.01"),
    ("booking_id", "0.01"),
    ("request_id", "0.01"),
    ("finding_uid", "0.01"),
];

/// A name between backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Whether ClickHouse stores the column's NULL as an empty map or list.
pub(super) fn loses_null(column: &Column) -> bool {
    column.nullable && is_nested(column.kind)
}

fn is_nested(kind: ColumnType) -> bool {
    match kind {
        ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => true,
        ColumnType::Text
        | ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::Float64
        | ColumnType::Bool
        | ColumnType::Date
        | ColumnType::Time
        | ColumnType::Money
        | ColumnType::MoneySum => false,
    }
}

/// Whether the dataset's table has the column [`NULLS`].
pub(super) fn has_nulls(dataset: Dataset) -> bool {
    dataset.columns().iter().any(loses_null)
}

/// Every column of the dataset's table with its definition, in order.
pub(super) fn columns(dataset: Dataset) -> Vec<(&'static str, String)> {
    let mut all: Vec<_> = dataset
        .columns()
        .iter()
        .map(|column| (column.name, definition(column)))
        .collect();
    if has_nulls(dataset) {
        let doc = literal("Which maps and lists are NULL, a bit each in the order of columns");
        all.push((NULLS, format!("Int64 CODEC(T64, ZSTD(1)) COMMENT {doc}")));
    }
    all
}

fn definition(column: &Column) -> String {
    format!(
        "{} CODEC({}) COMMENT {}",
        type_of(column),
        codec(column),
        literal(column.doc)
    )
}

/// The column's type.
pub(super) fn type_of(column: &Column) -> String {
    let plain = match column.kind {
        ColumnType::Text if FEW_VALUES.contains(&column.name) => {
            return if column.nullable {
                "LowCardinality(Nullable(String))".to_owned()
            } else {
                "LowCardinality(String)".to_owned()
            };
        }
        ColumnType::Text => "String".to_owned(),
        ColumnType::Int32 => "Int32".to_owned(),
        ColumnType::Int64 => "Int64".to_owned(),
        ColumnType::Float64 => "Float64".to_owned(),
        ColumnType::Bool => "Bool".to_owned(),
        ColumnType::Date => "Date".to_owned(),
        ColumnType::Time => "DateTime64(6, 'UTC')".to_owned(),
        ColumnType::Money => format!("Decimal({}, {})", MONEY.0, MONEY.1),
        ColumnType::MoneySum => format!("Decimal({}, {})", MONEY_SUM.0, MONEY_SUM.1),
        ColumnType::Texts => return "Array(Nullable(String))".to_owned(),
        ColumnType::Ints => return "Array(Int64)".to_owned(),
        ColumnType::Attributes => return attributes(),
        ColumnType::SpanEvents => return tuples(event_fields().iter().map(AsRef::as_ref)),
        ColumnType::SpanLinks => return tuples(link_fields().iter().map(AsRef::as_ref)),
    };
    if column.nullable {
        format!("Nullable({plain})")
    } else {
        plain
    }
}

fn attributes() -> String {
    "Map(LowCardinality(String), Nullable(String))".to_owned()
}

/// A list of structs; the last member is what [`NULLS`] is for a row.
fn tuples<'a>(fields: impl Iterator<Item = &'a Field>) -> String {
    let members: Vec<String> = fields.map(member).collect();
    format!("Array(Tuple({}, {NULLS} UInt8))", members.join(", "))
}

fn member(field: &Field) -> String {
    let kind = if *field.data_type() == schema::attributes() {
        attributes()
    } else if *field.data_type() == DataType::Int64 {
        "Nullable(Int64)".to_owned()
    } else {
        "Nullable(String)".to_owned()
    };
    format!("{} {kind}", field.name())
}

fn codec(column: &Column) -> &'static str {
    match column.kind {
        ColumnType::Text if LONG.contains(&column.name) => "ZSTD(3)",
        ColumnType::Time => "Delta(8), ZSTD(1)",
        ColumnType::Int64 if column.name.ends_with("_unix_nano") || column.name == "_batch" => {
            "Delta(8), ZSTD(1)"
        }
        ColumnType::Int32 if column.name == "_row" => "Delta(4), ZSTD(1)",
        ColumnType::Date => "Delta(2), ZSTD(1)",
        ColumnType::Int32 | ColumnType::Int64 => "T64, ZSTD(1)",
        ColumnType::Text
        | ColumnType::Texts
        | ColumnType::Float64
        | ColumnType::Bool
        | ColumnType::Money
        | ColumnType::MoneySum
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => "ZSTD(1)",
    }
}

/// The data-skipping indexes of the dataset's table, a line each.
pub(super) fn indexes(dataset: Dataset) -> Vec<String> {
    let mut all = Vec::new();
    let time = dataset.time_column();
    all.push(format!("INDEX i_time {time} TYPE minmax GRANULARITY 1"));
    for column in dataset.columns() {
        let name = column.name;
        if let Some((_, share)) = LOOKED_UP.iter().find(|(id, _)| *id == name) {
            all.push(format!(
                "INDEX i_{name} {name} TYPE bloom_filter({share}) GRANULARITY 1"
            ));
        } else if matches!(name, "skill" | "skill_name") {
            all.push(format!("INDEX i_{name} {name} TYPE set(256) GRANULARITY 4"));
        } else if matches!(name, "attributes" | "resource_attributes") {
            all.push(format!(
                "INDEX i_{name} mapKeys({name}) TYPE bloom_filter(0.01) GRANULARITY 1"
            ));
        }
    }
    // Which rows of a batch are here: asked after a restart and after an outcome that is unknown.
    all.push("INDEX i_batch _batch TYPE minmax GRANULARITY 1".to_owned());
    all.push("INDEX i_node _node TYPE set(64) GRANULARITY 1".to_owned());
    all
}

/// What rows are sorted by after the tenant: the time, never NULL, and the trace where there is
/// one.
pub(super) struct Order {
    pub(super) time: String,
    pub(super) trace: Option<String>,
}

impl Order {
    pub(super) fn of(dataset: Dataset) -> Self {
        let find = |name: &str| dataset.columns().iter().find(|c| c.name == name);
        let time = dataset.time_column();
        let time = if find(time).is_some_and(|c| c.nullable) {
            format!("ifNull({time}, received_at)")
        } else {
            time.to_owned()
        };
        let trace = find("trace_id").or_else(|| find("trace_uid"));
        let trace = trace.map(|column| {
            if column.nullable {
                format!("ifNull({}, '')", column.name)
            } else {
                column.name.to_owned()
            }
        });
        Self { time, trace }
    }
}
