//! How fast the SQL sinks take narrow rows of one tenant, and how fast two questions are answered
//! over them: by id, and the newest of a skill.
//!
//! ```text
//! cargo run --release -p weir-sinks --example sql_speed -- [ROWS] [sqlite|postgres]
//! ```
//!
//! `ROWS` is 200,000 where nothing is said. A row has twelve columns of a span with values, besides
//! the three that name the row; it is inserted into the whole table of spans, with its indexes, and
//! each transaction is on the disk when it is counted. Postgres is the system's, with its own
//! settings but for 256 MB of shared buffers; rows are written under row-level security.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "it is a measurement, which may stop at once and shows what it found"
)]

#[path = "../../store/tests/server/mod.rs"]
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::builder::StringBuilder;
use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use weir_model::{Batch, BatchId, Dataset, NodeId};
use weir_sinks::postgres::{PostgresConfig, PostgresSink};
use weir_sinks::sqlite::{SqliteConfig, SqliteSink};
use weir_sinks::{Part, Sink};

/// Rows of a batch, as they are sealed under load.
const BATCH_ROWS: i64 = 8_192;
/// Spans of a trace.
const TRACE_ROWS: i64 = 8;
const SKILLS: i64 = 200;
/// How often each question is asked.
const QUESTIONS: i64 = 1_000;
/// The rows are of four weeks.
const SPAN_US: i64 = 28 * 86_400_000_000;
/// 2026-01-05T00:00:00Z, a Monday.
const START_US: i64 = 1_767_571_200_000_000;
const DAY_US: i64 = 86_400_000_000;
const TENANT: &str = "acme";
const BY_SKILL: &str = "ORDER BY start_time DESC LIMIT 50";

/// 32 hex digits that look random and are the same for the same number.
fn trace_id(number: i64) -> String {
    let mix = |seed: u64| {
        let z = number
            .unsigned_abs()
            .wrapping_add(seed)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    format!("{:016x}{:016x}", mix(1), mix(2))
}

fn batch(number: i64, all: i64) -> Batch {
    let first = (number - 1) * BATCH_ROWS;
    let rows = || first..first + BATCH_ROWS;
    let time = move |row: i64| {
        START_US + i64::try_from(i128::from(SPAN_US) * i128::from(row) / i128::from(all)).unwrap()
    };
    let texts = |text: &dyn Fn(i64) -> String| -> ArrayRef {
        let mut texts = StringBuilder::new();
        rows().for_each(|row| texts.append_value(text(row)));
        Arc::new(texts.finish())
    };
    let times = |delay: i64| -> ArrayRef {
        let times =
            TimestampMicrosecondArray::from_iter_values(rows().map(|row| time(row) + delay));
        Arc::new(times.with_timezone("UTC"))
    };
    let same = |text: &str| -> ArrayRef {
        let count = usize::try_from(BATCH_ROWS).unwrap();
        Arc::new(StringArray::from(vec![text; count]))
    };
    let schema = Dataset::Spans.accepted_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "tenant_id" => same(TENANT),
            "trace_id" => texts(&|row| trace_id(row / TRACE_ROWS)),
            "span_id" => texts(&|row| trace_id(-row)[..16].to_owned()),
            "name" => same("chat claude"),
            "kind" => same("client"),
            "status_code" => same("ok"),
            "start_time" => times(0),
            "received_at" => times(1_000_000),
            "skill_name" => texts(&|row| format!("skill-{}", row * 7 % SKILLS)),
            "usage_input_tokens" => Arc::new(Int64Array::from_iter_values(rows())),
            "cost_usd" => {
                let cost = Decimal128Array::from_iter_values(rows().map(i128::from));
                Arc::new(cost.with_data_type(field.data_type().clone()))
            }
            "part_date" => {
                let days = rows().map(|row| i32::try_from(time(row) / DAY_US).unwrap());
                Arc::new(Date32Array::from_iter_values(days))
            }
            _ => new_null_array(field.data_type(), usize::try_from(BATCH_ROWS).unwrap()),
        });
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    let id = BatchId {
        node: NodeId::from_bits(1),
        dataset: Dataset::Spans,
        number,
    };
    Batch::seal(id, &rows).unwrap()
}

/// Writes all rows in runs of as many batches as the sink likes; only the writes are timed.
async fn fill(sink: &dyn Sink, all: i64) {
    let appetite = i64::try_from(sink.appetite().rows_max).unwrap() / BATCH_ROWS;
    let batches = (all + BATCH_ROWS - 1) / BATCH_ROWS;
    let (mut spent, mut stored, mut slowest) = (Duration::ZERO, 0, Duration::ZERO);
    let mut number = 1;
    while number <= batches {
        let last = batches.min(number + appetite.max(1) - 1);
        let run: Vec<Part> = (number..=last)
            .map(|n| Part::whole(batch(n, all)))
            .collect();
        let began = Instant::now();
        stored += sink.write(&run).await.unwrap().rows;
        spent += began.elapsed();
        slowest = slowest.max(began.elapsed());
        number = last + 1;
    }
    let speed = f64::from(u32::try_from(stored).unwrap()) / spent.as_secs_f64();
    println!(
        "  {stored} rows in {spent:.2?}: {speed:.0} rows/s; slowest transaction {slowest:.0?}"
    );
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    println!(
        "  {what}: p50 {:.2?}, p95 {:.2?}, p99 {:.2?}",
        at(50),
        at(95),
        at(99)
    );
}

async fn sqlite(all: i64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.db");
    let config = SqliteConfig {
        path: path.to_str().unwrap().to_owned(),
        ..SqliteConfig::default()
    };
    let sink = SqliteSink::new("speed", config).unwrap();
    let engine = sink.probe().await.unwrap();
    println!("{} {}", engine.name, engine.version);
    fill(&sink, all).await;
    let database = rusqlite::Connection::open(&path).unwrap();
    let ask = |text: &str, values: &[&str]| -> (Duration, usize) {
        let began = Instant::now();
        let mut statement = database.prepare_cached(text).unwrap();
        let mut rows = statement.query(rusqlite::params_from_iter(values)).unwrap();
        let mut found = 0;
        while rows.next().unwrap().is_some() {
            found += 1;
        }
        (began.elapsed(), found)
    };
    let (mut by_id, mut by_skill) = (Vec::new(), Vec::new());
    for question in 0..QUESTIONS {
        let id = trace_id(question * 7_919 % (all / TRACE_ROWS));
        let (time, found) = ask("SELECT * FROM spans WHERE trace_id = ?1", &[&id]);
        assert_eq!(found, 8);
        by_id.push(time);
        let skill = format!("skill-{}", question % SKILLS);
        let text =
            format!("SELECT * FROM spans WHERE tenant_id = ?1 AND skill_name = ?2 {BY_SKILL}");
        let (time, found) = ask(&text, &[TENANT, &skill]);
        assert_eq!(found, 50);
        by_skill.push(time);
    }
    report("by id", by_id);
    report("by tenant and skill, newest first", by_skill);
}

async fn postgres(all: i64) {
    let settings = ["fsync=on", "shared_buffers=256MB", "max_wal_size=4GB"];
    let server = match server::Postgres::start_on_loopback_with(&settings) {
        Ok(server) => server,
        Err(why) => return server::not_run(&why),
    };
    let superuser = server.database();
    let (client, connection) = tokio_postgres::connect(&superuser, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let (_, database) = superuser.rsplit_once("dbname=").unwrap();
    let roles = format!(
        "CREATE ROLE weir_writer LOGIN; GRANT CREATE ON DATABASE {database} TO weir_writer"
    );
    client.batch_execute(&roles).await.unwrap();
    let writer = superuser.replace("user=postgres", "user=weir_writer");
    let config = PostgresConfig {
        url: writer.as_str().into(),
        ..PostgresConfig::default()
    };
    let sink = PostgresSink::new("speed", config).unwrap();
    let engine = sink.probe().await.unwrap();
    println!("{} {}", engine.name, engine.version);
    fill(&sink, all).await;
    client
        .batch_execute("VACUUM ANALYZE weir.spans")
        .await
        .unwrap();
    let (client, connection) = tokio_postgres::connect(&writer, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let set = format!("SET app.tenant_id = '{TENANT}'");
    client.batch_execute(&set).await.unwrap();
    let text =
        format!("SELECT * FROM weir.spans WHERE tenant_id = $1 AND skill_name = $2 {BY_SKILL}");
    let skills = client.prepare(&text).await.unwrap();
    let ids = "SELECT * FROM weir.spans WHERE trace_id = $1";
    let ids = client.prepare(ids).await.unwrap();
    let (mut by_id, mut by_skill) = (Vec::new(), Vec::new());
    for question in 0..QUESTIONS {
        let id = trace_id(question * 7_919 % (all / TRACE_ROWS));
        let began = Instant::now();
        let found = client.query(&ids, &[&id]).await.unwrap();
        by_id.push(began.elapsed());
        assert_eq!(found.len(), 8);
        let skill = format!("skill-{}", question % SKILLS);
        let began = Instant::now();
        let found = client.query(&skills, &[&TENANT, &skill]).await.unwrap();
        by_skill.push(began.elapsed());
        assert_eq!(found.len(), 50);
    }
    report("by id", by_id);
    report("by tenant and skill, newest first", by_skill);
}

#[tokio::main]
async fn main() {
    let mut rows = 200_000;
    let mut engines = vec!["sqlite".to_owned(), "postgres".to_owned()];
    for argument in std::env::args().skip(1) {
        match argument.parse() {
            Ok(number) => rows = number,
            Err(_) => engines = vec![argument],
        }
    }
    for engine in engines {
        match engine.as_str() {
            "sqlite" => sqlite(rows).await,
            "postgres" => postgres(rows).await,
            other => println!("there is no engine `{other}`"),
        }
    }
}
