//! `weir serve`: run a node until a signal or a failed disk ends it.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::App;
use crate::cli::config::assignment;
use crate::cli::exit::Exit;
use crate::cli::{logging, out};
use crate::config::{Config, Limits, Sources, load};

/// How often the configuration file is looked at for changed routes.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Open files besides connections: the log, the lake, spilled queries, libraries.
const FILES_BESIDE: u64 = 512;

/// What it takes; each flag stands for the setting of the same name.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// The YAML file.
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where all state lies [default: ./weir-data].
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Address of the HTTP API [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Address of OTLP over HTTP [default: 127.0.0.1:4318].
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_http: Option<String>,
    /// Address of OTLP over gRPC [default: 127.0.0.1:4317].
    #[arg(long, value_name = "ADDR")]
    pub(crate) otlp_grpc: Option<String>,
    /// The TLS certificate chain, in PEM; all listeners then speak TLS.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key_file: Option<PathBuf>,
    /// The authorities that sign clients' certificates; clients must then have one.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_client_ca_file: Option<PathBuf>,
    /// Serve without TLS also to other machines.
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// Log lines for people (text) or machines (json).
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
    /// The least level that is logged, or directives by module.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Any setting, by its name in the file, as `--set query.timeout=20s`.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub(crate) set: Vec<(String, String)>,
}

impl Args {
    /// The configuration that flags, environment and file give together.
    ///
    /// # Errors
    ///
    /// All faults of all of them.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        let mut flags = self.set.clone();
        let mut flag = |name: &str, value: Option<String>| {
            flags.extend(value.map(|value| (name.to_owned(), value)));
        };
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        flag("data_dir", self.data_dir.as_ref().map(text));
        flag("listen.http", self.http.clone());
        flag("listen.otlp_http", self.otlp_http.clone());
        flag("listen.otlp_grpc", self.otlp_grpc.clone());
        flag("tls.cert_file", self.tls_cert_file.as_ref().map(text));
        flag("tls.key_file", self.tls_key_file.as_ref().map(text));
        let authorities = self.tls_client_ca_file.as_ref().map(text);
        flag("tls.client_ca_file", authorities);
        flag(
            "listen.insecure_http",
            self.insecure_http.then(|| "true".to_owned()),
        );
        flag("log.format", self.log_format.clone());
        flag("log.level", self.log_level.clone());
        Ok(load(&Sources::of_process(self.config.clone(), flags))?)
    }
}

/// Runs it.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let config = args.load()?;
    logging::start(&config.log)?;
    let mut terminate = signal(SignalKind::terminate()).context("no signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("no signals")?;
    let mut hangup = signal(SignalKind::hangup()).context("no signals")?;
    files_for(&config.limits);
    let app = Box::pin(App::start(&config)).await?;
    let failed = app.failed();
    let addresses = app.addresses();
    tracing::info!(
        http = %addresses.http,
        otlp_http = %addresses.otlp_http,
        otlp_grpc = %addresses.otlp_grpc,
        data_dir = %config.data_dir.display(),
        lake = app.node().lake_shown,
        "node.ready"
    );
    out::line(&serde_json::to_string(&addresses)?)?;
    tokio::pin!(failed);
    let mut file = Watched::new(args.config.clone());
    loop {
        tokio::select! {
            biased;
            () = &mut failed => return Ok(disk_failed().await),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                app.reload();
                reroute(&app, &args).await;
            }
            () = file.changed() => reroute(&app, &args).await,
        }
    }
    tracing::info!("node.stopping");
    let failed = app.failed();
    tokio::select! {
        biased;
        () = failed => Ok(disk_failed().await),
        stopped = Box::pin(app.stop()) => {
            stopped.context("the log's last writes failed")?;
            tracing::info!("node.stopped");
            Ok(Exit::OK)
        }
    }
}

/// Reads the configuration again, for the routes of sinks; the rest of it holds until a restart.
async fn reroute(app: &App, args: &Args) {
    match args.load() {
        Ok(config) => app.reroute(config.sinks).await,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(sink = "*", error, "sink.reload.failed");
        }
    }
}

/// A file that is looked at for changes.
struct Watched {
    path: Option<PathBuf>,
    seen: Option<(SystemTime, u64)>,
}

impl Watched {
    fn new(path: Option<PathBuf>) -> Self {
        let mut watched = Self { path, seen: None };
        watched.seen = watched.stamp();
        watched
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let found = std::fs::metadata(self.path.as_ref()?).ok()?;
        Some((found.modified().ok()?, found.len()))
    }

    /// Resolves when the file is another than it was; dropping the future loses no change.
    async fn changed(&mut self) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.stamp();
            if now.is_some() && now != self.seen {
                self.seen = now;
                return;
            }
        }
    }
}

/// Makes room for as many connections as are allowed, where the system lets us: a shell's usual
/// 1,024 open files are fewer.
fn files_for(limits: &Limits) {
    let wanted = limits.connections.saturating_add(FILES_BESIDE);
    let now = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if enough(now.current) {
        return;
    }
    let most = now.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit {
        current: Some(most),
        maximum: now.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_err() || !enough(Some(most)) {
        tracing::warn!(
            open_files = getrlimit(Resource::Nofile).current,
            wanted,
            "node.open_files.few"
        );
    }
}

/// Lets those who wait hear of it, then ends.
async fn disk_failed() -> Exit {
    let advice = "what was not acknowledged is lost; look at the disk, then start again";
    tracing::error!(advice, "wal.fsync.failed");
    tokio::time::sleep(Duration::from_millis(200)).await;
    Exit::FSYNC
}
