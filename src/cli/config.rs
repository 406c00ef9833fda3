//! `weir config check|print|schema|docs`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;

use crate::app::sinks::{build, told};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::config::{Faults, Sources, document, load};

/// How long a sink has to say what it is.
const PROBE_MAX: Duration = Duration::from_secs(20);

/// What can be done with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Report every fault of the file and the environment; exit code 2 where there is one.
    Check(Check),
    /// Print what is in force, secrets masked.
    Print(Source),
    /// Print the JSON Schema of the file.
    Schema,
    /// Print the reference page.
    Docs,
}

/// What is checked.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    source: Source,
    /// Also ask every sink what it is and whether it can be used; exit code 1 where one cannot.
    #[arg(long)]
    connect: bool,
}

/// Which configuration.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Source {
    /// The YAML file.
    #[arg(value_name = "FILE", env = "WEIR_CONFIG")]
    file: Option<PathBuf>,
    /// The YAML file, as `weir serve` takes it.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    config: Option<PathBuf>,
    /// A setting, over file and environment.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
}

/// Splits `NAME=VALUE`.
pub(crate) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_owned(), value.to_owned())),
        None => Err("NAME=VALUE is wanted, as `query.timeout=30s`".into()),
    }
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check(check) => return Box::pin(run_check(check)).await,
        Command::Print(source) => {
            out::bytes(document::yaml(&load(&source.sources())?).as_bytes())?;
        }
        Command::Schema => out::line(&serde_json::to_string_pretty(&document::schema())?)?,
        Command::Docs => out::bytes(document::markdown().as_bytes())?,
    }
    Ok(Exit::OK)
}

async fn run_check(check: Check) -> anyhow::Result<Exit> {
    let config = load(&check.source.sources())?;
    let (mut sinks, mut faults) = (Vec::new(), Vec::new());
    for (name, sink) in &config.sinks {
        match build(name, sink) {
            Ok(built) => sinks.push(built),
            Err(error) => faults.push(format!("`sinks.{name}`: {}", told(error.as_ref()))),
        }
    }
    if !faults.is_empty() {
        return Err(Faults(faults).into());
    }
    out::line("the configuration is good")?;
    let mut exit = Exit::OK;
    for sink in sinks.iter().filter(|_| check.connect) {
        let probed = tokio::time::timeout(PROBE_MAX, sink.probe()).await;
        let line = match probed {
            Ok(Ok(engine)) => format!("sink {}: {} {}", sink.name(), engine.name, engine.version),
            Ok(Err(error)) => {
                exit = Exit::FAILURE;
                format!("sink {}: NOT usable: {}", sink.name(), told(error.as_ref()))
            }
            Err(_) => {
                exit = Exit::FAILURE;
                let seconds = PROBE_MAX.as_secs();
                format!(
                    "sink {}: NOT usable: no answer within {seconds} s",
                    sink.name()
                )
            }
        };
        out::line(line.trim_end())?;
    }
    Ok(exit)
}

impl Source {
    fn sources(self) -> Sources {
        Sources::of_process(self.config.or(self.file), self.set)
    }
}
