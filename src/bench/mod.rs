//! `weir bench`: what a server does with spans of agents, measured from outside.
//!
//! ```text
//! template of a body --copy, new ids--> [compress] --> N connections --> server (its own process)
//!                                                          |                |
//!                                                     latency of acks   CPU and memory by /proc
//! ```
//!
//! The server is a child process on free ports with a fresh directory, so that its CPU time is its
//! own; or any running one (`--url`), then without those figures. Bodies differ in all their ids,
//! since a server may fold what is sent twice. The load is closed (each connection sends when it was
//! answered) or, with `--rate`, open: then latency counts from when a body was due.

mod figures;
mod generate;
mod load;
mod server;
mod spans;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use self::figures::Figures;
use self::load::{Load, Target};
use self::server::Server;
use crate::cli::exit::Exit;
use crate::cli::out;

/// What else there is beside measuring.
#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Make traffic of agents and say what it costs: to files, to a server, or the truth alone.
    Generate(generate::Args),
}

/// What `weir bench` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Measure this server instead of one of its own; with --grpc, ADDR:PORT of its OTLP/gRPC.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Where the own server keeps its data; unset, a fresh folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Spans of a body.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    body: u32,
    /// Bytes of conversation (prompt and answer) in each span, as with content capture on.
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    content: u32,
    /// Connections.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// How bodies are compressed.
    #[arg(long, value_enum, default_value = "none")]
    encoding: Encoding,
    /// Send over OTLP/gRPC instead of HTTP.
    #[arg(long)]
    grpc: bool,
    /// Spans a second; unset, as many as are answered.
    #[arg(long, value_name = "SPANS")]
    rate: Option<u32>,
    /// Count bodies that the server sheds, and go on; otherwise the first ends the run.
    #[arg(long)]
    count_refused: bool,
    /// How long to measure, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u32,
    /// How long to send before that, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    warmup: u32,
    /// Keep the own server on so many cores.
    #[arg(long, value_name = "N")]
    server_cpus: Option<u32>,
    /// Whether the own server commits to the lake while it is measured.
    #[arg(long, value_enum, default_value = "on")]
    lake: Lake,
    /// Print the figures as one JSON line.
    #[arg(long)]
    json: bool,
}

/// How bodies are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Encoding {
    /// Not at all.
    None,
    /// By gzip, at its quickest.
    Gzip,
    /// By zstd, at level 1.
    Zstd,
}

/// Whether the lake is written meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lake {
    /// As configured by default.
    On,
    /// No commit before the end: the accept path alone.
    Off,
}

/// Runs it.
///
/// # Errors
///
/// Where the server does not start, or refuses what is sent.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    if let Some(Command::Generate(args)) = args.command {
        return Box::pin(generate::run(args)).await;
    }
    let server = match &args.url {
        Some(_) => None,
        None => Some(Server::start(args.data_dir.clone(), args.server_cpus, args.lake).await?),
    };
    let load = Load {
        target: target(&args, server.as_ref())?,
        spans: args.body,
        connections: args.connections,
        encoding: args.encoding,
        rate: args.rate,
        content: usize::try_from(args.content)?,
        count_refused: args.count_refused,
    };
    let warmup = Duration::from_secs(args.warmup.into());
    let measured = load.run(
        warmup,
        Duration::from_secs(args.seconds.into()),
        server.as_ref(),
    );
    let measured = Box::pin(measured).await;
    // The server is stopped before any error is told, so that none is left behind.
    let stopped = match server {
        Some(server) => server.stop().await,
        None => Ok(()),
    };
    let figures = Figures::of(&measured?);
    stopped?;
    out::line(&if args.json {
        figures.json().to_string()
    } else {
        figures.text()
    })?;
    Ok(Exit::OK)
}

fn target(args: &Args, server: Option<&Server>) -> anyhow::Result<Target> {
    if let Some(server) = server {
        let ready = server.addresses();
        return Ok(if args.grpc {
            Target::Grpc(ready.otlp_grpc)
        } else {
            Target::Http(format!("http://{}/v1/traces", ready.otlp_http))
        });
    }
    let url = args
        .url
        .as_deref()
        .unwrap_or_default()
        .trim_end_matches('/');
    if args.grpc {
        let address = url.trim_start_matches("http://");
        let address: SocketAddr = address.parse().context("--url is ADDR:PORT for --grpc")?;
        return Ok(Target::Grpc(address));
    }
    Ok(Target::Http(format!("{url}/v1/traces")))
}
