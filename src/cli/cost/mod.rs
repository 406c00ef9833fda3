//! `weir cost`: what traffic cost, and why.

mod explain;
mod render;

use crate::cli::exit::Exit;

/// What can be asked about cost.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show a trace as a tree: what is booked where, at which price, by which rule, and what is not.
    Explain(explain::Args),
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Explain(args) => explain::run(args).await,
    }
}
