//! What is not read: the plan prunes files, columns and rows.

use serde_json::{Value, json};
use weir_lake::Partition;
use weir_model::Dataset;

use crate::fixture::{Site, run, spans};

fn at(day: u32, trace: u32) -> Value {
    json!({
        "trace_id": format!("{trace:032x}"),
        "start_time": format!("2026-11-{day:02}T10:00:00.123456Z"),
        "part_date": format!("2026-11-{day:02}"),
        "name": format!("day-{day}"),
    })
}

async fn three_days() -> Site {
    let site = Site::new(Partition::DateAndTenant).await;
    for day in [18, 19, 20] {
        site.store(Dataset::Spans, &spans(&[at(day, day), at(day, day + 100)]))
            .await;
    }
    site
}

async fn files_read(site: &Site, sql: &str) -> usize {
    let plan = site.csv("acme", &format!("EXPLAIN {sql}")).await;
    plan.matches(".parquet").count()
}

#[test]
fn files_that_a_predicate_rules_out_are_not_in_the_plan() {
    run(async {
        let site = three_days().await;
        for (sql, files) in [
            ("SELECT name FROM spans", 3),
            ("SELECT name FROM spans WHERE part_date = '2026-11-19'", 1),
            (
                "SELECT name FROM spans WHERE start_time >= '2026-11-19T10:00:00.123456Z'",
                2,
            ),
            (
                "SELECT name FROM spans WHERE start_time < '2026-11-18T10:00:00Z'",
                0,
            ),
            (
                "SELECT name FROM spans WHERE trace_id = '00000000000000000000000000000013'",
                2,
            ),
            (
                "SELECT name FROM spans WHERE trace_id = '00000000000000000000000000000012'",
                1,
            ),
            ("SELECT name FROM spans WHERE _batch = 3", 1),
            ("SELECT name FROM spans WHERE name = 'day-19'", 3),
        ] {
            assert_eq!(files_read(&site, sql).await, files, "{sql}");
        }
    });
}

#[test]
fn what_pruning_leaves_is_what_matches() {
    run(async {
        let site = three_days().await;
        for (filter, count) in [
            ("start_time = '2026-11-19T10:00:00.123456Z'", 2),
            ("start_time > '2026-11-19T10:00:00.123456Z'", 2),
            ("start_time >= '2026-11-20T10:00:00.123456Z'", 2),
            ("start_time <= '2026-11-18T10:00:00.123456Z'", 2),
            ("start_time < '2026-11-18T10:00:00.123456Z'", 0),
            (
                "trace_id IN ('00000000000000000000000000000013', 'none')",
                1,
            ),
            (
                "part_date BETWEEN '2026-11-19' AND '2026-11-20' AND name <> 'day-20'",
                2,
            ),
            ("tenant_id = 'acme' AND part_date > '2026-11-18'", 4),
        ] {
            let sql = format!("SELECT count(*) AS n FROM spans WHERE {filter}");
            assert_eq!(
                site.csv("acme", &sql).await,
                format!("n\n{count}\n"),
                "{filter}"
            );
        }
    });
}

#[test]
fn predicates_are_evaluated_where_the_files_are_decoded() {
    run(async {
        let site = three_days().await;
        site.recent.accept(Dataset::Spans, &spans(&[at(21, 21)]));
        let plan = site
            .csv(
                "acme",
                "EXPLAIN SELECT span_id FROM spans WHERE name = 'day-19'",
            )
            .await;
        let scan = plan.lines().find(|l| l.contains("DataSourceExec")).unwrap();
        assert!(scan.contains("predicate=name@"), "{plan}");
        assert!(scan.contains("projection=[span_id]"), "{plan}");
    });
}

#[test]
fn a_count_of_all_reads_no_file() {
    run(async {
        let site = three_days().await;
        let plan = site.csv("acme", "EXPLAIN SELECT count(*) FROM spans").await;
        assert!(!plan.contains("DataSourceExec"), "{plan}");
        assert_eq!(
            site.csv("acme", "SELECT count(*) AS n FROM spans").await,
            "n\n6\n"
        );
    });
}

#[test]
fn a_limit_stops_the_reading_of_recent_rows() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        let many: Vec<Value> = (0..9000).map(|n| at(21, n)).collect();
        for _ in 0..5 {
            site.recent.accept(Dataset::Spans, &spans(&many));
        }
        let answer = site
            .query("acme", "SELECT span_id FROM spans LIMIT 3")
            .await
            .unwrap();
        assert_eq!(answer.rows(), 3);
        assert!(
            site.recent.reads() < 5,
            "{} blocks were read",
            site.recent.reads()
        );
    });
}

#[test]
fn a_trace_is_given_in_order() {
    run(async {
        let site = three_days().await;
        let tenant = weir_model::TenantId::new("acme").unwrap();
        let id = "00000000000000000000000000000013";
        let answer = site
            .engine
            .trace(&tenant, &id.to_uppercase())
            .await
            .unwrap();
        assert_eq!(answer.rows(), 1);
        let error = site.engine.trace(&tenant, "' OR 1=1 --").await.unwrap_err();
        assert_eq!(error.status(), 400);
    });
}
