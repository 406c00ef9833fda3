//! Development tasks, run as `cargo xtask NAME`.
//!
//! * `test` provisions what the tests need, runs both tiers of tests, the linters and the
//!   documentation; continuous integration runs exactly it.
//! * `torture` runs the crash tests of the heavy tier for as long as one likes.
//!
//! No task knows a rule that the tests do not know: all checks live in `tests/` or beside the code.

#![expect(
    clippy::print_stdout,
    reason = "a task talks to the person who started it"
)]

mod provision;
mod report;
mod servers;
mod tree;
mod verify;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of weir")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Provision what the tests need, then run tests, clippy, format and documentation
    Test(verify::TestArgs),
    /// Run the crash tests with numbers of your own; bounded by them alone
    Torture(verify::TortureArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().task {
        Task::Test(args) => verify::test(&args),
        Task::Torture(args) => verify::torture(&args),
    }
}
