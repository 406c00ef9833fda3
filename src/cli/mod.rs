//! The command line: what can be asked for, and which code the process ends with.

pub(crate) mod backends;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod cost;
pub(crate) mod ddl;
pub(crate) mod dlq;
pub(crate) mod exit;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod keys;
pub(crate) mod logging;
pub(crate) mod ocsf;
pub(crate) mod out;
pub(crate) mod place;
pub(crate) mod prices;
pub(crate) mod query;
pub(crate) mod quotas;
pub(crate) mod remote;
pub(crate) mod reprice;
pub(crate) mod rollup;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod sinks;
pub(crate) mod tail;
pub(crate) mod tenants;
pub(crate) mod trace;
pub(crate) mod upgrade;
pub(crate) mod verify;
pub(crate) mod wal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cli::exit::Exit;

/// Streaming analytics for AI-agent telemetry: OTLP, proxy audit and OCSF in, a lake and SQL out.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = exit::HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive, store and answer; prints its addresses as one JSON line when ready.
    Serve(serve::Args),
    /// Show it all on captured traffic: a server, the traffic, what was stored, what to try next.
    Demo(crate::demo::Args),
    /// Ask a running server in SQL.
    Query(query::Args),
    /// Sum up cost, calls, tokens and latency.
    #[command(subcommand)]
    Rollup(rollup::Command),
    /// Say what traffic cost and why, and hold it against a provider's own figures.
    #[command(subcommand)]
    Cost(cost::Command),
    /// Write cost into a file for other programs.
    #[command(subcommand)]
    Export(export::Command),
    /// Print the reference of the SQL tables, views, columns and functions.
    Schema,
    /// Print the statements that make a sink's tables.
    Ddl(ddl::Args),
    /// Recount: is what was accepted stored, set aside or pending, row for row?
    Verify(verify::Args),
    /// Price booked calls of a time anew, by the price lists of today.
    Reprice(reprice::Args),
    /// Say how sinks stand; pause them, let them go on.
    #[command(subcommand)]
    Sinks(sinks::Command),
    /// Look at what sinks refused for good; offer it again, or delete it.
    #[command(subcommand)]
    Dlq(dlq::Command),
    /// Print which backends this build was proven on, capability by capability.
    Backends(backends::Args),
    /// Look into a stopped node's write-ahead log, and mend it.
    #[command(subcommand)]
    Wal(wal::Command),
    /// Make, list, rotate and revoke the keys of tenants.
    #[command(subcommand)]
    Keys(keys::Command),
    /// List tenants and set what each may use.
    #[command(subcommand)]
    Tenants(tenants::Command),
    /// Look up prices, and what has none.
    #[command(subcommand)]
    Prices(prices::Command),
    /// Say how weir reads what it is sent.
    #[command(subcommand)]
    Explain(explain::Command),
    /// Hold security events against the schema of OCSF.
    #[command(subcommand)]
    Ocsf(ocsf::Command),
    /// Check and show the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Watch what arrives.
    Tail(tail::Args),
    /// Show one trace as a tree.
    Trace(trace::Args),
    /// Say how to point a product or an SDK at this server.
    Connect(connect::Args),
    /// Measure a server on this machine.
    Bench(crate::bench::Args),
    /// Say whether this weir reads a stopped node's directory, before it is upgraded.
    Upgrade(upgrade::Args),
    /// Print completions for a shell.
    Completions(completions::Args),
}

/// Runs the command that `args` name, and gives the code to end with.
pub(crate) fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() {
                Exit::USAGE
            } else {
                Exit::OK
            };
            // A closed pipe leaves nobody to tell.
            let _ = error.print();
            return code.into();
        }
    };
    match dispatch(cli.command) {
        Ok(exit) => exit.into(),
        Err(error) => {
            out::complain(&format!("weir: {error:#}"));
            exit::code_of(&error).into()
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Config(command) => block_on(config::run(command)),
        Command::Schema => schema::run(),
        Command::Ddl(args) => ddl::run(args),
        Command::Ocsf(command) => ocsf::run(&command),
        Command::Connect(args) => connect::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Upgrade(args) => block_on(upgrade::run(args)),
        Command::Wal(command) => wal::run(command),
        Command::Backends(args) => backends::run(&args),
        Command::Sinks(command) => block_on(sinks::run(command)),
        Command::Dlq(command) => block_on(dlq::run(command)),
        Command::Keys(command) => keys::run(command),
        Command::Tenants(command) => tenants::run(command),
        Command::Explain(command) => explain::run(command),
        Command::Prices(command) => block_on(prices::run(command)),
        Command::Serve(args) => block_on(serve::run(args)),
        Command::Demo(args) => block_on(crate::demo::run(args)),
        Command::Query(args) => block_on(query::run(args)),
        Command::Export(command) => block_on(export::run(command)),
        Command::Cost(command) => block_on(cost::run(command)),
        Command::Rollup(command) => block_on(rollup::run(command)),
        Command::Verify(args) => block_on(verify::run(args)),
        Command::Reprice(args) => block_on(reprice::run(args)),
        Command::Tail(args) => block_on(tail::run(args)),
        Command::Trace(args) => block_on(trace::run(args)),
        Command::Bench(args) => block_on(crate::bench::run(args)),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let exit = runtime.block_on(Box::pin(work));
    // What still runs after the command's own shutdown must not hold the process.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    exit
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_ends_with_the_usage_code() {
        let code = run(["weir", "serve", "--no-such-flag"].map(OsString::from));
        assert_eq!(
            format!("{code:?}"),
            format!("{:?}", ExitCode::from(Exit::USAGE))
        );
    }
}
