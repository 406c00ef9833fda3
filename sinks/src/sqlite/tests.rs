//! What a file does on bad days.

use std::time::Duration;

use rusqlite::Connection;
use weir_model::{Classify, Dataset, Fault, NodeId};

use super::file::{self, File};
use super::{SqliteConfig, SqliteError, SqliteSink};
use crate::contract::sample_batch;
use crate::{Part, Sink};

const BUSY: Duration = Duration::from_millis(20);

fn node() -> NodeId {
    NodeId::from_bits(7)
}

fn run(numbers: std::ops::RangeInclusive<i64>) -> Vec<Part> {
    let batches = numbers.map(|number| sample_batch(Dataset::Spans, &node(), number));
    batches.map(Part::whole).collect()
}

fn sink(path: &std::path::Path) -> SqliteSink {
    let config = SqliteConfig {
        path: path.to_str().unwrap().to_owned(),
        busy_timeout: BUSY,
        ..SqliteConfig::default()
    };
    SqliteSink::new("files", config).unwrap()
}

/// The transaction that did not fit leaves nothing, and is taken once there is room.
#[test]
fn a_full_disk_is_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut file = File::open(&path, BUSY).unwrap();
    assert_eq!(file.write(&run(1..=1), None).unwrap(), 60);
    let pages = |limit: i64| {
        let limited = format!("PRAGMA max_page_count = {limit}");
        file.database()
            .query_row(&limited, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let held = pages(1);
    let error = {
        let pages = pages(held + 2);
        assert_eq!(pages, held + 2);
        file.write(&run(1..=40), None).unwrap_err()
    };
    assert_eq!(error.fault(), Fault::Transient { after: None }, "{error:?}");
    let full = matches!(&error, SqliteError::Database { source, .. }
        if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull));
    assert!(full, "{error:?}");
    assert_eq!(
        file::count(&path, BUSY, Dataset::Spans, &node()).unwrap(),
        60
    );
    assert_eq!(
        file::last_batch(&path, BUSY, Dataset::Spans, &node()).unwrap(),
        Some(1)
    );
    file.database()
        .query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(()))
        .unwrap();
    assert_eq!(file.write(&run(1..=40), None).unwrap(), 39 * 60);
    assert_eq!(file.write(&run(1..=40), None).unwrap(), 0);
}

#[tokio::test]
async fn a_file_that_another_program_writes_to_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let sink = sink(&path);
    sink.probe().await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = sink.write(&run(1..=1)).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Transient { after: None }, "{error:?}");
    // Readers are not in its way, nor it in theirs.
    assert_eq!(sink.count(Dataset::Spans, &node()).await.unwrap(), 0);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(sink.write(&run(1..=1)).await.unwrap().rows, 60);
}

/// Two programs that both believe to be one node.
#[tokio::test]
async fn a_second_opener_stores_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let (one, two) = (sink(&path), sink(&path));
    let mut rows = 0;
    for number in 1..=20 {
        let run = run(number..=number);
        let stored = tokio::join!(one.write(&run), two.write(&run));
        for done in [stored.0, stored.1] {
            rows += done.map_or(0, |receipt| receipt.rows);
        }
        rows += one.write(&run).await.unwrap().rows;
    }
    assert_eq!(rows, 20 * 60);
    assert_eq!(two.count(Dataset::Spans, &node()).await.unwrap(), 20 * 60);
}

#[tokio::test]
async fn files_of_others_are_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.db");
    let database = Connection::open(&other).unwrap();
    database.execute_batch("CREATE TABLE notes (text)").unwrap();
    let newer = folder.path().join("newer.db");
    drop(File::open(&newer, BUSY).unwrap());
    let database = Connection::open(&newer).unwrap();
    database.execute_batch("PRAGMA user_version = 9").unwrap();
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, vec![7; 10_000]).unwrap();
    for (path, said) in [
        (&other, "another program"),
        (&newer, "layout 9, newer than the 1"),
        (&garbage, "garbage.db cannot be used"),
        (&folder.path().join("no/folder.db"), "cannot be used"),
    ] {
        let before = std::fs::read(path).ok();
        let sink = sink(path);
        for error in [
            sink.probe().await.unwrap_err(),
            sink.write(&run(1..=1)).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains(said), "{error}");
            assert_eq!(error.fault(), Fault::Transient { after: None });
        }
        assert_eq!(std::fs::read(path).ok(), before, "{said}");
    }
}

/// What a later version of the schema adds is added to files that are there.
#[test]
fn an_older_file_is_widened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut file = File::open(&path, BUSY).unwrap();
    file.write(&run(1..=1), None).unwrap();
    let older = "DROP INDEX spans_by_skill_name;
        ALTER TABLE spans DROP COLUMN skill_name;
        ALTER TABLE spans DROP COLUMN cost_usd;
        DROP TABLE cost_daily;";
    file.database().execute_batch(older).unwrap();
    drop(file);
    let mut file = File::open(&path, BUSY).unwrap();
    assert_eq!(file.write(&run(1..=2), None).unwrap(), 60);
    let ask = |statement: &str| -> i64 {
        let database = file.database();
        database.query_row(statement, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(
        ask("SELECT count(*) FROM spans WHERE _batch = 1 AND cost_usd IS NOT NULL"),
        0
    );
    assert!(ask("SELECT count(*) FROM spans WHERE _batch = 2 AND cost_usd IS NOT NULL") > 0);
    assert_eq!(ask("SELECT count(*) FROM cost_daily"), 0);
    assert_eq!(
        ask("SELECT count(*) FROM sqlite_schema WHERE name = 'spans_by_skill_name'"),
        1
    );
}

/// The two questions that the indexes are for.
#[test]
fn lookups_use_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::open(&folder.path().join("a.db"), BUSY).unwrap();
    for (question, index) in [
        (
            "SELECT * FROM spans WHERE trace_id = ?1",
            "spans_by_trace_id",
        ),
        (
            "SELECT * FROM spans WHERE tenant_id = ?1 AND skill_name = ?2 \
             ORDER BY start_time DESC LIMIT 50",
            "spans_by_skill_name",
        ),
    ] {
        let explain = format!("EXPLAIN QUERY PLAN {question}");
        let mut statement = file.database().prepare(&explain).unwrap();
        let values = vec!["a"; statement.parameter_count()];
        let steps = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap();
        let plan: Vec<String> = steps.collect::<Result<_, _>>().unwrap();
        let plan = plan.join("; ");
        assert!(
            plan.contains(index) && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }
}
