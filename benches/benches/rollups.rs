//! Questions of cost over a month: from daily sums, from hourly sums, and from the bookings, the
//! last beside DuckDB on the same files.
//!
//! `cargo bench -p weir-benches --features sql --bench rollups`. Sums have 800 groups a day (and as many an hour),
//! however many calls they stand for. Bookings are 10 million; `WEIR_BENCH_ROWS` says otherwise.
//! DuckDB is that of `cargo xtask test` (`.cache/venv`), or of `WEIR_TEST_PYTHON`; it gets two
//! threads as we do, its answer must be ours to the last digit, and the bench fails where it is not.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "criterion's main has no docs, and a bench may stop at once and talk"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use weir_benches::ledger::{FIRST_DAY_US, GROUPS, bookings};
use weir_lake::{Lake, LakeConfig};
use weir_model::{Batch, BatchId, Dataset, NodeId, PinnedRows, RecentRows, TenantId};
use weir_queries::{Answer, Dimension, Engine, EngineConfig, QueryLimits, RollupQuestion, format};
use weir_transforms::rollup::{self, Grain};

const DAYS: i64 = 30;
/// The same text for both engines.
const RECOMPUTE: &str = include_str!("../../queries/recompute.sql");

/// Whether criterion only tries whether the bench runs.
fn trial() -> bool {
    std::env::args().any(|arg| arg == "--test") || cfg!(test)
}

#[derive(Debug)]
struct NothingRecent;

impl RecentRows for NothingRecent {
    fn pin(&self, _: Dataset) -> PinnedRows {
        PinnedRows {
            node: NodeId::from_bits(7),
            blocks: Vec::new(),
        }
    }
}

/// A lake in a folder, and an engine over it.
struct Site {
    dir: tempfile::TempDir,
    lake: Arc<Lake>,
    engine: Engine,
    runtime: Runtime,
}

fn sealed(dataset: Dataset, number: i64, rows: &RecordBatch) -> Batch {
    let node = NodeId::from_bits(1);
    let id = BatchId {
        node,
        dataset,
        number,
    };
    Batch::seal(id, rows).expect("rows to seal")
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = LakeConfig {
            url: dir.path().join("lake").to_str().unwrap().to_owned(),
            ..LakeConfig::default()
        };
        let lake = Arc::new(runtime.block_on(Lake::open(&config)).expect("a lake"));
        let config = EngineConfig {
            spill_dir: dir.path().join("spill"),
            threads: 2,
            timeout: Duration::from_secs(300),
            ..EngineConfig::default()
        };
        let engine = Engine::new(Arc::clone(&lake), Arc::new(NothingRecent), config);
        Self {
            dir,
            lake,
            engine: engine.expect("an engine"),
            runtime,
        }
    }

    fn append(&self, batch: Batch) {
        let dataset = batch.dataset();
        let batches = [batch];
        let appended = self.lake.append(dataset, &batches);
        self.runtime.block_on(appended).expect("an append");
    }

    /// A month of sums without its bookings: the sums say up to which batch they go, so that no
    /// booking is looked for.
    fn with_sums() -> Self {
        let site = Self::new();
        let a_day = if trial() { 2_000 } else { 200_000 };
        for day in 0..DAYS {
            let rows = bookings(day, a_day).expect("bookings");
            for grain in Grain::ALL {
                let sums = rollup::by(grain, &rows).expect("sums");
                site.append(sealed(grain.dataset(), day + 1, &sums));
            }
            // The ledger itself holds one booking of each day, which the sums have in them.
            site.append(sealed(Dataset::CostLedger, day + 1, &rows.slice(0, 1)));
        }
        site
    }

    fn with_bookings() -> (Self, usize) {
        let site = Self::new();
        let rows = std::env::var("WEIR_BENCH_ROWS").ok();
        let rows = rows.and_then(|text| text.parse::<usize>().ok());
        let rows = rows.unwrap_or(if trial() { 20_000 } else { 10_000_000 });
        let days = if trial() { 2 } else { DAYS };
        let a_day = rows / usize::try_from(days).unwrap();
        for day in 0..days {
            let rows = bookings(day, a_day).expect("bookings");
            site.append(sealed(Dataset::CostLedger, day + 1, &rows));
        }
        (site, a_day * usize::try_from(days).unwrap())
    }

    fn rollup(&self, by: &[Dimension]) -> usize {
        let question = RollupQuestion {
            since_us: Some(FIRST_DAY_US),
            by: by.to_vec(),
            ..RollupQuestion::default()
        };
        let acme = TenantId::new("acme").unwrap();
        let rollup = self.runtime.block_on(self.engine.rollup(&acme, &question));
        rollup.expect("a rollup").rows.len()
    }

    fn recompute(&self) -> Answer {
        let acme = TenantId::new("acme").unwrap();
        let limits = QueryLimits::default();
        let answer = self.engine.query(&acme, RECOMPUTE, &limits);
        self.runtime.block_on(answer).expect("an answer")
    }
}

/// DuckDB in a process of its own, which answers one line for each line that it is sent.
struct Duck {
    child: Child,
    ask: ChildStdin,
    tell: BufReader<ChildStdout>,
}

const SCRIPT: &str = r#"
import sys, duckdb
connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute(f"CREATE VIEW cost_ledger AS SELECT * FROM read_parquet('{sys.argv[1]}/cost_ledger/**/*.parquet', hive_partitioning = true)")
sql = open(sys.argv[2]).read()
for line in sys.stdin:
    rows = connection.execute(sql).fetchall()
    if line.strip() == "rows":
        text = "|".join(",".join("" if v is None else str(v) for v in row) for row in rows)
        print(text, flush=True)
    else:
        print(len(rows), flush=True)
"#;

impl Duck {
    fn start(lake: &Path) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        let own = root.join(".cache/venv/bin/python");
        let named = std::env::var_os("WEIR_TEST_PYTHON").map(PathBuf::from);
        let python = named.unwrap_or(own);
        if !python.is_file() {
            eprintln!("DuckDB: not run, there is no {}", python.display());
            return None;
        }
        let mut child = Command::new(python)
            .args(["-c", SCRIPT])
            .arg(lake)
            .arg(root.join("queries/recompute.sql"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let (ask, tell) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        Some(Self { child, ask, tell })
    }

    fn answer(&mut self, what: &str) -> String {
        writeln!(self.ask, "{what}").expect("DuckDB listens");
        let mut line = String::new();
        self.tell.read_line(&mut line).expect("DuckDB answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Duck {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows as DuckDB's side writes them.
fn text_of(answer: &Answer) -> String {
    let mut csv = Vec::new();
    format::write_csv(answer, &mut csv).expect("text");
    let csv = String::from_utf8(csv).unwrap();
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    rows.join("|")
}

fn rollups(criterion: &mut Criterion) {
    let site = Site::with_sums();
    let hours = site.rollup(&[Dimension::Hour, Dimension::Skill]);
    eprintln!("{GROUPS} groups a day, {hours} hours and skills in a month");
    let mut group = criterion.benchmark_group("rollup");
    group.sample_size(10);
    group.bench_function("skill_month_from_days", |b| {
        b.iter(|| site.rollup(&[Dimension::Skill]));
    });
    group.bench_function("skill_agent_model_month_from_days", |b| {
        b.iter(|| site.rollup(&[Dimension::Skill, Dimension::Agent, Dimension::Model]));
    });
    group.bench_function("skill_month_by_hour", |b| {
        b.iter(|| site.rollup(&[Dimension::Hour, Dimension::Skill]));
    });
    group.finish();
}

fn recomputation(criterion: &mut Criterion) {
    let (site, rows) = Site::with_bookings();
    let mut group = criterion.benchmark_group("recompute");
    group.sample_size(10);
    let ours = site.recompute();
    if let Some(mut duck) = Duck::start(&site.dir.path().join("lake")) {
        assert_eq!(duck.answer("rows"), text_of(&ours), "DuckDB says otherwise");
        // In turns, so that both meet the same neighbours on a shared machine.
        let (mut we, mut they) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let start = Instant::now();
            site.recompute();
            we.push(start.elapsed());
            let start = Instant::now();
            duck.answer("count");
            they.push(start.elapsed());
        }
        we.sort();
        they.sort();
        eprintln!(
            "{rows} bookings: ours {:?}, DuckDB {:?} (median of 5)",
            we.get(2),
            they.get(2)
        );
        group.bench_function("duckdb", |b| b.iter(|| duck.answer("count")));
    }
    group.bench_function("weir", |b| b.iter(|| site.recompute()));
    group.finish();
}

criterion_group!(benches, rollups, recomputation);
criterion_main!(benches);
