//! `weir cost`: whether the figures can be trusted.

mod export_file;
mod names;
mod reconcile;

use clap::Subcommand;

use crate::cli::exit::Exit;

/// What is asked of a cost.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold the ledger against a provider's usage or cost export, by day and model.
    Reconcile(reconcile::Args),
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Reconcile(args) => reconcile::run(args).await,
    }
}
