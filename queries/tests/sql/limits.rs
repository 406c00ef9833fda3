//! Every query ends, within its limits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_lake::Partition;
use weir_model::{Classify, Dataset, Fault, TenantId};
use weir_queries::{ErrorKind, QueryLimits};

use crate::fixture::{Site, run, spans};

fn many(count: u32) -> arrow_array::RecordBatch {
    let objects: Vec<Value> = (0..count)
        .map(|n| json!({"span_id": format!("{n:016x}"), "name": format!("name-{n}")}))
        .collect();
    spans(&objects)
}

/// A query that would run for hours.
const ENDLESS: &str =
    "SELECT sum(length(a.name || b.name || c.name)) FROM spans a, spans b, spans c, spans d";

#[test]
fn a_query_that_does_not_end_is_stopped_and_its_slot_comes_back() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| {
            c.timeout = Duration::from_millis(300);
            c.queries_max = 1;
        })
        .await;
        site.store(Dataset::Spans, &many(2000)).await;
        let started = Instant::now();
        let error = site.query("acme", ENDLESS).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!((error.status(), error.code()), (408, "query_timeout"));
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        all_have_ended(&site).await;
    });
}

/// Waits until what was stopped has really ended: it would still take up a thread.
pub(crate) async fn all_have_ended(site: &Site) {
    let idle = tokio::time::timeout(Duration::from_secs(8), site.engine.idle()).await;
    assert!(idle.is_ok(), "a stopped query runs on");
}

#[test]
fn joins_that_make_many_rows_of_few_are_stopped_soon() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| {
            c.timeout = Duration::from_millis(400);
        })
        .await;
        site.store(Dataset::Spans, &many(6000)).await;
        for from in [
            // 36 million rows on one side, then a batch from the other side: nothing matches.
            "(SELECT a._row AS x FROM spans a, spans b) l JOIN spans r ON l.x + r._row < -1",
            "(SELECT a._row AS x FROM spans a, spans b) l LEFT JOIN spans r ON l.x < -r._row - 1",
            "spans a JOIN spans b ON a.kind = b.kind AND a._row + b._row < -1, spans c",
            "spans a JOIN spans b ON a.kind = b.kind JOIN spans c ON b.kind = c.kind",
            "spans a, spans b, spans c",
        ] {
            let sql = format!("SELECT count(*), min(random()) FROM {from}");
            let outcome = site.query("acme", &sql).await;
            let kind = outcome.as_ref().err().map(weir_queries::QueryError::kind);
            let ended = [None, Some(ErrorKind::TimedOut), Some(ErrorKind::Refused)];
            assert!(ended.contains(&kind), "{sql}: {outcome:?}");
            all_have_ended(&site).await;
        }
    });
}

/// Queries that take long in different places: planning, reading, joining, sorting, grouping.
const LONG: &[&str] = &[
    ENDLESS,
    "SELECT count(*) FROM spans a, spans b, spans c WHERE a.name || b.name || c.name = 'x'",
    "SELECT count(*), min(random()) FROM spans a JOIN spans b ON a.kind = b.kind, spans c",
    "SELECT count(*) FROM spans a LEFT JOIN spans b ON a.kind = b.kind AND a._row + b._row < -1, \
     spans c WHERE a.name || c.name = 'x'",
    "SELECT a.name, row_number() OVER (PARTITION BY b.kind ORDER BY a.name || b.name) AS n \
     FROM spans a, spans b ORDER BY n DESC, 1 LIMIT 3",
    "SELECT a.name || b.name, count(DISTINCT b.span_id) FROM spans a, spans b GROUP BY 1 \
     ORDER BY 2, 1 LIMIT 3",
    "SELECT count(*) FROM spans_distinct a, spans_distinct b, traces c \
     WHERE a.name || b.name || c.trace_id = 'x'",
    "SELECT (SELECT count(*) FROM spans b, spans c WHERE a.kind = b.kind AND b.name || c.name = \
     'x') FROM spans a",
    "SELECT a.name FROM spans a, spans b UNION SELECT b.name || c.name FROM spans b, spans c",
];

#[test]
fn whatever_a_query_is_doing_when_its_time_or_memory_is_over_it_is_told_so() {
    run(async {
        // With little memory a join gives up in the midst of its work, which must not look like a
        // fault of the server.
        for memory in [1 << 20, 8 << 20, 256 << 20] {
            let site = Site::with(Partition::DateAndTenant, |c| {
                c.queries_max = 64;
                c.query_memory_bytes = memory;
                c.memory_bytes = 1 << 30;
            })
            .await;
            site.store(Dataset::Spans, &many(1500)).await;
            site.recent.accept(Dataset::Spans, &many(500));
            let site = Arc::new(site);
            for timeout_ms in [3, 40, 400, 1500] {
                ask_all(&site, Duration::from_millis(timeout_ms)).await;
            }
            all_have_ended(&site).await;
        }
    });
}

/// Asks all the long queries at once.
async fn ask_all(site: &Arc<Site>, timeout: Duration) {
    let mut all = tokio::task::JoinSet::new();
    for sql in LONG {
        let site = Arc::clone(site);
        all.spawn(async move {
            let limits = QueryLimits {
                timeout: Some(timeout),
                ..QueryLimits::default()
            };
            let tenant = TenantId::new("acme").unwrap();
            let ended = site.engine.query(&tenant, sql, &limits).await;
            (sql, ended.map(|answer| answer.rows()))
        });
    }
    while let Some(ended) = all.join_next().await {
        let (sql, ended) = ended.unwrap();
        let code = ended.as_ref().map_or_else(|e| e.code(), |_| "answered");
        assert!(
            ["answered", "query_timeout", "query_memory"].contains(&code),
            "{sql} within {timeout:?}: {ended:?}"
        );
    }
}

#[test]
fn a_query_whose_caller_is_gone_is_stopped() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| c.queries_max = 1).await;
        site.store(Dataset::Spans, &many(2000)).await;
        let asked = site.query("acme", ENDLESS);
        let gone = tokio::time::timeout(Duration::from_millis(200), asked).await;
        assert!(gone.is_err(), "it ended by itself");
        all_have_ended(&site).await;
    });
}

#[test]
fn more_queries_than_slots_are_told_to_come_again() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| {
            c.queries_max = 1;
            c.timeout = Duration::from_secs(10);
        })
        .await;
        site.store(Dataset::Spans, &many(2000)).await;
        let site = Arc::new(site);
        let first = Arc::clone(&site);
        let long = tokio::spawn(async move { first.query("acme", ENDLESS).await });
        while site.engine.free_slots() > 0 {
            tokio::task::yield_now().await;
        }
        let limits = QueryLimits {
            timeout: Some(Duration::from_millis(50)),
            ..QueryLimits::default()
        };
        let tenant = TenantId::new("acme").unwrap();
        let error = site
            .engine
            .query(&tenant, "SELECT 1", &limits)
            .await
            .unwrap_err();
        assert_eq!((error.status(), error.code()), (429, "queries_busy"));
        assert!(matches!(error.fault(), Fault::Transient { after: Some(_) }));
        long.abort();
    });
}

#[test]
fn an_answer_is_cut_at_its_rows_and_says_so() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| c.rows_max = 100).await;
        site.store(Dataset::Spans, &many(150)).await;
        let cut = site
            .query("acme", "SELECT name FROM spans ORDER BY span_id")
            .await
            .unwrap();
        assert_eq!((cut.rows(), cut.truncated), (100, true));
        let sql = "SELECT name FROM spans ORDER BY span_id LIMIT 100";
        let whole = site.query("acme", sql).await.unwrap();
        assert_eq!((whole.rows(), whole.truncated), (100, false));
        let limits = QueryLimits {
            rows_max: Some(1000),
            ..QueryLimits::default()
        };
        let tenant = TenantId::new("acme").unwrap();
        let asked = site
            .engine
            .query(&tenant, "SELECT name FROM spans", &limits)
            .await
            .unwrap();
        assert_eq!(
            asked.rows(),
            100,
            "a caller cannot ask for more than is configured"
        );
    });
}

#[test]
fn an_answer_is_cut_at_its_bytes_and_says_so() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| c.bytes_max = 4096).await;
        site.store(Dataset::Spans, &many(3000)).await;
        let cut = site
            .query("acme", "SELECT name, span_id FROM spans")
            .await
            .unwrap();
        assert!(cut.truncated);
        assert!((10..1000).contains(&cut.rows()), "{} rows", cut.rows());
    });
}

#[test]
fn a_query_that_needs_too_much_memory_is_refused_in_plain_words() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| {
            c.query_memory_bytes = 1 << 20;
            c.spill_bytes = 1 << 20;
        })
        .await;
        site.store(Dataset::Spans, &many(20_000)).await;
        let sql =
            "SELECT array_agg(a.name || b.name) FROM spans a JOIN spans b ON a.kind <> b.kind";
        let error = site.query("acme", sql).await.unwrap_err();
        assert_eq!(
            (error.status(), error.code()),
            (422, "query_memory"),
            "{error}"
        );
    });
}

#[test]
fn spilled_files_are_gone_when_the_query_is() {
    run(async {
        let site = Site::with(Partition::DateAndTenant, |c| {
            c.query_memory_bytes = 24 << 20;
        })
        .await;
        site.store(Dataset::Spans, &many(60_000)).await;
        let sql = "SELECT a.name, b.name AS other, a.span_id FROM spans a JOIN spans b \
                   ON substr(a.span_id, 12) = substr(b.span_id, 12) ORDER BY 1 DESC, 2, 3";
        let answer = site.query("acme", sql).await;
        assert!(answer.is_ok(), "{answer:?}");
        let spill = site.dir.path().join("spill");
        let left = std::fs::read_dir(&spill).map_or(0, Iterator::count);
        assert_eq!(left, 0, "files left in the spill folder");
    });
}

#[test]
fn a_planned_query_answers_quickly() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        site.store(Dataset::Spans, &many(1000)).await;
        let sql = "SELECT service_name, count(*) FROM spans WHERE start_time > now() - interval \
                   '1 day' GROUP BY 1 ORDER BY 2 DESC LIMIT 10";
        let mut times = Vec::new();
        for _ in 0..30 {
            let started = Instant::now();
            site.query("acme", sql).await.unwrap();
            times.push(started.elapsed());
        }
        times.sort_unstable();
        let (best, middle) = (times[0], times[times.len() / 2]);
        println!(
            "a small query: best {best:?}, median {middle:?} of {}",
            times.len()
        );
        // A debug build on a busy machine; the figure to hold is that of a release build.
        assert!(best < Duration::from_millis(250), "{best:?}");
    });
}

#[test]
fn what_a_killed_process_has_spilled_is_removed() {
    run(async {
        let mut spill = std::path::PathBuf::new();
        let site = Site::with(Partition::DateAndTenant, |c| {
            spill.clone_from(&c.spill_dir);
            std::fs::create_dir_all(spill.join("datafusion-left")).unwrap();
            std::fs::write(spill.join("datafusion-left/rows"), "rows").unwrap();
            std::fs::write(spill.join("keep"), "not ours").unwrap();
        })
        .await;
        assert!(site.query("acme", "SELECT 1").await.is_ok());
        let left: Vec<_> = std::fs::read_dir(&spill).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    });
}

#[test]
fn recent_rows_that_cannot_be_read_fail_the_query() {
    run(async {
        let site = Site::new(Partition::DateAndTenant).await;
        site.store(Dataset::Spans, &many(10)).await;
        site.recent.accept(Dataset::Spans, &many(10));
        site.recent.break_reads();
        let error = site
            .query("acme", "SELECT name FROM spans")
            .await
            .unwrap_err();
        assert_eq!((error.status(), error.code()), (503, "storage_unavailable"));
        assert!(!error.message().contains("planted"), "{error}");
    });
}
