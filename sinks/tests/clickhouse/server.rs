//! A ClickHouse to test against: that of `WEIR_TEST_CLICKHOUSE_URL`, else the engine of PyPI's
//! `chdb` behind its HTTP interface, started by the Python that `WEIR_TEST_PYTHON` names.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use clickhouse::Client;
use clickhouse_ext_arrow::ArrowQueryExt;
use std::sync::Arc;
use tempfile::TempDir;
use weir_model::Dataset;
use weir_sinks::Sink;
use weir_sinks::clickhouse::{ClickHouseConfig, ClickHouseSink, ddl};
use weir_sinks::contract::Destination;

use crate::reader;
use heavy::not_run;

#[path = "../../../tests/support/heavy.rs"]
#[allow(clippy::duplicate_mod, reason = "a binary may have it beside this")]
mod heavy;

/// Ends the server when this process ends, however it does, and removes what it has stored.
const KEEPER: &str = r#"
folder=$1
shift
"$@" --path "$folder" &
server=$!
echo "pid $server"
cat >/dev/null
kill -CONT "$server" 2>/dev/null
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
"#;

/// A server of our own, or one that was named.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    keeper: Child,
    pid: String,
    folder: TempDir,
    credentials: Vec<String>,
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("WEIR_TEST_PYTHON").map(PathBuf::from)?;
    let mut import = Command::new(&python);
    import.args([
        "-c",
        "import importlib.util as u; exit(not u.find_spec('chdb'))",
    ]);
    import.status().is_ok_and(|s| s.success()).then_some(python)
}

pub(crate) fn script(name: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clickhouse");
    tests.join(name)
}

fn start(python: &Path, folder: &Path, port: u16, credentials: &[String]) -> (Child, String, u16) {
    let mut keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(folder)
        .arg(python)
        .arg(script("chdb_http.py"))
        .args(["--port", &port.to_string()])
        .args(credentials)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let out = keeper.stdout.take().expect("a pipe");
    let (mut pid, mut port) = (None, None);
    for line in BufReader::new(out).lines() {
        let line = line.expect("text");
        if let Some(number) = line.strip_prefix("pid ") {
            pid = Some(number.to_owned());
        } else if let Some(rest) = line.strip_prefix("listening 127.0.0.1:") {
            port = rest.split(' ').next().and_then(|p| p.parse().ok());
        }
        if pid.is_some() && port.is_some() {
            break;
        }
    }
    let port = port.expect("the engine starts and says where it listens");
    (keeper, pid.expect("the keeper says the pid"), port)
}

impl Server {
    /// A server of our own with a user and a password, or without; `None`, with a line that says
    /// so, where Python or chdb are missing.
    pub(crate) fn own(credentials: Option<(&str, &str)>) -> Option<Self> {
        let Some(python) = python() else {
            not_run("WEIR_TEST_PYTHON names no Python that has chdb");
            return None;
        };
        let credentials = credentials.map_or(Vec::new(), |(user, password)| {
            ["--user", user, "--password", password]
                .map(str::to_owned)
                .to_vec()
        });
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let (keeper, pid, port) = start(&python, folder.path(), 0, &credentials);
        Some(Self {
            url: format!("http://127.0.0.1:{port}"),
            own: Some(Own {
                keeper,
                pid,
                folder,
                credentials,
            }),
        })
    }

    /// The server that tests share, each with a database of its own.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        let make = || match std::env::var("WEIR_TEST_CLICKHOUSE_URL") {
            Ok(url) => Some(Self {
                url: url.trim_end_matches('/').to_owned(),
                own: None,
            }),
            Err(_) => Self::own(None),
        };
        let shared = SHARED.get_or_init(make).as_ref();
        if shared.is_none() {
            not_run("no ClickHouse to test against");
        }
        shared
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.url.strip_prefix("http://").expect("an http URL");
        std::net::ToSocketAddrs::to_socket_addrs(address)
            .expect("an address")
            .next()
            .expect("an address")
    }

    /// Whether it is the engine behind our own HTTP interface, which has no clusters.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Sends a signal to the engine's process.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = &self.own.as_ref().expect("a server of our own").pid;
        let sent = Command::new("kill").args([signal, pid]).status();
        assert!(sent.is_ok_and(|s| s.success()), "kill {signal} {pid}");
    }

    /// Kills it without warning and starts it again over what it has stored, at the same address.
    pub(crate) fn kill_and_restart(&mut self) {
        self.signal("-KILL");
        let port = self.address().port();
        let own = self.own.as_mut().expect("a server of our own");
        drop(own.keeper.stdin.take());
        own.keeper.wait().expect("the keeper ends");
        let python = python().expect("it was there before");
        let (keeper, pid, again) = start(&python, own.folder.path(), port, &own.credentials);
        (own.keeper, own.pid) = (keeper, pid);
        assert_eq!(again, port);
    }

    /// A configuration for a database that nobody has used.
    pub(crate) fn config(&self) -> ClickHouseConfig {
        ClickHouseConfig {
            url: self.url.clone(),
            database: format!("weir_{:016x}", rand::random::<u64>()),
            ..ClickHouseConfig::default()
        }
    }
}

/// A destination under test: its sinks connect as `config` says, its readers to the server itself.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) config: ClickHouseConfig,
    pub(crate) readers: Vec<ClickHouseConfig>,
}

impl Place {
    /// Sinks and readers alike.
    pub(crate) fn at(config: &ClickHouseConfig) -> Self {
        Self {
            config: config.clone(),
            readers: vec![config.clone()],
        }
    }

    pub(crate) fn open(&self) -> ClickHouseSink {
        ClickHouseSink::new("clickhouse", self.config.clone()).expect("a good configuration")
    }
}

pub(crate) fn client(config: &ClickHouseConfig) -> Client {
    Client::default()
        .with_url(&config.url)
        .with_user(&config.user)
        .with_password(config.password.expose())
        .with_compression(clickhouse::Compression::None)
        .with_setting("wait_end_of_query", "1")
}

/// Runs a statement, or stops the test.
pub(crate) async fn run(config: &ClickHouseConfig, sql: &str) {
    let done = client(config).query_raw(sql).execute().await;
    done.unwrap_or_else(|error| panic!("{error}: {sql}"));
}

/// The answer as tab-separated text.
pub(crate) async fn ask(config: &ClickHouseConfig, sql: &str) -> String {
    let cursor = client(config).query_raw(sql).fetch_bytes("TabSeparated");
    let bytes = cursor.expect("a query").collect().await;
    let bytes = bytes.unwrap_or_else(|error| panic!("{error}: {sql}"));
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

#[async_trait]
impl Destination for Place {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.open())
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        let mut all = Vec::new();
        for config in &self.readers {
            let cluster = if config.cluster.is_empty() {
                ""
            } else {
                "_local"
            };
            let table = format!("{}.{}{cluster}", config.database, dataset.name());
            let there = format!("EXISTS TABLE {table}");
            if ask(config, &there).await != "1" {
                continue;
            }
            let query = client(config)
                .with_setting("output_format_arrow_date_as_uint16", "0")
                .query_raw(&format!("SELECT * FROM {table}"));
            let batches = query.fetch_arrow().expect("a query").collect().await;
            let batches = batches.expect("rows that can be read");
            all.extend(batches.iter().map(|rows| reader::sealed(dataset, rows)));
        }
        all
    }
}

/// The statements that `weir ddl` prints.
pub(crate) fn statements(config: &ClickHouseConfig) -> Vec<String> {
    let text = ddl(config);
    let all = text.split(";\n").map(|s| s.trim().to_owned());
    all.filter(|s| !s.is_empty()).collect()
}

/// Runs them all.
pub(crate) async fn apply(config: &ClickHouseConfig) {
    for statement in statements(config) {
        run(config, &statement).await;
    }
}
