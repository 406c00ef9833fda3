//! The tables that a query knows: the datasets, and views over them.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use weir_model::Dataset;

use crate::QueryError;

/// A stored query under a name.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    /// What it reads; a view reads datasets, not views.
    pub(crate) reads: &'static [Dataset],
    pub(crate) sql: &'static str,
}

/// Every view.
pub(crate) const VIEWS: &[View] = &[
    View {
        name: "cost_per_skill",
        doc: "Model calls, tokens and cost by skill and model, the skill as the call's own span names it",
        reads: &[Dataset::Spans],
        sql: include_str!("views/cost_per_skill.sql"),
    },
    View {
        name: "traces",
        doc: "One row a trace: its first and last time, spans, errors, model calls and cost",
        reads: &[Dataset::Spans],
        sql: include_str!("views/traces.sql"),
    },
];

/// What a table holds, in a sentence.
fn doc(dataset: Dataset) -> &'static str {
    match dataset {
        Dataset::Spans => "One row a span, with the canonical agent columns and cost",
        Dataset::ProxyAudit => "One row an audit event of a gateway or MCP proxy",
        Dataset::OcsfEvents => "One row a security event in OCSF",
        Dataset::CostLedger => "One row a signed booking of cost",
        Dataset::RejectedEvents => "Input that was refused, with the reason",
    }
}

/// The view of that name.
pub(crate) fn view(name: &str) -> Option<&'static View> {
    VIEWS.iter().find(|v| v.name == name)
}

/// The answer to `SHOW TABLES`.
pub(crate) fn list() -> Result<RecordBatch, QueryError> {
    let (mut names, mut kinds, mut docs) = (Vec::new(), Vec::new(), Vec::new());
    for dataset in Dataset::ALL {
        names.push(dataset.name());
        kinds.push("table");
        docs.push(doc(dataset));
    }
    for view in VIEWS {
        names.push(view.name);
        kinds.push("view");
        docs.push(view.doc);
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("table_name", Arc::new(StringArray::from(names))),
        ("table_type", Arc::new(StringArray::from(kinds))),
        ("description", Arc::new(StringArray::from(docs))),
    ];
    RecordBatch::try_from_iter(columns).map_err(|_| QueryError::internal())
}

/// The answer to `DESCRIBE`: the columns of `schema`, with what the model says of them.
pub(crate) fn describe(table: &str, schema: &Schema) -> Result<RecordBatch, QueryError> {
    let columns = Dataset::from_name(table).map_or(&[] as &[_], Dataset::columns);
    let doc = |name: &str| columns.iter().find(|c| c.name == name).map(|c| c.doc);
    let fields = schema.fields();
    let names: StringArray = fields.iter().map(|f| Some(f.name().as_str())).collect();
    let types = fields.iter().map(|f| Some(type_name(f.data_type())));
    let types: StringArray = types.collect();
    let nullable: BooleanArray = fields.iter().map(|f| Some(f.is_nullable())).collect();
    let docs: StringArray = fields.iter().map(|f| doc(f.name())).collect();
    let schema = Schema::new(vec![
        Field::new("column_name", DataType::Utf8, false),
        Field::new("data_type", DataType::Utf8, false),
        Field::new("is_nullable", DataType::Boolean, false),
        Field::new("description", DataType::Utf8, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(names),
        Arc::new(types),
        Arc::new(nullable),
        Arc::new(docs),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).map_err(|_| QueryError::internal())
}

fn type_name(of: &DataType) -> String {
    crate::format::type_name(of)
}
