//! SQLite.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate};
use rusqlite::types::ValueRef;
use weir_model::schema::{Column, ColumnType};
use weir_model::{Dataset, NodeId};
use weir_sinks::contract::{Destination, assert_holds, record, sample_batch};
use weir_sinks::sqlite::{SqliteConfig, SqliteSink, ddl};
use weir_sinks::{Part, Sink};

use crate::back::{Cell, Rows};

struct Files(SqliteConfig);

fn files(path: PathBuf, per_tenant: bool) -> Files {
    Files(SqliteConfig {
        path: path.to_str().unwrap().to_owned(),
        per_tenant,
        ..SqliteConfig::default()
    })
}

impl Files {
    fn paths(&self) -> Vec<PathBuf> {
        if !self.0.per_tenant {
            return vec![PathBuf::from(&self.0.path)];
        }
        let entries = std::fs::read_dir(&self.0.path).into_iter().flatten();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|e| e == "db"))
            .collect()
    }
}

#[async_trait]
impl Destination for Files {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(SqliteSink::new("files", self.0.clone()).unwrap())
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        let mut rows = Rows::new(dataset);
        for path in self.paths() {
            if !path.try_exists().unwrap() {
                continue;
            }
            let database = rusqlite::Connection::open(&path).unwrap();
            let columns = dataset.columns();
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            let statement = format!("SELECT {} FROM {dataset}", names.join(","));
            let Ok(mut statement) = database.prepare(&statement) else {
                continue;
            };
            let mut found = statement.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                let cells = columns.iter().enumerate();
                let cells = cells.map(|(at, column)| cell(column, row.get_ref(at).unwrap()));
                rows.push(cells.collect());
            }
        }
        vec![rows.finish()]
    }
}

fn cell(column: &Column, value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Float(number),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).unwrap();
            if column.kind == ColumnType::Date {
                let day: NaiveDate = text.parse().unwrap();
                let epoch = NaiveDate::default();
                Cell::Int(day.signed_duration_since(epoch).num_days())
            } else if column.kind == ColumnType::Time {
                let time = DateTime::parse_from_rfc3339(text).unwrap();
                Cell::Int(time.timestamp_micros())
            } else {
                Cell::Text(text.to_owned())
            }
        }
        ValueRef::Blob(_) => panic!("{} is a blob", column.name),
    }
}

#[tokio::test]
async fn one_file_for_all_holds() {
    let folder = tempfile::tempdir().unwrap();
    let proven = assert_holds(&files(folder.path().join("rows.db"), false)).await;
    record("sqlite", &proven);
}

#[tokio::test]
async fn a_file_for_each_tenant_holds() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path().join("tenants"), true);
    assert_holds(&files).await;
    // Each has its own rows only.
    assert_eq!(files.paths().len(), 2);
    for path in files.paths() {
        let tenant = path.file_stem().unwrap().to_str().unwrap();
        let database = rusqlite::Connection::open(&path).unwrap();
        for dataset in Dataset::ALL {
            let others = format!("SELECT count(*) FROM {dataset} WHERE tenant_id <> ?1");
            let others: i64 = database
                .query_row(&others, [tenant], |row| row.get(0))
                .unwrap();
            assert_eq!(others, 0, "{dataset} of {tenant}");
        }
    }
}

/// What `weir ddl sqlite` prints makes the very file that the sink makes.
#[tokio::test]
async fn the_printed_statements_make_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let made = files(folder.path().join("made.db"), false);
    made.sink().await.probe().await.unwrap();
    let printed = folder.path().join("printed.db");
    let database = rusqlite::Connection::open(&printed).unwrap();
    database.execute_batch(&ddl(&made.0)).unwrap();
    let schema = |database: &rusqlite::Connection| -> Vec<String> {
        let statement = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY sql";
        let mut statement = database.prepare(statement).unwrap();
        let lines = statement.query_map([], |row| row.get(0)).unwrap();
        lines.collect::<Result<_, _>>().unwrap()
    };
    let there = rusqlite::Connection::open(&made.0.path).unwrap();
    assert_eq!(schema(&there), schema(&database));
    // And the sink writes into it.
    let into = files(printed, false);
    let batch = sample_batch(Dataset::Spans, &NodeId::from_bits(3), 1);
    let stored = into.sink().await.write(&[Part::whole(batch)]).await;
    assert_eq!(stored.unwrap().rows, 60);
}

/// A run is one transaction.
#[tokio::test]
async fn readers_see_a_run_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path().join("rows.db"), false);
    let sink = files.sink().await;
    sink.probe().await.unwrap();
    let node = NodeId::from_bits(9);
    let writing = async {
        for first in (1..60).step_by(3) {
            let batches = (first..first + 3).map(|n| sample_batch(Dataset::Spans, &node, n));
            let run: Vec<Part> = batches.map(Part::whole).collect();
            assert_eq!(sink.write(&run).await.unwrap().rows, 180);
        }
    };
    let reading = async {
        for _ in 0..40 {
            let count = sink.count(Dataset::Spans, &node).await.unwrap();
            assert_eq!(count % 180, 0, "half a run is seen");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::join!(writing, reading);
}
