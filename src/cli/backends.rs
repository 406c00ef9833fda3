//! `weir backends`: what this build was proven on.

use crate::app::backends::{self, Standing};
use crate::cli::exit::Exit;
use crate::cli::out;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.json {
        out::line(&backends::json().to_string())?;
    } else {
        out::line(text().trim_end())?;
    }
    Ok(Exit::OK)
}

fn text() -> String {
    let mut text = String::new();
    for backend in backends::all() {
        text.push_str(&format!("{}\n", backend.name));
        for (capability, standing) in &backend.standing {
            let engine = match standing {
                Standing::Proven(engine) => format!("on {engine}"),
                Standing::NotRun | Standing::Absent => String::new(),
            };
            let line = format!("  {capability:<16} {:<8} {engine}", standing.word());
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}
