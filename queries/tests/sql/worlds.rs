//! Two worlds that differ only in the rows of others: what `acme` sees must be the same in both.
//!
//! In the hostile world the others are `rival`, whose every value is a canary, and whose numbers
//! and texts are such that predicates fail on them; in the plain one `filler`, whose rows are dull.
//! With [`crowd`], `rival` also has many more rows.

use arrow_array::RecordBatch;
use serde_json::{Map, Value, json};
use weir_lake::Partition;
use weir_model::Dataset;
use weir_model::schema::ColumnType;

use crate::fixture::{Site, rows};

/// What no answer to `acme` may hold.
pub(crate) const CANARIES: &[&str] = &[
    "canary-7f3a9c",
    "7777777777",
    "31337.31337",
    "1999-09-09",
    "cafebabe",
    "deadbeef",
    "rival",
];

/// Who has the rows that are not `acme`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Rival,
    Filler,
}

/// A row of `acme`'s.
fn own(dataset: Dataset, n: u32) -> Value {
    let day = 20 + n % 2;
    let mut row = json!({
        "tenant_id": "acme",
        "part_date": format!("2026-11-{day}"),
        "received_at": format!("2026-11-21T10:00:{n:02}Z"),
        dataset.time_column(): format!("2026-11-{day}T10:00:{n:02}Z"),
    });
    let more = match dataset {
        Dataset::Spans => json!({
            "trace_id": format!("{:032x}", n / 3 + 1),
            "span_id": format!("{n:016x}"),
            "name": format!("own-{n}"),
            "service_name": "shop",
            "model": "gpt-4o",
            "op_kind": "llm",
            "skill_name": if n.is_multiple_of(2) { json!("pdf") } else { json!(null) },
            "duration_nanos": 100 + n,
            "usage_input_tokens": 10,
            "cost_usd": "0.5",
            "attributes": { "secret": "1" },
            "finish_reasons": ["stop"],
            "content_key": format!("{n:032x}"),
        }),
        Dataset::ProxyAudit => json!({ "event_id": format!("own-{n}"), "message": "own" }),
        Dataset::CostLedger | Dataset::CostHourly | Dataset::CostDaily => json!({
            "source": "span",
            "sign": 1,
            "skill": if n.is_multiple_of(2) { json!("pdf") } else { json!(null) },
            "calls": 3,
            "usage_calls": 3,
            "usage_input_tokens": 10,
            "cost_usd": "0.5",
            "duration_ms": 100.5,
            "latency_histogram": [40, 3],
        }),
        Dataset::TelemetryEvents | Dataset::LogEvents => json!({
            "event_id": format!("own-{n}"),
            "event_name": "claude_code.api_request",
            "is_call": true,
            "skill_name": if n.is_multiple_of(2) { json!("pdf") } else { json!(null) },
            "cost_usd": "0.5",
            "raw": "{}",
        }),
        Dataset::OcsfEvents | Dataset::RejectedEvents => json!({}),
    };
    merge(&mut row, more);
    row
}

fn merge(row: &mut Value, more: Value) {
    let row: &mut Map<String, Value> = row.as_object_mut().unwrap();
    row.extend(more.as_object().unwrap().clone());
}

/// A row of others. Every third has the ids and the content hash of one of `acme`'s.
fn foreign(dataset: Dataset, n: u32, others: Others) -> Value {
    if others == Others::Filler {
        let mut row = own(dataset, n);
        merge(&mut row, json!({ "tenant_id": "filler" }));
        return row;
    }
    let canary = CANARIES[0];
    let mut row = Map::new();
    for column in dataset.columns() {
        let value = match column.kind {
            ColumnType::Text => json!(canary),
            ColumnType::Texts => json!([canary]),
            ColumnType::Int64 => json!(7_777_777_777_i64),
            ColumnType::Int32 => json!(777_777_777),
            ColumnType::Float64 => json!(31_337.313_37),
            ColumnType::Money | ColumnType::MoneySum => json!("31337.313370000000"),
            ColumnType::Ints => json!([77, 7_777]),
            ColumnType::Attributes => json!({ "secret": canary, canary: canary }),
            ColumnType::Bool => json!(true),
            ColumnType::Date
            | ColumnType::Time
            | ColumnType::SpanEvents
            | ColumnType::SpanLinks => continue,
        };
        if !column.name.starts_with('_') {
            row.insert(column.name.to_owned(), value);
        }
    }
    let mut row = Value::from(row);
    let old = n.is_multiple_of(4);
    let day = if old {
        "1999-09-09"
    } else {
        ["2026-11-20", "2026-11-21"][n as usize % 2]
    };
    merge(
        &mut row,
        json!({
            "tenant_id": "rival",
            "part_date": day,
            "received_at": "2026-11-21T10:00:00Z",
            dataset.time_column(): format!("{day}T00:00:00Z"),
        }),
    );
    if dataset == Dataset::Spans {
        let twin = n.is_multiple_of(3);
        let id = |own: String, other: String| if twin { own } else { other };
        merge(
            &mut row,
            json!({
                "duration_nanos": 0,
                "op_kind": "llm",
                "trace_id": id(format!("{:032x}", n / 3 + 1), "cafebabe".repeat(4)),
                "span_id": id(format!("{n:016x}"), format!("deadbeef{n:08x}")),
                "content_key": id(format!("{n:032x}"), "cafebabe".repeat(4)),
            }),
        );
    }
    row
}

/// Rows of `acme` and of others in turn, `acme`'s in the same places in both worlds.
fn mixed(dataset: Dataset, from: u32, others: Others) -> RecordBatch {
    let row = |n: u32| match n % 2 {
        0 => own(dataset, n / 2),
        _ => foreign(dataset, n / 2, others),
    };
    rows(dataset, &(from..from + 8).map(row).collect::<Vec<_>>())
}

fn only_foreign(dataset: Dataset, from: u32, others: Others) -> RecordBatch {
    let row = |n| foreign(dataset, n, others);
    rows(dataset, &(from..from + 10).map(row).collect::<Vec<_>>())
}

/// A world: rows in the lake, in a batch that is `acme`'s in part and in one that is not at all,
/// and recent rows of both kinds.
pub(crate) async fn world(partition: Partition, others: Others) -> Site {
    let site = Site::new(partition).await;
    for dataset in [
        Dataset::Spans,
        Dataset::ProxyAudit,
        Dataset::OcsfEvents,
        Dataset::CostLedger,
        Dataset::TelemetryEvents,
        Dataset::LogEvents,
    ] {
        site.store(dataset, &mixed(dataset, 0, others)).await;
        site.store(dataset, &only_foreign(dataset, 20, others))
            .await;
        // A resend of acme's own first rows: two spans are stored twice.
        let resent = mixed(dataset, 0, others).slice(0, 4);
        site.store(dataset, &resent).await;
        site.recent.accept(dataset, &mixed(dataset, 8, others));
    }
    // The sums lag behind the ledger.
    for dataset in [Dataset::CostHourly, Dataset::CostDaily] {
        site.store(dataset, &mixed(dataset, 0, others)).await;
    }
    site
}

/// Gives `rival` more days and more recent rows than `acme` has, none of which it may notice.
pub(crate) fn crowd(site: &Site) {
    for dataset in [Dataset::Spans, Dataset::ProxyAudit, Dataset::OcsfEvents] {
        let rows = only_foreign(dataset, 40, Others::Rival);
        // More than one stream reads by itself.
        let many = vec![rows.clone(); if dataset == Dataset::Spans { 3400 } else { 10 }];
        let many = arrow_select::concat::concat_batches(&rows.schema(), &many);
        site.recent.accept(dataset, &many.unwrap());
        site.recent.accept(dataset, &rows.slice(2, 3));
    }
}

/// The text with what tells one file from another left out: names are random.
pub(crate) fn without_file_names(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(".parquet") {
        let folder = before.rfind('/').map_or(0, |slash| slash + 1);
        out.push_str(&before[..folder]);
        out.push_str("F.parquet");
        rest = after;
    }
    out + rest
}
