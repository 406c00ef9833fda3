//! `weir config check|print|schema|docs`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::config::{Sources, document, load};

/// What can be done with the configuration.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Report every fault of the file and the environment; exit code 2 where there is one.
    Check(Source),
    /// Print what is in force, secrets masked.
    Print(Source),
    /// Print the JSON Schema of the file.
    Schema,
    /// Print the reference page.
    Docs,
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
pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Check(source) => {
            load(&source.sources())?;
            out::line("the configuration is good")?;
        }
        Command::Print(source) => {
            out::bytes(document::yaml(&load(&source.sources())?).as_bytes())?;
        }
        Command::Schema => out::line(&serde_json::to_string_pretty(&document::schema())?)?,
        Command::Docs => out::bytes(document::markdown().as_bytes())?,
    }
    Ok(Exit::OK)
}

impl Source {
    fn sources(self) -> Sources {
        Sources::of_process(self.config.or(self.file), self.set)
    }
}
