//! `weir completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::exit::Exit;
use crate::cli::{Cli, out};

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell.
    shell: Shell,
}

/// Prints the script that the shell sources.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "weir", &mut script);
    out::bytes(&script)?;
    Ok(Exit::OK)
}
