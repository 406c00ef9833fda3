//! The server is killed again and again while it delivers to ClickHouse, Postgres and SQLite: each row
//! that is in its lake, which the oracle vouches for, is in each of them once, counted by their own
//! clients.

#![cfg(test)]

#[path = "../store/tests/server/mod.rs"]
mod postgres;
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use postgres::Postgres;
use support::http::Connection;
use support::load::Load;
use support::oracle::Oracle;
use support::random::Random;
use support::server::{Settings, Weir};

/// What a shutdown may take, with sinks or without.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);
/// Every dataset that has rows here.
const TABLES: [&str; 5] = [
    "spans",
    "proxy_audit",
    "ocsf_events",
    "telemetry_events",
    "cost_ledger",
];
/// How many rows there are, and how many names of rows.
const COUNTS: &str = "count(*), count(DISTINCT _node || '/' || _batch || '/' || _row)";

/// The engine of ClickHouse behind its HTTP interface; it ends with this process.
struct ClickHouse {
    keeper: Child,
    address: SocketAddr,
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // A keeper that cannot be waited for has ended already.
        drop(self.keeper.wait());
    }
}

impl ClickHouse {
    fn start(python: &Path, folder: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut keeper = Command::new("sh")
            .args(["-c", r#""$@" & cat >/dev/null; kill -KILL $!"#, "keeper"])
            .arg(python)
            .arg(root.join("sinks/tests/clickhouse/chdb_http.py"))
            .args(["--port", "0", "--path"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        let port = lines.map(Result::unwrap).find_map(|line| {
            let rest = line.strip_prefix("listening 127.0.0.1:")?;
            rest.split(' ').next()?.parse::<u16>().ok()
        });
        let port = port.expect("the engine says where it listens");
        Self {
            keeper,
            address: ([127, 0, 0, 1], port).into(),
        }
    }

    fn ask(&self, sql: &str) -> String {
        let mut connection = Connection::open(self.address).unwrap();
        let answer = connection
            .send("POST", "/?database=weir", &[], sql.as_bytes())
            .unwrap();
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text().trim().to_owned()
    }
}

/// The engines, and the configuration that has the server deliver to them.
struct World {
    folder: tempfile::TempDir,
    python: PathBuf,
    clickhouse: ClickHouse,
    postgres: Postgres,
    database: String,
}

impl World {
    /// `None`, with a line that says so, where an engine is missing.
    fn new() -> Option<Self> {
        let Some(python) = std::env::var_os("WEIR_TEST_PYTHON").map(PathBuf::from) else {
            support::not_run("WEIR_TEST_PYTHON names no Python that has chdb");
            return None;
        };
        let postgres = match Postgres::start_on_loopback() {
            Ok(postgres) => postgres,
            Err(why) => {
                support::not_run(&why);
                return None;
            }
        };
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("clickhouse");
        fs::create_dir(&engine).unwrap();
        let clickhouse = ClickHouse::start(&python, &engine);
        let connect = postgres.database();
        let (_, database) = connect.rsplit_once('=').unwrap();
        Some(Self {
            database: database.to_owned(),
            folder,
            python,
            clickhouse,
            postgres,
        })
    }

    fn settings(&self) -> Settings {
        let file = self.folder.path().join("weir.yaml");
        let text = format!(
            "sinks:\n  clicks:\n    kind: clickhouse\n    url: http://{}\n  \
             tables:\n    kind: postgres\n    url: postgres://postgres@{}/{}\n    \
             single_tenant: true\n  \
             pages:\n    kind: sqlite\n    path: {}\n",
            self.clickhouse.address,
            self.postgres.address(),
            self.database,
            self.file().display(),
        );
        fs::write(&file, text).unwrap();
        Settings::hasty(&self.folder.path().join("data"))
            .with("WEIR_CONFIG", file.to_str().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("pages.db")
    }

    /// Rows and names of rows of `table` in each engine, by its own client.
    fn counts(&self, table: &str) -> [(&'static str, String); 3] {
        let pages = format!("SELECT {COUNTS} FROM {table}");
        let script = "import sqlite3, sys; \
                      print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchone())";
        let mut python = Command::new(&self.python);
        python.args(["-c", script]).arg(self.file()).arg(&pages);
        let sqlite = python.output().unwrap();
        let faults = String::from_utf8_lossy(&sqlite.stderr);
        assert!(sqlite.status.success(), "{faults}");
        let sqlite = String::from_utf8_lossy(&sqlite.stdout).trim().to_owned();
        let clicks = format!("SELECT count(), uniqExact(_node, _batch, _row) FROM {table}");
        let tables = format!("SELECT {COUNTS} FROM weir.{table}");
        let postgres = self.postgres.ask(&self.database, &tables);
        [
            (
                "clickhouse",
                self.clickhouse.ask(&clicks).replace('\t', " "),
            ),
            ("postgres", postgres.replace('|', " ")),
            ("sqlite", sqlite),
        ]
    }

    /// Waits until each engine has the rows of the lake, each once.
    fn assert_same(&self, server: &Weir) {
        for table in TABLES {
            let mut seen = String::new();
            let began = std::time::Instant::now();
            loop {
                let rows = server.number(&format!("SELECT count(*) FROM {table}"));
                let wanted = format!("{rows} {rows}");
                let counts = self.counts(table);
                let same = counts.iter().all(|(_, found)| *found == wanted);
                if same && rows > 0 {
                    println!("{table}: {rows} rows in each");
                    break;
                }
                seen.clear();
                seen.push_str(&format!("{table}: {rows} in the lake, {counts:?}"));
                assert!(began.elapsed() < Duration::from_secs(60), "{seen}");
                thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

/// Sends calls that carry their cost, so that the ledger has something to book; whether all are
/// taken does not matter.
fn send_calls(server: &Weir, cycle: u32) {
    for call in 0..3 {
        let event = format!(
            r#"{{"skill_id":"skill-{call}","user_id":"u-1","llm_platform":"openai",
                "llm_model":"gpt-4o","ts":"2026-11-20T12:00:00Z","success":true,
                "latency_ms":{cycle},"tokens_in":1200,"tokens_out":80,
                "cost_usd_estimate":0.0038}}"#
        );
        let path = "/api/v1/telemetry/events";
        if let Ok(mut connection) = Connection::open(server.http) {
            let json = [("content-type", "application/json")];
            drop(connection.send("POST", path, &json, event.as_bytes()));
        }
    }
}

#[test]
fn each_row_is_in_each_engine_once_however_often_the_server_is_killed() {
    if support::skip_unless_heavy() {
        return;
    }
    let Some(world) = World::new() else {
        return;
    };
    let cycles = support::count_from("WEIR_FANOUT_CYCLES", 50);
    let mut random = Random::from_env();
    let settings = world.settings();
    let oracle = Arc::new(Oracle::default());
    let mut acknowledged = 0;
    for cycle in 0..cycles {
        let mut server = settings.start();
        let load = Load::start(&oracle, server.http, 2, &mut random);
        send_calls(&server, cycle);
        thread::sleep(random.millis(50, 700));
        if random.chance(20) {
            let (status, took) = server.terminate(SHUTDOWN_LIMIT);
            assert_eq!(status.code(), Some(0), "after {took:?}");
        }
        server.process.kill();
        acknowledged += load.stop().acknowledged.load(Ordering::Relaxed);
    }
    println!("{cycles} cycles: {acknowledged} requests acknowledged");
    assert!(acknowledged > u64::from(cycles), "the load came to nothing");
    let server = settings.start();
    server.wait_stored();
    let verdict = oracle.judge(&server);
    println!("in the lake: {verdict}");
    assert!(verdict.is_clean(), "{verdict}");
    world.assert_same(&server);
}
