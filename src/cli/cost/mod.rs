//! `weir cost`: what traffic cost, why, and whether the figures can be trusted.

mod explain;
mod export_file;
mod marks;
mod names;
mod prices;
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
    /// List the periods that were marked as reconciled, beside what the ledger has of them now.
    Marks(marks::Args),
    /// Take such a mark away: its period is an estimate again.
    Unmark(marks::Unmark),
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Explain(args) => explain::run(args).await,
        Command::Reconcile(args) => reconcile::run(args).await,
        Command::Marks(args) => marks::run(args).await,
        Command::Unmark(args) => marks::unmark(args).await,
    }
}
