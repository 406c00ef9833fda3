//! The contract suite on every sink that is here: in memory, and the lake in memory, on the local
//! disk, and on S3 and Azure where `WEIR_TEST_S3_ENDPOINT` or `WEIR_TEST_AZURITE_ENDPOINT` names a
//! server (moto and azurite; `AZURITE_BLOB_STORAGE_URL` must name the same one as the latter).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at once, and helpers are no test functions to the lint"
)]

mod servers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, Date32Array, RecordBatch, StringArray};
use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use url::Url;
use weir_lake::{Lake, LakeConfig, LakeFile, Lakes, Partition};
use weir_model::{Dataset, TenantId};
use weir_sinks::Sink;
use weir_sinks::contract::{Destination, assert_holds, record};
use weir_sinks::lake::LakeSink;
use weir_sinks::memory::MemorySink;

struct Memory(MemorySink);

#[async_trait]
impl Destination for Memory {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.0.clone())
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        self.0.rows(dataset)
    }
}

/// How a lake is opened, again and again.
enum Place {
    Store(Arc<dyn ObjectStore>, Partition),
    Config(LakeConfig),
}

/// A lake, and one for a tenant alone where there is a second place; and the files that were read
/// before: they never change.
struct LakeAt {
    places: Vec<Place>,
    read: Mutex<HashMap<String, Vec<RecordBatch>>>,
}

fn lake_at(place: Place) -> LakeAt {
    lakes_at(vec![place])
}

fn lakes_at(places: Vec<Place>) -> LakeAt {
    LakeAt {
        places,
        read: Mutex::default(),
    }
}

impl LakeAt {
    async fn open(&self) -> Lakes {
        let mut all = Vec::new();
        for (place, n) in self.places.iter().zip(0..) {
            all.push(Arc::new(match place {
                Place::Store(store, partition) => {
                    let url = Url::parse(&format!("memory://{n}/lake")).unwrap();
                    Lake::with_store(Arc::clone(store), url, *partition).unwrap()
                }
                Place::Config(config) => Lake::open(config).await.unwrap(),
            }));
        }
        let mut all = all.into_iter();
        let mut lakes = Lakes::from(all.next().unwrap());
        for own in all {
            let tenants = BTreeSet::from([TenantId::new("acme").unwrap()]);
            lakes = lakes.with_own(own, tenants).unwrap();
        }
        lakes
    }

    async fn rows_in(&self, lake: &Lake, dataset: Dataset) -> Vec<RecordBatch> {
        let snapshot = lake.snapshot(dataset).await.unwrap();
        let mut all = Vec::new();
        for file in snapshot.files() {
            let path = format!("{}/{}", lake.table_prefix(dataset), file.path);
            let known = self.read.lock().get(&path).cloned();
            if let Some(known) = known {
                all.extend(known);
                continue;
            }
            let found = lake.store().get(&path.as_str().into()).await.unwrap();
            let bytes = found.bytes().await.unwrap();
            assert_eq!(bytes.len() as u64, file.size);
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
            let pieces = reader.build().unwrap().map(|p| p.unwrap());
            let rows: Vec<RecordBatch> = pieces
                .map(|piece| with_folders(dataset, file, &piece))
                .collect();
            self.read.lock().insert(path, rows.clone());
            all.extend(rows);
        }
        all
    }
}

#[async_trait]
impl Destination for LakeAt {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(LakeSink::new(self.open().await))
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        let mut all = Vec::new();
        for lake in self.open().await.all() {
            all.extend(self.rows_in(lake, dataset).await);
        }
        all
    }
}

/// The rows with the columns that the folders stand for.
fn with_folders(dataset: Dataset, file: &LakeFile, rows: &RecordBatch) -> RecordBatch {
    let n = rows.num_rows();
    let schema = dataset.schema();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match (rows.column_by_name(field.name()), field.name().as_str()) {
            (Some(column), _) => Arc::clone(column),
            (None, "part_date") => Arc::new(Date32Array::from(vec![file.part_date.unwrap(); n])),
            (None, "tenant_id") => {
                let tenant = file.tenant.clone().unwrap();
                Arc::new(StringArray::from(vec![tenant.as_str(); n]))
            }
            (None, other) => panic!("the file lacks {other}"),
        }
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

#[tokio::test]
async fn the_memory_sink_holds() {
    let proven = assert_holds(&Memory(MemorySink::new("memory"))).await;
    record("memory", &proven);
}

#[tokio::test]
async fn the_lake_in_memory_holds() {
    let store = Arc::new(InMemory::new());
    let proven = assert_holds(&lake_at(Place::Store(store, Partition::DateAndTenant))).await;
    record("lake (memory)", &proven);
}

#[tokio::test]
async fn the_lake_that_is_partitioned_by_date_alone_holds() {
    let store = Arc::new(InMemory::new());
    assert_holds(&lake_at(Place::Store(store, Partition::Date))).await;
}

#[tokio::test]
async fn a_lake_beside_one_of_a_tenants_own_holds() {
    let place = |partition| Place::Store(Arc::new(InMemory::new()), partition);
    let both = lakes_at(vec![
        place(Partition::Date),
        place(Partition::DateAndTenant),
    ]);
    assert_holds(&both).await;
    let lakes = both.open().await;
    let (own, _) = lakes.own().next().unwrap();
    for dataset in Dataset::ALL {
        for (lake, is_own) in [(lakes.shared(), false), (own, true)] {
            let rows = both.rows_in(lake, dataset).await;
            assert!(!rows.is_empty(), "{dataset}: each has some");
            for piece in rows {
                let tenants = piece.column_by_name("tenant_id").unwrap();
                let mut tenants = tenants.as_string::<i32>().iter().flatten();
                assert!(
                    tenants.all(|t| (t == "acme") == is_own),
                    "{dataset}: a row in another's lake"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_lake_on_the_local_disk_holds() {
    let dir = tempfile::tempdir().unwrap();
    let config = LakeConfig {
        url: dir.path().join("a lake").to_str().unwrap().to_owned(),
        ..LakeConfig::default()
    };
    let proven = assert_holds(&lake_at(Place::Config(config))).await;
    record("lake (local disk)", &proven);
}

#[tokio::test]
async fn the_lake_on_s3_holds() {
    let Ok(endpoint) = std::env::var("WEIR_TEST_S3_ENDPOINT") else {
        println!("not run: WEIR_TEST_S3_ENDPOINT names no server");
        return;
    };
    let bucket = servers::make_bucket(&endpoint);
    let options = [
        ("aws_endpoint", endpoint.as_str()),
        ("aws_allow_http", "true"),
        ("aws_region", "us-east-1"),
        ("aws_access_key_id", "test"),
        ("aws_secret_access_key", "test"),
    ];
    let config = LakeConfig {
        url: format!("s3://{bucket}/some/lake"),
        options: BTreeMap::from(options.map(|(k, v)| (k.to_owned(), v.to_owned()))),
        ..LakeConfig::default()
    };
    let proven = assert_holds(&lake_at(Place::Config(config))).await;
    record("lake (S3)", &proven);
}

#[tokio::test]
async fn the_lake_on_azure_holds() {
    let Ok(endpoint) = std::env::var("WEIR_TEST_AZURITE_ENDPOINT") else {
        println!("not run: WEIR_TEST_AZURITE_ENDPOINT names no server");
        return;
    };
    let container = servers::make_container(&endpoint);
    let options = [("azure_storage_use_emulator", "true")];
    let config = LakeConfig {
        url: format!("az://{container}/some/lake"),
        options: BTreeMap::from(options.map(|(k, v)| (k.to_owned(), v.to_owned()))),
        ..LakeConfig::default()
    };
    let proven = assert_holds(&lake_at(Place::Config(config))).await;
    record("lake (Azure)", &proven);
}
