//! What a retry has stored again: `spans_distinct` leaves it out, `duplicate_spans` counts it.

use serde_json::{Value, json};
use weir_lake::Partition;
use weir_model::Dataset;

use crate::fixture::{Site, run, spans};

/// A span by its number, with content `content`, accepted at second `second`.
fn span(tenant: &str, n: u32, content: &str, second: u32) -> Value {
    json!({
        "tenant_id": tenant,
        "trace_id": format!("{:032x}", n / 10),
        "span_id": format!("{n:016x}"),
        "name": content,
        "start_time": format!("2026-11-20T10:{n:02}:00Z"),
        "received_at": format!("2026-11-21T10:00:{second:02}Z"),
        "content_key": if content.is_empty() { Value::Null } else { json!(format!("{content:0>32}")) },
        "cost_usd": "1.000000000001",
    })
}

fn own(n: u32, content: &str, second: u32) -> Value {
    span("acme", n, content, second)
}

const DISTINCT: &str =
    "SELECT span_id, name, received_at, _batch FROM spans_distinct ORDER BY 1, 2, 3";
const DUPLICATES: &str =
    "SELECT span_id, copies, contents, surplus, conflict FROM duplicate_spans ORDER BY 1";

/// Span 1 arrives three times, 2 twice with different content, 3 once, 4 twice without a hash.
fn deliveries() -> [Vec<Value>; 3] {
    [
        vec![
            own(1, "a", 1),
            own(2, "b", 1),
            own(3, "c", 1),
            own(4, "", 1),
        ],
        vec![own(1, "a", 2), own(2, "other", 2)],
        vec![own(1, "a", 3), own(4, "", 3)],
    ]
}

#[test]
fn a_span_that_is_stored_again_is_there_once_wherever_its_copies_are() {
    let distinct = "span_id,name,received_at,_batch\n\
                    0000000000000001,a,2026-11-21T10:00:01Z,1\n\
                    0000000000000002,b,2026-11-21T10:00:01Z,1\n\
                    0000000000000002,other,2026-11-21T10:00:02Z,2\n\
                    0000000000000003,c,2026-11-21T10:00:01Z,1\n\
                    0000000000000004,,2026-11-21T10:00:01Z,1\n\
                    0000000000000004,,2026-11-21T10:00:03Z,3\n";
    let duplicates = "span_id,copies,contents,surplus,conflict\n\
                      0000000000000001,3,1,2,false\n\
                      0000000000000002,2,2,0,true\n\
                      0000000000000004,2,2,0,true\n";
    run(async {
        for partition in [Partition::DateAndTenant, Partition::Date] {
            for in_lake in 0..=3 {
                let site = Site::new(partition).await;
                for (n, rows) in deliveries().iter().enumerate() {
                    site.recent.accept(Dataset::Spans, &spans(rows));
                    let batch = site.recent.seal(Dataset::Spans).unwrap();
                    if n < in_lake {
                        site.lake.append(Dataset::Spans, &[batch]).await.unwrap();
                    }
                }
                let case = format!("{partition:?}, {in_lake} of 3 batches in the lake");
                assert_eq!(site.csv("acme", DISTINCT).await, distinct, "{case}");
                assert_eq!(site.csv("acme", DUPLICATES).await, duplicates, "{case}");
            }
        }
    });
}

#[test]
fn a_trace_counts_a_span_that_was_stored_again_once() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        for rows in &deliveries() {
            site.store(Dataset::Spans, &spans(rows)).await;
        }
        let sql = "SELECT trace_id, spans FROM traces";
        // Span 1 and 3 once, 2 with both its contents, 4 twice as it cannot be told from its copy.
        let expected = format!("trace_id,spans\n{:032x},6\n", 0);
        assert_eq!(site.csv("acme", sql).await, expected);
        let sql = "SELECT t.spans, count(*) AS stored FROM traces t JOIN spans s \
                   ON t.trace_id = s.trace_id GROUP BY 1";
        assert_eq!(site.csv("acme", sql).await, "spans,stored\n6,8\n");
    });
}

#[test]
fn the_first_accepted_wins_even_if_it_reaches_the_lake_last() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        site.store(Dataset::Spans, &spans(&[own(1, "a", 9)])).await;
        site.recent
            .accept(Dataset::Spans, &spans(&[own(1, "a", 5), own(1, "a", 5)]));
        let sql = "SELECT received_at, _batch, _row FROM spans_distinct";
        let expected = "received_at,_batch,_row\n2026-11-21T10:00:05Z,2,0\n";
        assert_eq!(site.csv("acme", sql).await, expected);
    });
}

#[test]
fn a_copy_of_another_tenant_is_no_copy() {
    run(async {
        for partition in [Partition::DateAndTenant, Partition::Date] {
            let site = Site::new(partition).await;
            let both = [span("rival", 1, "a", 1), span("acme", 1, "a", 2)];
            site.store(Dataset::Spans, &spans(&both)).await;
            site.recent
                .accept(Dataset::Spans, &spans(&[span("rival", 1, "a", 3)]));
            let sql = "SELECT tenant_id, received_at FROM spans_distinct";
            let expected = "tenant_id,received_at\nacme,2026-11-21T10:00:02Z\n";
            assert_eq!(site.csv("acme", sql).await, expected);
            let none = "SELECT count(*) AS n FROM duplicate_spans";
            assert_eq!(site.csv("acme", none).await, "n\n0\n");
            assert_eq!(site.csv("rival", none).await, "n\n1\n");
        }
    });
}

/// A copy that is accepted so late that its day is that of its receipt lies in another partition.
#[test]
fn a_copy_in_another_partition_is_found() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        let mut late = own(1, "a", 9);
        late["part_date"] = json!("2026-12-25");
        late["time_flags"] = json!(["part_date_received"]);
        site.store(Dataset::Spans, &spans(&[own(1, "a", 1)])).await;
        site.store(Dataset::Spans, &spans(&[late])).await;
        let sql = "SELECT part_date FROM spans_distinct";
        assert_eq!(site.csv("acme", sql).await, "part_date\n2026-11-21\n");
        let by_day = "SELECT count(*) AS n FROM spans_distinct WHERE part_date = '2026-12-25'";
        assert_eq!(site.csv("acme", by_day).await, "n\n0\n");
        let money = "SELECT sum(cost_usd) AS usd FROM spans_distinct";
        assert_eq!(site.csv("acme", money).await, "usd\n1.000000000001\n");
    });
}

/// A filter on what copies share narrows all of the view's scans, and not only the last.
#[test]
fn a_filter_on_the_view_reads_no_file_that_it_rules_out() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        for n in [1, 11, 21, 31] {
            site.store(Dataset::Spans, &spans(&[own(n, "a", 1), own(n, "a", 2)]))
                .await;
        }
        for (filter, files) in [
            ("true", 4),
            ("trace_id = '00000000000000000000000000000002'", 1),
            ("start_time >= '2026-11-20T10:20:00Z'", 2),
        ] {
            let sql = format!("EXPLAIN SELECT span_id FROM spans_distinct WHERE {filter}");
            let plan = site.csv("acme", &sql).await;
            let scans = plan.matches("DataSourceExec").count();
            assert!(scans >= 3, "{plan}");
            assert_eq!(
                plan.matches(".parquet").count(),
                files * scans,
                "{filter}:\n{plan}"
            );
            let sql = format!("SELECT count(*) AS n FROM spans_distinct WHERE {filter}");
            assert_eq!(
                site.csv("acme", &sql).await,
                format!("n\n{files}\n"),
                "{filter}"
            );
        }
    });
}

/// The large side of the view's joins streams past what is held in memory: ids that occur twice,
/// and copies. With statistics, as of files, and without, as of recent rows.
#[test]
fn only_what_repeats_is_held_in_memory() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        let many: Vec<Value> = (0..20_000_u32)
            .map(|n| {
                json!({
                    "trace_id": format!("{:032x}", n / 10),
                    "span_id": format!("{n:016x}"),
                    "content_key": format!("{n:032x}"),
                })
            })
            .collect();
        let many = spans(&many);
        for last in [false, true] {
            if last {
                site.recent.accept(Dataset::Spans, &many);
            } else {
                for _ in 0..3 {
                    site.store(Dataset::Spans, &many.slice(0, 2000)).await;
                }
            }
            for (view, joins) in [("spans_distinct", 2), ("duplicate_spans", 1)] {
                let plan = site
                    .csv("acme", &format!("EXPLAIN SELECT * FROM {view}"))
                    .await;
                let builds = build_sides(&plan);
                assert_eq!(builds.len(), joins, "{plan}");
                for build in builds {
                    let small = build.contains("> 1");
                    assert!(small, "a join holds {build} in memory:\n{plan}");
                }
            }
        }
        let sql = "SELECT count(*) AS n, count(DISTINCT span_id) AS ids FROM spans_distinct";
        assert_eq!(site.csv("acme", sql).await, "n,ids\n20000,20000\n");
        let sql = "SELECT count(*) AS spans, sum(surplus) AS surplus FROM duplicate_spans";
        assert_eq!(site.csv("acme", sql).await, "spans,surplus\n2000,6000\n");
    });
}

/// What each hash join of a plan holds in memory: the part of the plan below its first child.
fn build_sides(plan: &str) -> Vec<String> {
    let lines: Vec<&str> = plan.lines().collect();
    let deep = |line: &str| line.len() - line.trim_start().len();
    let mut sides = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.contains("HashJoinExec") {
            let child = deep(lines[at + 1]);
            let below = lines[at + 2..].iter().take_while(|l| deep(l) > child);
            let side: Vec<&str> = [lines[at + 1]].into_iter().chain(below.copied()).collect();
            sides.push(side.join("\n"));
        }
    }
    sides
}
