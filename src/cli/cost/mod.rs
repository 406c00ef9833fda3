//! `weir cost`: what traffic cost, why, and whether the figures can be trusted.

mod explain;
mod export_file;
mod names;
mod reconcile;
mod render;

use clap::Subcommand;

use crate::cli::exit::Exit;

/// What can be asked about cost.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Show a trace as a tree: what is booked where, at which price, by which rule, and what is not.
    Explain(explain::Args),
    /// Hold the ledger against a provider's usage or cost export, by day and model.
    Reconcile(reconcile::Args),
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Explain(args) => explain::run(args).await,
        Command::Reconcile(args) => reconcile::run(args).await,
    }
}
