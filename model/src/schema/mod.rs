//! The one normative schema: every column of every dataset, with its type and its meaning.
//!
//! Sinks, the lake and SQL derive their tables from here. Columns are only ever added, at the end
//! of their group, together with a new [`VERSION`]; rows of an older version read as NULL there.
//!
//! Field names inside lists and maps are those that Delta Lake and Parquet use (`element`;
//! `key_value`, `key`, `value`), so that no sink has to rename them.

pub mod ledger;
mod log_events;
mod ocsf;
mod proxy_audit;
mod rejected;
pub mod rollup;
mod spans;
mod telemetry;

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};

use crate::Dataset;

/// The version of all schemas together; every frame of the write-ahead log carries it.
///
/// 2 brought the tables `telemetry_events` and `log_events`, and `event_id` in `cost_ledger`.
pub const VERSION: u16 = 2;

/// How many columns at the end only sealed rows have: `_node`, `_batch`, `_row`.
pub const SEAL_COLUMNS: usize = 3;

/// Precision and scale of money columns: US dollars to 10^-12.
pub const MONEY: (u8, i8) = (24, 12);

/// Precision and scale of sums of money: wide enough that no number of rows overflows.
pub const MONEY_SUM: (u8, i8) = (38, 12);

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// A list of texts.
    Texts,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Double.
    Float64,
    /// Boolean.
    Bool,
    /// Calendar day, UTC.
    Date,
    /// Microseconds since the epoch, UTC.
    Time,
    /// `Decimal128(24, 12)`, US dollars.
    Money,
    /// `Decimal128(38, 12)`, US dollars: a sum.
    MoneySum,
    /// A list of 64-bit integers, none of them NULL.
    Ints,
    /// `Map<text, text>`: attributes by key, or the names of their types.
    Attributes,
    /// `List<Struct>`: a span's events.
    SpanEvents,
    /// `List<Struct>`: a span's links.
    SpanLinks,
}

/// A column of a dataset.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name, the same everywhere.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether it may be NULL, which always means "not said" or "not known".
    pub nullable: bool,
    /// What it means, in a sentence fit for the documentation.
    pub doc: &'static str,
}

/// A column that every row has.
const fn must(name: &'static str, kind: ColumnType, doc: &'static str) -> Column {
    Column {
        name,
        kind,
        nullable: false,
        doc,
    }
}

/// A column that may be NULL.
const fn may(name: &'static str, kind: ColumnType, doc: &'static str) -> Column {
    Column {
        name,
        kind,
        nullable: true,
        doc,
    }
}

/// The column that every table starts with.
const HEAD: &[Column] = &[must(
    "tenant_id",
    ColumnType::Text,
    "Whose row it is: the tenant of the credential that sent it",
)];

/// The columns that every table ends with.
const TAIL: &[Column] = &[
    must(
        "part_date",
        ColumnType::Date,
        "The partition: the event's date if it lies within 30 days before and 10 minutes after \
         acceptance, else the date of acceptance",
    ),
    must(
        "received_at",
        ColumnType::Time,
        "When this node accepted the row",
    ),
    must("_node", ColumnType::Text, "The node that accepted the row"),
    must(
        "_batch",
        ColumnType::Int64,
        "The batch that the row was sealed in, dense per node and dataset",
    ),
    must(
        "_row",
        ColumnType::Int32,
        "The row's place in its batch, from 0",
    ),
];

/// The schemas of one dataset, built once.
struct Tables {
    columns: Vec<Column>,
    sealed: SchemaRef,
    accepted: SchemaRef,
}

static TABLES: LazyLock<Vec<Tables>> =
    LazyLock::new(|| Dataset::ALL.into_iter().map(build).collect());

fn build(dataset: Dataset) -> Tables {
    let body = match dataset {
        Dataset::Spans => spans::COLUMNS,
        Dataset::ProxyAudit => proxy_audit::COLUMNS,
        Dataset::OcsfEvents => ocsf::COLUMNS,
        Dataset::CostLedger => ledger::COLUMNS,
        Dataset::RejectedEvents => rejected::COLUMNS,
        Dataset::CostHourly | Dataset::CostDaily => rollup::COLUMNS,
        Dataset::TelemetryEvents => telemetry::COLUMNS,
        Dataset::LogEvents => log_events::COLUMNS,
    };
    let shared: &[&str] = match dataset {
        Dataset::TelemetryEvents => telemetry::OF_SPANS,
        Dataset::LogEvents => log_events::OF_SPANS,
        Dataset::Spans
        | Dataset::ProxyAudit
        | Dataset::OcsfEvents
        | Dataset::CostLedger
        | Dataset::RejectedEvents
        | Dataset::CostHourly
        | Dataset::CostDaily => &[],
    };
    let of_spans = |name: &&str| spans::COLUMNS.iter().find(|c| c.name == *name);
    let body = body.iter().chain(shared.iter().filter_map(of_spans));
    let columns: Vec<Column> = HEAD.iter().chain(body).chain(TAIL).copied().collect();
    let fields: Vec<FieldRef> = columns.iter().map(Column::field).collect();
    let kept = fields.len() - SEAL_COLUMNS;
    let accepted = Fields::from_iter(fields.iter().take(kept).cloned());
    Tables {
        columns,
        sealed: Arc::new(Schema::new(Fields::from(fields))),
        accepted: Arc::new(Schema::new(accepted)),
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "codes count from 1 in the order of Dataset::ALL, which a test holds"
)]
fn tables(dataset: Dataset) -> &'static Tables {
    &TABLES[usize::from(dataset.code()) - 1]
}

pub(crate) fn columns(dataset: Dataset) -> &'static [Column] {
    &tables(dataset).columns
}

pub(crate) fn sealed(dataset: Dataset) -> SchemaRef {
    Arc::clone(&tables(dataset).sealed)
}

pub(crate) fn accepted(dataset: Dataset) -> SchemaRef {
    Arc::clone(&tables(dataset).accepted)
}

impl Column {
    /// The column as an Arrow field.
    pub fn field(&self) -> FieldRef {
        Arc::new(Field::new(self.name, self.kind.arrow(), self.nullable))
    }
}

impl ColumnType {
    /// The Arrow type.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Texts => DataType::List(element(DataType::Utf8)),
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Money => DataType::Decimal128(MONEY.0, MONEY.1),
            Self::MoneySum => DataType::Decimal128(MONEY_SUM.0, MONEY_SUM.1),
            Self::Ints => DataType::List(element(DataType::Int64)),
            Self::Attributes => attributes(),
            Self::SpanEvents => DataType::List(element(DataType::Struct(event_fields()))),
            Self::SpanLinks => DataType::List(element(DataType::Struct(link_fields()))),
        }
    }
}

fn element(of: DataType) -> FieldRef {
    Arc::new(Field::new("element", of, true))
}

/// The type of attribute columns: text by key, values NULL where the sender set none.
pub fn attributes() -> DataType {
    DataType::Map(
        Arc::new(Field::new(
            "key_value",
            DataType::Struct(Fields::from(vec![
                Field::new("key", DataType::Utf8, false),
                Field::new("value", DataType::Utf8, true),
            ])),
            false,
        )),
        false,
    )
}

/// The members of a span event.
pub fn event_fields() -> Fields {
    Fields::from(vec![
        Field::new("time_unix_nano", DataType::Int64, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("attributes", attributes(), true),
        Field::new("attribute_types", attributes(), true),
        Field::new("dropped_attributes_count", DataType::Int64, true),
        Field::new("time_flag", DataType::Utf8, true),
    ])
}

/// The members of a span link.
pub fn link_fields() -> Fields {
    Fields::from(vec![
        Field::new("trace_id", DataType::Utf8, true),
        Field::new("span_id", DataType::Utf8, true),
        Field::new("trace_state", DataType::Utf8, true),
        Field::new("attributes", attributes(), true),
        Field::new("attribute_types", attributes(), true),
        Field::new("dropped_attributes_count", DataType::Int64, true),
        Field::new("flags", DataType::Int64, true),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_table_starts_and_ends_alike() {
        for (i, dataset) in Dataset::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(dataset.code()), i + 1, "codes index the tables");
            let schema = dataset.schema();
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            assert_eq!(names[0], "tenant_id");
            let tail = ["part_date", "received_at", "_node", "_batch", "_row"];
            assert_eq!(names[names.len() - 5..], tail);
            let accepted = dataset.accepted_schema();
            assert_eq!(accepted.fields().len() + SEAL_COLUMNS, names.len());
            let unique: HashSet<&&str> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{dataset} names a column twice");
            assert!(names.contains(&dataset.time_column()));
        }
    }

    #[test]
    fn what_is_shared_with_spans_is_there() {
        let shared = [
            (Dataset::TelemetryEvents, telemetry::OF_SPANS),
            (Dataset::LogEvents, log_events::OF_SPANS),
        ];
        for (dataset, names) in shared {
            for name in names {
                let of = |d: Dataset| d.columns().iter().find(|c| c.name == *name).map(|c| c.kind);
                assert!(of(dataset).is_some(), "{dataset}.{name}");
                assert_eq!(of(dataset), of(Dataset::Spans), "{dataset}.{name}");
            }
        }
    }
}
