//! A node without a log: rows are accepted, sealed, committed to a real lake and let go of by
//! hand, in any order that a node may show.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::{Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_json::ReaderBuilder;
use arrow_schema::DataType;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use weir_lake::{Lake, LakeConfig, Partition};
use weir_model::recent::ReadError;
use weir_model::{Batch, BatchId, Dataset, NodeId, PinnedRows, RecentBlock, RecentRows, TenantId};
use weir_queries::{Answer, Engine, EngineConfig, QueryError, QueryLimits, format};

/// Rows of one batch number, before or after they are sealed.
#[derive(Debug)]
struct Block {
    number: i64,
    rows: RecordBatch,
    reads: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    misnumbered: Arc<AtomicI64>,
}

impl RecentBlock for Block {
    fn batch(&self) -> i64 {
        self.number + self.misnumbered.load(Ordering::Relaxed)
    }

    fn rows(&self) -> usize {
        self.rows.num_rows()
    }

    fn read(&self) -> Result<Vec<RecordBatch>, ReadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed) {
            return Err("planted: the log cannot be read".into());
        }
        Ok(vec![self.rows.clone()])
    }
}

#[derive(Debug, Default)]
struct Held {
    blocks: Vec<(Dataset, Arc<Block>)>,
    open: Vec<(Dataset, i64)>,
    sealed: Vec<(Dataset, i64)>,
}

/// The recent rows of a node.
#[derive(Debug)]
pub(crate) struct HeldRows {
    node: NodeId,
    held: Mutex<Held>,
    reads: Arc<AtomicU64>,
    broken: Arc<AtomicBool>,
    misnumbered: Arc<AtomicI64>,
}

impl HeldRows {
    pub(crate) fn new(node: u64) -> Self {
        Self {
            node: NodeId::from_bits(node),
            held: Mutex::default(),
            reads: Arc::default(),
            broken: Arc::default(),
            misnumbered: Arc::default(),
        }
    }

    /// Accepts rows: they are visible from now on, under the number of the batch that is open.
    pub(crate) fn accept(&self, dataset: Dataset, accepted: &RecordBatch) {
        let mut held = self.held.lock().unwrap();
        let number = match held.open.iter().find(|(d, _)| *d == dataset) {
            Some((_, number)) => *number,
            None => {
                held.open.push((dataset, 1));
                1
            }
        };
        let of_batch = held.blocks.iter();
        let of_batch = of_batch.filter(|(d, b)| *d == dataset && b.number == number);
        let before: usize = of_batch.map(|(_, b)| b.rows.num_rows()).sum();
        let block = Block {
            number,
            rows: self.numbered(dataset, accepted, number, i32::try_from(before).unwrap()),
            reads: Arc::clone(&self.reads),
            broken: Arc::clone(&self.broken),
            misnumbered: Arc::clone(&self.misnumbered),
        };
        held.blocks.push((dataset, Arc::new(block)));
    }

    fn numbered(&self, dataset: Dataset, rows: &RecordBatch, batch: i64, from: i32) -> RecordBatch {
        let count = rows.num_rows();
        let mut columns = rows.columns().to_vec();
        let node = self.node.as_str();
        columns.push(Arc::new(StringArray::from(vec![node; count])));
        columns.push(Arc::new(Int64Array::from(vec![batch; count])));
        let end = from + i32::try_from(count).unwrap();
        columns.push(Arc::new(Int32Array::from_iter_values(from..end)));
        RecordBatch::try_new(dataset.schema(), columns).unwrap()
    }

    /// Seals the open batch, if it has rows.
    pub(crate) fn seal(&self, dataset: Dataset) -> Option<Batch> {
        let mut held = self.held.lock().unwrap();
        let number = held.open.iter().find(|(d, _)| *d == dataset)?.1;
        let of_batch = held.blocks.iter();
        let of_batch = of_batch.filter(|(d, b)| *d == dataset && b.number == number);
        let rows: Vec<RecordBatch> = of_batch.map(|(_, b)| b.rows.clone()).collect();
        if rows.is_empty() {
            return None;
        }
        let rows = arrow_select::concat::concat_batches(&dataset.schema(), &rows).unwrap();
        for (d, n) in &mut held.open {
            if *d == dataset {
                *n += 1;
            }
        }
        held.sealed.push((dataset, number));
        let id = BatchId {
            node: self.node.clone(),
            dataset,
            number,
        };
        Some(Batch::from_sealed(id, rows))
    }

    /// Lets go of what the lake holds.
    pub(crate) fn let_go(&self, dataset: Dataset, up_to: i64) {
        let mut held = self.held.lock().unwrap();
        held.blocks
            .retain(|(d, b)| *d != dataset || b.number > up_to);
    }

    /// From now on blocks give a batch number that is wrong by so much.
    pub(crate) fn misnumber(&self, by: i64) {
        self.misnumbered.store(by, Ordering::Relaxed);
    }

    /// From now on no block can be read.
    pub(crate) fn break_reads(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// How often a block was read.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl RecentRows for HeldRows {
    fn pin(&self, dataset: Dataset) -> PinnedRows {
        let held = self.held.lock().unwrap();
        let blocks = held.blocks.iter().filter(|(d, _)| *d == dataset);
        PinnedRows {
            node: self.node.clone(),
            blocks: blocks.map(|(_, b)| Arc::clone(b) as _).collect(),
        }
    }
}

/// A lake in a folder of its own, recent rows, and an engine over both.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) lake: Arc<Lake>,
    pub(crate) recent: Arc<HeldRows>,
    pub(crate) engine: Engine,
}

impl Site {
    pub(crate) async fn new(partition: Partition) -> Self {
        Self::with(partition, |_| {}).await
    }

    pub(crate) async fn with(partition: Partition, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let dir = TempDir::with_prefix("weir-queries-").unwrap();
        let config = LakeConfig {
            url: dir.path().join("lake").to_str().unwrap().to_owned(),
            partition,
            ..LakeConfig::default()
        };
        let lake = Arc::new(Lake::open(&config).await.unwrap());
        Self::build(dir, lake, change)
    }

    /// A site over a lake that is open already.
    pub(crate) fn over(lake: Arc<Lake>, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let dir = TempDir::with_prefix("weir-queries-").unwrap();
        Self::build(dir, lake, change)
    }

    fn build(dir: TempDir, lake: Arc<Lake>, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let recent = Arc::new(HeldRows::new(7));
        let mut config = EngineConfig {
            spill_dir: dir.path().join("spill"),
            threads: 2,
            ..EngineConfig::default()
        };
        change(&mut config);
        let rows = Arc::clone(&recent) as Arc<dyn RecentRows>;
        let engine = Engine::new(Arc::clone(&lake), rows, config).unwrap();
        Self {
            dir,
            lake,
            recent,
            engine,
        }
    }

    /// Accepts rows and brings them to the lake.
    pub(crate) async fn store(&self, dataset: Dataset, rows: &RecordBatch) {
        self.recent.accept(dataset, rows);
        let batch = self.recent.seal(dataset).unwrap();
        let number = batch.id().number;
        self.lake.append(dataset, &[batch]).await.unwrap();
        self.recent.let_go(dataset, number);
    }

    pub(crate) async fn query(&self, tenant: &str, sql: &str) -> Result<Answer, QueryError> {
        let tenant = TenantId::new(tenant).unwrap();
        let limits = QueryLimits::default();
        self.engine.query(&tenant, sql, &limits).await
    }

    /// The answer as CSV.
    pub(crate) async fn csv(&self, tenant: &str, sql: &str) -> String {
        let answer = self.query(tenant, sql).await;
        csv(&answer.unwrap_or_else(|e| panic!("{sql}: {} {e}", e.code())))
    }
}

pub(crate) fn csv(answer: &Answer) -> String {
    let mut text = Vec::new();
    format::write_csv(answer, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Rows of `dataset` from JSON objects; columns that must be there and are not get a plain value.
pub(crate) fn rows(dataset: Dataset, objects: &[Value]) -> RecordBatch {
    let schema = dataset.accepted_schema();
    let mut text = String::new();
    for (i, object) in objects.iter().enumerate() {
        let mut row: Map<String, Value> = object.as_object().unwrap().clone();
        for field in schema.fields().iter().filter(|f| !f.is_nullable()) {
            let plain = match (field.name().as_str(), field.data_type()) {
                ("tenant_id", _) => json!("acme"),
                ("trace_id", _) => json!(format!("{:032x}", i + 1)),
                ("span_id", _) => json!(format!("{:016x}", i + 1)),
                ("part_date", _) => json!("2026-11-21"),
                (_, DataType::Timestamp(..)) => json!("2026-11-21T10:00:00Z"),
                ("item_index", _) => json!(i),
                (_, DataType::Int32 | DataType::Int64) => json!(1),
                (_, DataType::Decimal128(..)) => json!("1"),
                (_, DataType::List(_)) => json!([]),
                (other, _) => json!(format!("{other}-{i}")),
            };
            row.entry(field.name().clone()).or_insert(plain);
        }
        text.push_str(&Value::from(row).to_string());
        text.push('\n');
    }
    let mut reader = ReaderBuilder::new(schema)
        .with_batch_size(objects.len().max(1))
        .build(text.as_bytes())
        .unwrap();
    reader.next().unwrap().unwrap()
}

pub(crate) fn spans(objects: &[Value]) -> RecordBatch {
    rows(Dataset::Spans, objects)
}

/// A runtime for a test.
pub(crate) fn run<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(120), work).await })
        .expect("the test takes too long")
}
