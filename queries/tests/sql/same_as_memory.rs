//! A law: wherever the rows are, a query gives what it gives over all of them in memory.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use weir_lake::Partition;
use weir_model::Dataset;
use weir_queries::Answer;

use crate::fixture::{Site, csv, run, spans};

/// One step of a node's life.
#[derive(Clone, Debug)]
enum Step {
    /// Accept rows: of which tenant, on which day, named what, costing how much.
    Accept(Vec<(bool, u8, u8, Option<u32>)>),
    /// Seal, commit, and let go of the rows or not.
    Store { let_go: bool },
}

fn steps() -> impl Strategy<Value = (bool, Vec<Step>)> {
    let row = (
        any::<bool>(),
        1_u8..5,
        0_u8..4,
        proptest::option::of(0_u32..1000),
    );
    let step = prop_oneof![
        3 => proptest::collection::vec(row, 1..12).prop_map(Step::Accept),
        2 => any::<bool>().prop_map(|let_go| Step::Store { let_go }),
    ];
    (any::<bool>(), proptest::collection::vec(step, 1..10))
}

const QUERIES: &[&str] = &[
    "SELECT count(*), sum(cost_usd), min(start_time), max(_batch) FROM spans",
    "SELECT name, part_date, count(*), sum(cost_usd) FROM spans GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT span_id, _batch, _row FROM spans WHERE part_date >= '2026-11-03' ORDER BY 1",
    "SELECT span_id FROM spans WHERE cost_usd > 500 OR name = 'name-1' ORDER BY 1",
    "SELECT count(*) FROM spans a JOIN spans b ON a.name = b.name AND a._batch < b._batch",
    "SELECT span_id, tenant_id FROM spans ORDER BY cost_usd DESC NULLS LAST, span_id LIMIT 5",
    "SELECT name, row_number() OVER (PARTITION BY name ORDER BY span_id) AS n FROM spans \
     WHERE attributes['n'] IS NOT NULL ORDER BY 1, 2",
];

fn build(rows: &[(bool, u8, u8, Option<u32>)], next: &mut u32) -> RecordBatch {
    let objects: Vec<Value> = rows
        .iter()
        .map(|(mine, day, name, cost)| {
            *next += 1;
            let cost = cost.map(|c| format!("{c}.000000000{c:03}"));
            json!({
                "tenant_id": if *mine { "acme" } else { "rival" },
                "span_id": format!("{next:016x}"),
                "name": format!("name-{name}"),
                "part_date": format!("2026-11-{day:02}"),
                "start_time": format!("2026-11-{day:02}T00:00:{:02}.000001Z", *next % 60),
                "cost_usd": cost,
                "attributes": if *name == 0 { json!(null) } else { json!({"n": name.to_string()}) },
            })
        })
        .collect();
    spans(&objects)
}

/// All rows ever accepted, as they are pinned when nothing was let go of.
async fn check(by_date: bool, steps: &[Step]) {
    let partition = if by_date {
        Partition::Date
    } else {
        Partition::DateAndTenant
    };
    let site = Site::new(partition).await;
    let all = Site::new(partition).await;
    let mut next = 0;
    for step in steps {
        match step {
            Step::Accept(rows) => {
                let rows = build(rows, &mut next);
                site.recent.accept(Dataset::Spans, &rows);
                all.recent.accept(Dataset::Spans, &rows);
            }
            Step::Store { let_go } => {
                all.recent.seal(Dataset::Spans);
                if let Some(batch) = site.recent.seal(Dataset::Spans) {
                    let number = batch.id().number;
                    site.lake.append(Dataset::Spans, &[batch]).await.unwrap();
                    if *let_go {
                        site.recent.let_go(Dataset::Spans, number);
                    }
                }
            }
        }
    }
    let memory = in_memory(&all);
    for sql in QUERIES {
        let found = site.csv("acme", sql).await;
        let frame = memory.sql(sql).await.unwrap();
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let expected = csv(&Answer {
            schema,
            batches: frame.collect().await.unwrap(),
            truncated: false,
            elapsed: std::time::Duration::ZERO,
        });
        assert_eq!(found, expected, "{sql}");
    }
}

/// The tenant's rows in a plain table of DataFusion's own.
fn in_memory(all: &Site) -> SessionContext {
    use weir_model::RecentRows;
    let schema = Dataset::Spans.schema();
    let mut mine = Vec::new();
    for block in all.recent.pin(Dataset::Spans).blocks {
        for rows in block.read().unwrap() {
            let tenants = rows.column(0).as_string::<i32>();
            let mask = tenants.iter().map(|t| Some(t == Some("acme"))).collect();
            mine.push(arrow_select::filter::filter_record_batch(&rows, &mask).unwrap());
        }
    }
    let table = MemTable::try_new(schema, vec![mine]).unwrap();
    let memory = SessionContext::new();
    memory.register_table("spans", Arc::new(table)).unwrap();
    memory
}

#[test]
fn a_query_gives_what_it_gives_over_all_rows_in_memory() {
    let mut runner = TestRunner::new(Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&steps(), |(by_date, steps)| {
            run(check(by_date, &steps));
            Ok(())
        })
        .unwrap();
}
