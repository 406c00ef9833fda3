//! The other modes, credentials, pipes and tables of an earlier version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use weir_sinks::contract::Destination;
use weir_sinks::snowflake::{SnowflakeConfig, ddl};

use super::*;
use crate::snowpipe::{Trouble, auth, decode};

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_does_as_well_as_a_key() {
    let mut snow = Snow::start().await;
    snow.config.token = auth::ACCESS_TOKEN.into();
    snow.config.user.clear();
    snow.config.role.clear();
    write(&snow.open(), &run(1..=2)).await;
    assert_rows(&snow, rows_of(1..=2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_elastic_channel_brings_rows_at_least_once_each_with_its_name() {
    let mut snow = Snow::start().await;
    snow.config.mode = "elastic".to_owned();
    let sink = snow.open();
    assert_eq!(write(&sink, &run(1..=2)).await, (120, 0));
    assert_rows(&snow, rows_of(1..=2));
    snow.emulator.fault("/rows", 1, Trouble::Lose);
    write(&sink, &run([3])).await;
    assert_eq!(sink.status().possible_duplicates, 1);
    let rows = snow.all(DATASET);
    let mut names: Vec<_> = rows
        .iter()
        .map(|row| [&row["_NODE"], &row["_BATCH"], &row["_ROW"]].map(|v| v.to_string()))
        .collect();
    assert_eq!(
        names.len(),
        240,
        "the answer was lost, so they are there twice"
    );
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 180, "and are known by their names");
    assert!(ddl(&snow.config).contains("PARTITION BY \"_NODE\", \"_BATCH\", \"_ROW\""));
    assert_eq!(sink.last_batch(DATASET, &node()).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_get_the_columns_that_they_lack_and_pipes_are_made_where_named() {
    let mut snow = Snow::start().await;
    snow.config.pipe = "mine_{table}".to_owned();
    snow.config.row_access_policy = false;
    snow.emulator.catalog(|c| c.enterprise = false);
    write(&snow.open(), &run([1])).await;
    let place = ("WEIR".into(), "PUBLIC".into(), "REJECTED_EVENTS".into());
    let columns = |snow: &Snow| {
        let mut columns = Vec::new();
        snow.emulator.catalog(|c| {
            let table = &c.tables[&place];
            columns.extend(table.columns.iter().map(|c| c.name.clone()));
        });
        columns
    };
    let all = columns(&snow);
    assert_eq!(all.len(), DATASET.columns().len());
    // As a table of an earlier version: without its last two nullable columns.
    snow.emulator.catalog(|c| {
        let table = c.tables.get_mut(&place).unwrap();
        table
            .columns
            .retain(|c| c.name != "ITEM_ID" && c.name != "PAYLOAD");
    });
    write(&snow.open(), &run([2])).await;
    let mut mended = columns(&snow);
    mended.sort_unstable();
    let mut all = all;
    all.sort_unstable();
    assert_eq!(mended, all);
    assert_rows(&snow, rows_of(1..=2));
    let rows = snow.all(DATASET);
    let old = rows.iter().filter(|row| row["_BATCH"] == "2");
    assert!(old.clone().count() == 60 && old.clone().any(|row| row.contains_key("PAYLOAD")));
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_take_long_and_answers_in_partitions_are_read_whole() {
    let mut snow = Snow::start().await;
    snow.emulator.catalog(|c| c.slow = true);
    snow.config.commit_poll = Duration::from_millis(20);
    let sink = snow.open();
    write(&sink, &run(1..=40)).await;
    let piece = Part::piece(sample_batch(DATASET, &node(), 39), 0..10).unwrap();
    assert_eq!(write(&sink, &[piece]).await.0, 0);
    // Forty batches are looked up in three partitions, since they lie before the base.
    write(&sink, &run(45..=45)).await;
    assert_eq!(write(&sink, &run(1..=40)).await.0, 0);
    assert_rows(&snow, rows_of((1..=40).chain([45])));
}

/// Files in a folder, as a stage.
struct Files {
    folder: tempfile::TempDir,
    database: &'static str,
    /// Files that were read before: they never change.
    read: Mutex<BTreeMap<PathBuf, Vec<RecordBatch>>>,
}

fn files(database: &'static str) -> Files {
    Files {
        folder: tempfile::tempdir().unwrap(),
        database,
        read: Mutex::default(),
    }
}

impl Files {
    fn config(&self) -> SnowflakeConfig {
        SnowflakeConfig {
            mode: "stage".to_owned(),
            database: self.database.to_owned(),
            stage_url: self.folder.path().to_str().unwrap().to_owned(),
            ..SnowflakeConfig::default()
        }
    }

    fn paths(&self, dataset: Dataset) -> Vec<PathBuf> {
        let mut folders = vec![self.folder.path().join(dataset.name())];
        let mut files = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files
    }
}

#[async_trait]
impl Destination for Files {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(SnowflakeSink::new("stage", self.config()).unwrap())
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        let mut read = self.read.lock();
        let mut all = Vec::new();
        for path in self.paths(dataset) {
            let rows = read.entry(path);
            let rows = rows.or_insert_with_key(|path| read_file(dataset, path));
            all.extend(rows.iter().cloned());
        }
        all
    }
}

/// The rows of a file, nested columns as what their JSON says.
fn read_file(dataset: Dataset, path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = dataset.schema();
    let pieces = reader.build().unwrap().map(|rows| {
        let rows = rows.unwrap();
        let columns = schema.fields().iter().zip(rows.columns());
        let columns = columns.map(|(field, column)| {
            if column.data_type() == field.data_type() {
                return Arc::clone(column);
            }
            decode::parsed(field, column.as_string::<i32>())
        });
        RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
    });
    pieces.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_stage_hold_what_every_sink_must() {
    let files = files("weir");
    assert_holds(&files).await;
    let engine = files.sink().await.probe().await.unwrap();
    assert_eq!(engine.name, "snowflake-stage");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_tenants_with_databases_of_their_own_lie_apart() {
    let files = files("weir_{tenant}");
    let sink = files.sink().await;
    for stored in [120, 0] {
        let receipt = sink.write(&run(1..=2)).await.unwrap();
        assert_eq!(receipt.rows, stored);
    }
    assert_eq!(sink.count(DATASET, &node()).await.unwrap(), 120);
    let paths = files.paths(DATASET);
    let of = |tenant: &str| {
        let folder = format!("database=WEIR_{tenant}");
        let ours = |p: &&PathBuf| p.iter().any(|part| part == folder.as_str());
        paths.iter().filter(ours).count()
    };
    assert_eq!((of("ACME"), of("GLOBEX-2"), paths.len()), (2, 2, 4));
    let rows = files.rows(DATASET).await;
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 120);
}
