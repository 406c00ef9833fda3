//! Log lines on stderr: for people by default, JSON where machines read them.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::Log;

/// Starts logging as configured.
///
/// # Errors
///
/// Where the level's directives cannot be read; nothing is logged then.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(quieted(&log.level))
        .context("`log.level` is not a level; write `info`, or `info,weir_lake=debug`")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process, as tests do, keeps the first.
    let _ = if log.format == "json" {
        builder.json().flatten_event(true).try_init()
    } else {
        use std::io::IsTerminal as _;
        let colour = std::io::stderr().is_terminal();
        builder.with_target(false).with_ansi(colour).try_init()
    };
    Ok(())
}

/// A bare level is meant for weir; the libraries below stay at warnings.
fn quieted(level: &str) -> String {
    if level.contains(['=', ',']) || matches!(level, "off" | "error" | "warn") {
        return level.to_owned();
    }
    let ours = [
        "weir",
        "weir_ingest",
        "weir_lake",
        "weir_sinks",
        "weir_queries",
        "weir_store",
    ];
    let mut directives = vec!["warn".to_owned()];
    directives.extend(ours.iter().map(|name| format!("{name}={level}")));
    directives.join(",")
}
