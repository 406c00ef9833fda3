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
    /// What it reads, itself or through the view below it.
    pub(crate) reads: &'static [Dataset],
    /// The view that it is written over; that one is written over datasets alone.
    pub(crate) over: Option<&'static str>,
    sql: &'static str,
    /// What it has in braces, and what is put there.
    put: &'static [(&'static str, &'static str)],
    /// How many selects and tables it puts in the place of its name.
    pub(crate) weight: u64,
    /// What its columns mean, where they are not a dataset's own.
    pub(crate) columns: &'static [(&'static str, &'static str)],
}

impl View {
    /// The stored query.
    pub(crate) fn sql(&self) -> String {
        let put = self.put.iter();
        put.fold(self.sql.to_owned(), |sql, (name, what)| {
            sql.replace(&format!("{{{name}}}"), what)
        })
    }

    /// What `column` means: the view's own word, else that of a dataset that it reads.
    pub(crate) fn column_doc(&self, column: &str) -> Option<&'static str> {
        let own = self.columns.iter().find(|(name, _)| *name == column);
        let read = || {
            let columns = self.reads.iter().flat_map(|d| d.columns());
            columns.into_iter().find(|c| c.name == column)
        };
        own.map(|(_, doc)| *doc).or_else(|| read().map(|c| c.doc))
    }
}

/// What a view over the tables of sums reads: the sums, and the ledger for what they lack yet.
pub(crate) const SUMS: &[Dataset] = &[Dataset::CostDaily, Dataset::CostHourly, Dataset::CostLedger];

/// The columns that both views of cost by skill have.
const BY_SKILL: &[(&str, &str)] = &[
    ("hour", "The hour, UTC, in which the calls began"),
    ("day", "The day, UTC, on which the calls began"),
    (
        "skill",
        "The skill; (unattributed) where none can be named for the call",
    ),
    ("calls", "Calls, each once"),
    ("errors", "Calls with an error"),
    ("input_tokens", "Input tokens, cached ones included"),
    ("output_tokens", "Output tokens, reasoning included"),
    ("cache_read_tokens", "Of the input, read from the cache"),
    ("cache_write_tokens", "Of the input, written to the cache"),
    ("reasoning_tokens", "Of the output, reasoning"),
    (
        "cost_reported_usd",
        "What senders said it cost; NULL where none did",
    ),
    (
        "cost_computed_usd",
        "Usage at list price; NULL where no call has one",
    ),
    (
        "cost_usd",
        "The one of both that counts: a list-price estimate until reconciled",
    ),
    ("unpriced_calls", "Calls whose cost is not known"),
    (
        "unattributed_share",
        "The share of all calls of the period that no skill can be named for",
    ),
    ("latency_p50_ms", "Half of the calls took no longer"),
    ("latency_p95_ms", "95 of 100 calls took no longer"),
    ("latency_p99_ms", "99 of 100 calls took no longer"),
];

/// Every view.
pub(crate) const VIEWS: &[View] = &[
    View {
        name: "cost_by_skill_daily",
        doc: "Cost, calls, tokens and latency by day and skill, from the ledger of bookings",
        reads: SUMS,
        over: None,
        sql: include_str!("views/cost_by_skill.sql"),
        put: &[("sums", "cost_sums_daily"), ("period", "day")],
        weight: 16,
        columns: BY_SKILL,
    },
    View {
        name: "cost_by_skill_hourly",
        doc: "Cost, calls, tokens and latency by hour and skill, from the ledger of bookings",
        reads: SUMS,
        over: None,
        sql: include_str!("views/cost_by_skill.sql"),
        put: &[("sums", "cost_sums_hourly"), ("period", "hour")],
        weight: 16,
        columns: BY_SKILL,
    },
    View {
        name: "cost_per_skill",
        doc: "Billed calls, tokens and cost by skill and model, by the ledger: each call once, whoever traced it",
        reads: SUMS,
        over: None,
        sql: include_str!("views/cost_per_skill.sql"),
        put: &[],
        weight: 16,
        columns: &[
            ("skill", "The skill; (unattributed) where none is known"),
            (
                "model",
                "The model that answered, else the one asked for; (unknown) where neither is named",
            ),
            ("calls", "Billed calls"),
            ("input_tokens", "Input tokens, cached ones included"),
            ("output_tokens", "Output tokens, reasoning included"),
            (
                "cost_usd",
                "Their cost in US dollars; NULL where no call has one",
            ),
            ("calls_without_cost", "Calls whose cost is not known"),
        ],
    },
    View {
        name: "duplicate_spans",
        doc: "One row a span that is stored more than once: how often, and whether the copies differ",
        reads: &[Dataset::Spans],
        over: None,
        sql: include_str!("views/duplicate_spans.sql"),
        put: &[],
        weight: 6,
        columns: &[
            ("copies", "Rows stored with these ids"),
            (
                "contents",
                "How many of them differ, by content_key: the rows that spans_distinct keeps",
            ),
            (
                "surplus",
                "Rows that repeat another one: those that spans_distinct leaves out",
            ),
            (
                "conflict",
                "Whether different spans were sent under the same ids",
            ),
            ("first_received_at", "When the first of them was accepted"),
            ("last_received_at", "When the last of them was accepted"),
        ],
    },
    View {
        name: "spans_distinct",
        doc: "The spans, each once: of rows with the same ids and content the one that was accepted first",
        reads: &[Dataset::Spans],
        over: None,
        sql: include_str!("views/spans_distinct.sql"),
        put: &[],
        weight: 9,
        columns: &[],
    },
    View {
        name: "traces",
        doc: "One row a trace: its first and last time, spans, errors, model calls and cost, each span counted once",
        reads: &[Dataset::Spans],
        over: Some("spans_distinct"),
        sql: include_str!("views/traces.sql"),
        put: &[],
        weight: 10,
        columns: &[
            ("start_time", "The start of its first span"),
            (
                "end_time",
                "The end of its last span; the start where a span has no end",
            ),
            ("spans", "Spans that have arrived, each counted once"),
            ("errors", "Spans whose status is error"),
            (
                "root_name",
                "The name of the span without a parent; NULL where it has not arrived",
            ),
            ("service_name", "The first by name of the services in it"),
            ("agent_name", "The first by name of the agents in it"),
            ("model_calls", "Spans that are calls of models"),
            (
                "cost_usd",
                "The cost of these calls; NULL where none is known",
            ),
        ],
    },
];

/// What a table holds, in a sentence.
pub(crate) fn doc(dataset: Dataset) -> &'static str {
    match dataset {
        Dataset::Spans => "One row a span, with the canonical agent columns and cost",
        Dataset::ProxyAudit => "One row an audit event of a gateway or MCP proxy",
        Dataset::OcsfEvents => "One row a security event in OCSF",
        Dataset::CostLedger => "One row a signed booking of cost",
        Dataset::RejectedEvents => "Input that was refused, with the reason",
        Dataset::TelemetryEvents => "One row a telemetry event with its own cost",
        Dataset::LogEvents => "One row a log record that tells of a call of a model",
        Dataset::CostHourly => {
            "Partial sums of the ledger by hour: add up rows with the same key; newest bookings may \
             be missing"
        }
        Dataset::CostDaily => {
            "Partial sums of the ledger by day: add up rows with the same key; newest bookings may \
             be missing"
        }
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
    let doc = |name: &str| match view(table) {
        Some(view) => view.column_doc(name),
        None => columns.iter().find(|c| c.name == name).map(|c| c.doc),
    };
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
