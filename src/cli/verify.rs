//! `weir verify`: recount, row for row, in the sink itself.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use weir_ledger::Account;
use weir_model::{Clock, SystemClock};

use crate::app::account;
use crate::app::parts::Stores;
use crate::app::prices::PriceBook;
use crate::app::sinks;
use crate::cli::exit::Exit;
use crate::cli::remote::Remote;
use crate::cli::{out, serve};
use crate::config::Config;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Recount a stopped node in this directory instead of asking a server.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The stopped node's YAML file, where its lake lies elsewhere.
    #[arg(long, value_name = "FILE", requires = "data_dir")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs it; exit code 1 where a row is missing or too many.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let report = match &args.data_dir {
        Some(_) => Box::pin(offline(&args)).await?,
        None => {
            let answer = args.remote.client()?.get("/v1/admin/verify").await?;
            serde_json::from_slice(&answer.success()?)?
        }
    };
    if args.json {
        out::line(&report.to_string())?;
    } else {
        out::line(&text(&report))?;
    }
    let ok = report.get("ok").and_then(Value::as_bool).unwrap_or(false);
    Ok(if ok { Exit::OK } else { Exit::FAILURE })
}

async fn offline(args: &Args) -> anyhow::Result<Value> {
    let config = serve::Args {
        data_dir: args.data_dir.clone(),
        config: args.config.clone(),
        ..serve::Args::default()
    };
    let config = config.load()?;
    let missing = !config.data_dir.try_exists()?;
    anyhow::ensure!(
        !missing,
        "there is no directory {}",
        config.data_dir.display()
    );
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stores = Stores::open(&config, &clock).await?;
    let parts = (&*stores.log, &stores.lakes, &*stores.dead);
    let report = match sinks::stopped(&config, &stores.log) {
        Ok(sinks) => Box::pin(account::recount_parts(parts, &sinks)).await,
        Err(error) => Err(error),
    };
    let ledger = match config.ledger.enabled {
        true => Some(ledger_of(&config, &stores).await),
        false => None,
    };
    stores.log.close().await?;
    let mut report = report?;
    report.ledger = ledger.transpose()?;
    Ok(report.json())
}

async fn ledger_of(config: &Config, stores: &Stores) -> anyhow::Result<Account> {
    let book = Arc::new(PriceBook::open(config)?);
    Box::pin(account::of_ledger(&stores.lakes, &book)).await
}

/// The ledger's account as lines; nothing where it was not computed.
fn ledger(report: &Value) -> String {
    let Some(account) = report.get("ledger").filter(|l| l.is_object()) else {
        return String::new();
    };
    let number = |name: &str| account.get(name).and_then(Value::as_u64).unwrap_or(0);
    let text = |name: &str| account.get(name).and_then(Value::as_str).unwrap_or("?");
    let ok = account.get("ok").and_then(Value::as_bool).unwrap_or(false);
    let mut out = format!(
        "\nledger: {} bookings of {} USD; all spans, computed once: {} calls of {} USD: {}\n",
        number("bookings"),
        text("booked_usd"),
        number("calls"),
        text("computed_usd"),
        if ok { "equal" } else { "NOT equal" },
    );
    if number("spans_gone") > 0 {
        out.push_str(&format!(
            "        {} bookings of {} USD are of traces whose spans are no longer in the lake\n",
            number("spans_gone"),
            text("spans_gone_usd"),
        ));
    }
    if number("event_bookings") > 0 {
        out.push_str(&format!(
            "        {} bookings of {} USD are of telemetry events and log records\n",
            number("event_bookings"),
            text("events_booked_usd"),
        ));
    }
    for (name, what) in [
        ("wrong_traces", "traces are booked wrongly"),
        ("wrong_events", "events are booked wrongly"),
        ("pending_batches", "batches are yet to be booked"),
    ] {
        if number(name) > 0 {
            out.push_str(&format!("        {} {what}\n", number(name)));
        }
    }
    out.push('\n');
    out
}

/// The report as a table.
pub(crate) fn text(report: &Value) -> String {
    let mut out = format!(
        "{:<16} {:<12} {:>12} {:>12} {:>10} {:>10} {:>10} {:>6} {:>11}\n",
        "dataset",
        "sink",
        "accepted",
        "stored",
        "set aside",
        "pending",
        "routed out",
        "lost",
        "difference"
    );
    let lines = report.get("lines").and_then(Value::as_array);
    for line in lines.into_iter().flatten() {
        let text = |name: &str| {
            line.get(name)
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned()
        };
        let number = |name: &str| line.get(name).and_then(Value::as_i64).unwrap_or(0);
        out.push_str(&format!(
            "{:<16} {:<12} {:>12} {:>12} {:>10} {:>10} {:>10} {:>6} {:>11}\n",
            text("dataset"),
            text("sink"),
            number("accepted"),
            number("stored"),
            number("set_aside"),
            number("pending"),
            number("routed_out"),
            number("lost"),
            number("difference"),
        ));
    }
    out.push_str(&ledger(report));
    let uncounted = report.get("uncounted").and_then(Value::as_array);
    for sink in uncounted.into_iter().flatten() {
        let text = |name: &str| sink.get(name).and_then(Value::as_str).unwrap_or("?");
        let (name, error) = (text("sink"), text("error"));
        out.push_str(&format!("{name} could not be counted: {error}\n"));
    }
    let says = |name: &str| report.get(name).and_then(Value::as_bool).unwrap_or(false);
    out.push_str(if says("ok") {
        "accepted = stored + set aside + pending + routed out: every row is where it should be"
    } else if says("adds_up") {
        "every row is where it should be in the sinks that could be counted"
    } else {
        "the account does NOT close: rows are missing or too many; keep the data directory and \
         report it"
    });
    out
}
