//! Readers hammer the tables of two tenants while rows move from the real log to the real lake:
//! each answer holds every acknowledged row of its tenant once, and no row of the other one.
//!
//! Nothing stands in for anything here: the write-ahead log on disk, the delivery loop, the Delta
//! tables, the query engine. The node is stopped and started in between, with rows in all places.

#![cfg(test)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, RecordBatch};
use arrow_json::ReaderBuilder;
use serde_json::json;
use weir_ingest::log::{Entry, Log, LogConfig, Route};
use weir_lake::{Lake, LakeConfig, Partition};
use weir_model::clock::SystemClock;
use weir_model::{Clock, Dataset, TenantId};
use weir_queries::{Engine, EngineConfig, QueryLimits};
use weir_sinks::lake::LakeSink;
use weir_sinks::{DeadLetters, Delivery, DeliveryConfig};

/// How long a node lives before it is stopped.
const LIFE: Duration = Duration::from_millis(2500);

/// The two tenants; the rows of each count from a number of its own.
const TENANTS: [(&str, i64); 2] = [("acme", 0), ("rival", 1_000_000_000)];

/// What outlives a node: how many rows of each tenant are acknowledged.
#[derive(Debug, Default)]
struct Acknowledged([AtomicI64; 2]);

/// A node, as the program wires it.
struct Node {
    log: Arc<Log>,
    lake: Arc<Lake>,
    delivery: Delivery,
    engine: Engine,
    done: AtomicBool,
}

impl Node {
    async fn start(dir: &Path, partition: Partition) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let config = LogConfig {
            segment_bytes: 256 << 10,
            budget_bytes: 1 << 30,
            reserve_bytes: 1 << 20,
            batch_age: Duration::from_millis(40),
            retain: Duration::ZERO,
            // Most recent rows are read back from the segments, some while these are deleted.
            recent_bytes_max: 64 << 10,
            ..LogConfig::default()
        };
        let (log, _) = Log::open(&dir.join("wal"), config, Arc::clone(&clock)).unwrap();
        let config = LakeConfig {
            url: dir.join("lake").to_str().unwrap().to_owned(),
            partition,
            ..LakeConfig::default()
        };
        let lake = Arc::new(Lake::open(&config).await.unwrap());
        let last = lake.last_batch(Dataset::Spans, &log.node()).await.unwrap();
        let adopted = log
            .adopt_high_water(Dataset::Spans, last.unwrap_or(0))
            .await;
        assert_eq!(adopted.unwrap(), None, "the log and the lake agree");
        let sink = LakeSink::new(Arc::clone(&lake)).with_flush_interval(Duration::from_millis(120));
        let dead = DeadLetters::open(&dir.join("dead"), clock).unwrap();
        let delivery = Delivery::start(
            Arc::new(sink),
            Arc::<Log>::clone(&log),
            log.cursors(),
            Arc::new(dead),
            DeliveryConfig::default(),
        );
        let config = EngineConfig {
            spill_dir: dir.join("spill"),
            threads: 2,
            ..EngineConfig::default()
        };
        let recent = Arc::<Log>::clone(&log);
        let engine = Engine::new(Arc::clone(&lake), recent, config).unwrap();
        Self {
            log,
            lake,
            delivery,
            engine,
            done: AtomicBool::new(false),
        }
    }

    /// Stops with rows in all places: nothing is waited for but the last frame.
    async fn stop(self) {
        self.delivery.stop().await;
        self.log.close().await.unwrap();
    }

    /// The integers of the one row that `sql` gives.
    async fn ask(&self, tenant: &str, sql: &str) -> Vec<i64> {
        let tenant = TenantId::new(tenant).unwrap();
        let limits = QueryLimits::default();
        let answer = self.engine.query(&tenant, sql, &limits).await.unwrap();
        let row = answer.batches.iter().find(|b| b.num_rows() == 1).unwrap();
        let columns = row.columns().iter().map(|c| c.as_primitive::<Int64Type>());
        columns
            .map(|c| if c.is_null(0) { 0 } else { c.value(0) })
            .collect()
    }
}

/// `count` spans whose `duration_nanos` counts on from `from`.
fn spans(tenant: &str, from: i64, count: i64) -> RecordBatch {
    let row = |n: i64| {
        json!({
            "tenant_id": tenant,
            "trace_id": format!("{:032x}", n / 7 + 1),
            "span_id": format!("{:016x}", n + 1),
            "name": format!("span {n}"),
            "kind": "client",
            "start_time": "2026-11-21T10:00:00Z",
            "status_code": "ok",
            "duration_nanos": n,
            "content_key": format!("{n:032x}"),
            "part_date": format!("2026-11-{:02}", 18 + n % 3),
            "received_at": "2026-11-21T10:00:00Z",
        })
    };
    let text: String = (from..from + count)
        .map(|n| row(n).to_string() + "\n")
        .collect();
    let reader = ReaderBuilder::new(Dataset::Spans.accepted_schema()).with_batch_size(1024);
    let mut reader = reader.build(text.as_bytes()).unwrap();
    reader.next().unwrap().unwrap()
}

/// Sends requests of one tenant, one after the other, and counts what is acknowledged.
async fn write(node: &Node, acknowledged: &Acknowledged, which: usize) {
    let (tenant, base) = TENANTS[which];
    let mut next = acknowledged.0[which].load(Ordering::SeqCst);
    let until = Instant::now() + LIFE;
    while Instant::now() < until && !node.done.load(Ordering::SeqCst) {
        let count = 1 + (next * 7 + 3) % 40;
        let entry = Entry {
            tenant: TenantId::new(tenant).unwrap(),
            route: Route::Traces,
            digest: None,
            idempotency_key: None,
            answer: Vec::new(),
            rows: vec![(Dataset::Spans, spans(tenant, base + next, count))],
        };
        node.log.append(entry).await.unwrap();
        next += count;
        acknowledged.0[which].store(next, Ordering::SeqCst);
    }
    node.done.store(true, Ordering::SeqCst);
}

/// What one answer must be, where `count` rows are there: they are the first `count`, each once.
fn expected(count: i64, base: i64) -> Vec<i64> {
    let last = if count == 0 { 0 } else { base + count - 1 };
    vec![count, count, last, count * base + count * (count - 1) / 2]
}

/// Asks again and again; gives how often, or what was wrong.
async fn read(node: &Node, acknowledged: &Acknowledged, which: usize) -> Result<u32, String> {
    let (tenant, base) = TENANTS[which];
    let (mut asked, mut seen) = (0_u32, 0);
    while !node.done.load(Ordering::SeqCst) {
        let before = acknowledged.0[which].load(Ordering::SeqCst);
        let table = if asked % 4 == 3 {
            "spans_distinct"
        } else {
            "spans"
        };
        let sql = format!(
            "SELECT count(*), count(DISTINCT span_id), max(duration_nanos), sum(duration_nanos) \
             FROM {table}"
        );
        let found = node.ask(tenant, &sql).await;
        let count = found[0];
        if found != expected(count, base) || count < before || count < seen {
            node.done.store(true, Ordering::SeqCst);
            let text = format!("{tenant}, {table}: {found:?} is not whole");
            return Err(format!(
                "{text}, after {before} acknowledged and {seen} seen"
            ));
        }
        seen = count;
        asked += 1;
    }
    Ok(asked)
}

/// One life of the node; gives how many answers were whole.
async fn live(node: &Node, acknowledged: &Acknowledged) -> u32 {
    for (which, (tenant, base)) in TENANTS.into_iter().enumerate() {
        let count = acknowledged.0[which].load(Ordering::SeqCst);
        let sql = "SELECT count(*), count(DISTINCT span_id), max(duration_nanos), \
                   sum(duration_nanos) FROM spans";
        assert_eq!(
            node.ask(tenant, sql).await,
            expected(count, base),
            "{tenant} at the start"
        );
    }
    let ((), (), one, two, three) = tokio::join!(
        write(node, acknowledged, 0),
        write(node, acknowledged, 1),
        read(node, acknowledged, 0),
        read(node, acknowledged, 1),
        read(node, acknowledged, 0),
    );
    [one, two, three]
        .into_iter()
        .map(|asked| asked.unwrap_or_else(|wrong| panic!("gap or double: {wrong}")))
        .sum()
}

async fn hammer(partition: Partition) {
    let dir = tempfile::tempdir().unwrap();
    let acknowledged = Acknowledged::default();
    let (mut asked, mut commits) = (0, 0);
    for _ in 0..3 {
        let node = Node::start(dir.path(), partition).await;
        asked += live(&node, &acknowledged).await;
        let snapshot = node.lake.snapshot(Dataset::Spans).await.unwrap();
        commits = snapshot.version().unwrap_or(0);
        node.stop().await;
    }
    let rows: i64 = acknowledged
        .0
        .iter()
        .map(|n| n.load(Ordering::SeqCst))
        .sum();
    println!("{asked} answers over {rows} rows and {commits} commits were whole, {partition:?}");
    assert!(asked >= 15, "too few answers to say anything: {asked}");
    assert!(commits >= 6, "too few commits to say anything: {commits}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_acknowledged_row_is_seen_once_while_it_moves_to_files_of_its_tenant() {
    hammer(Partition::DateAndTenant).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_acknowledged_row_is_seen_once_while_it_moves_to_shared_files() {
    hammer(Partition::Date).await;
}
