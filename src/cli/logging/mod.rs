//! Log lines on stderr: for people by default, JSON where machines read them.
//!
//! The message of a line is the name of an event, which stays the same over releases
//! (`docs/events.md` lists them); what is particular stands in fields. No line quotes a row, a key or a
//! prompt.

#[cfg(test)]
mod events;

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::Log;

/// Lines that say that something is wrong, counted for metrics.
static ERRORS: AtomicU64 = AtomicU64::new(0);
/// Lines that say that something was unexpected.
static WARNINGS: AtomicU64 = AtomicU64::new(0);

/// How many lines were logged by this process, for the levels that matter.
pub(crate) fn counted() -> [(&'static str, u64); 2] {
    [
        ("error", ERRORS.load(Ordering::Relaxed)),
        ("warn", WARNINGS.load(Ordering::Relaxed)),
    ]
}

/// Counts lines as they are logged.
struct Counting;

impl<S: Subscriber> Layer<S> for Counting {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        match *event.metadata().level() {
            Level::ERROR => ERRORS.fetch_add(1, Ordering::Relaxed),
            Level::WARN => WARNINGS.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// Starts logging as configured.
///
/// # Errors
///
/// Where the level's directives cannot be read; nothing is logged then.
pub(crate) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(quieted(&log.level))
        .context("`log.level` is not a level; write `info`, or `info,weir_lake=debug`")?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if log.format == "json" {
        lines.json().flatten_event(true).boxed()
    } else {
        use std::io::IsTerminal as _;
        let colour = std::io::stderr().is_terminal();
        lines.with_target(false).with_ansi(colour).boxed()
    };
    // A second start in one process, as tests do, keeps the first.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(Counting)
        .with(lines)
        .try_init();
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
