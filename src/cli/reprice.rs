//! `weir reprice`: price what was booked anew, by the lists of today.
//!
//! It makes an entry in the ledger's order, an object beside the tables. Whichever node books sees
//! it within seconds and books the difference; what was booked before stays in the ledger.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, NaiveDate, NaiveTime};
use serde_json::{Value, json};
use weir_lake::{Lake, Lakes};
use weir_ledger::{Ledger, LedgerConfig, Preview, PriceLists, Reprice};
use weir_model::{Clock as _, SystemClock, TenantId};

use crate::app::ledger::{dollars, ledger_config, ledgers, price_lists};
use crate::app::parts::lakes;
use crate::app::prices::PriceBook;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::Place;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Calls that began at or after this: `2026-11-01` or `2026-11-01T12:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: i64,
    /// Calls that began before this.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: i64,
    /// Only this tenant; may be given several times.
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// Microseconds since the epoch of a day or a time.
fn moment(text: &str) -> Result<i64, String> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros());
    }
    let at = DateTime::parse_from_rfc3339(text);
    at.map(|at| at.timestamp_micros())
        .map_err(|_| "a day as `2026-11-01` or a time as `2026-11-01T12:00:00Z` is wanted".into())
}

/// Runs it.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    ensure!(args.from < args.to, "--from must lie before --to");
    let config = args.place.config()?;
    let lakes = lakes(&config)?;
    let book = Arc::new(PriceBook::open(&config)?);
    let prices = price_lists(&book);
    let mut all = Vec::new();
    for (lake, name) in ledgers(&lakes) {
        let entry = entry(&args, (&lakes, lake), prices.as_ref()).await?;
        if !entry.lists.is_empty() {
            all.push((lake, name, entry));
        }
    }
    ensure!(!all.is_empty(), "nothing is booked of that time");
    let mut sum = Preview::default();
    let (mut lists, mut numbers) = (BTreeMap::new(), Vec::new());
    for (lake, name, entry) in all {
        // A look from outside: what it keeps is only for this look, and all of it is read when
        // wanted.
        let scratch = Scratch::new(&config.data_dir)?;
        let own = LedgerConfig {
            folder: scratch.0.clone(),
            facts_kept: Duration::ZERO,
            lookback: Duration::ZERO,
            ..ledger_config(&config, (lake, name), &lakes)
        };
        let (lake, prices) = (Arc::clone(lake), Arc::clone(&prices));
        let mut ledger = Ledger::open(lake, prices, Arc::new(SystemClock), own)?;
        sum.add(&Box::pin(ledger.preview(&entry)).await?);
        if !args.dry_run {
            numbers.push(ledger.enter(&entry).await?);
        }
        lists.extend(entry.lists);
    }
    if args.place.json() {
        out::line(&as_json(&lists, &sum, &numbers).to_string())?;
    } else {
        out::line(&text(&sum, &numbers))?;
    }
    Ok(Exit::OK)
}

/// The entry for the ledger of `lake`: each tenant by the list that its new calls are priced by.
async fn entry(
    args: &Args,
    (lakes, lake): (&Lakes, &Arc<Lake>),
    prices: &dyn PriceLists,
) -> anyhow::Result<Reprice> {
    let named = args
        .tenant
        .iter()
        .map(|t| TenantId::new(t).context("--tenant"));
    let mut tenants: Vec<TenantId> = named.collect::<Result<_, _>>()?;
    tenants.retain(|tenant| lakes.of(tenant).any(|of| Arc::ptr_eq(of, lake)));
    if args.tenant.is_empty() {
        tenants.extend(weir_ledger::tenants(lake, (args.from, args.to)).await?);
    }
    let list = |tenant: &TenantId| {
        let name = prices.of(tenant).under(None).name().to_owned();
        (tenant.as_str().to_owned(), name)
    };
    Ok(Reprice {
        from_us: args.from,
        to_us: args.to,
        made_us: SystemClock.now_us(),
        lists: tenants.iter().map(list).collect(),
    })
}

/// A folder that goes with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(data_dir: &Path) -> std::io::Result<Self> {
        let folder = data_dir.join(format!("reprice-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is small, and named after what made it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The entry's number, and where several lakes have a ledger, those of all entries.
fn as_json(lists: &BTreeMap<String, String>, preview: &Preview, numbers: &[i64]) -> Value {
    json!({
        "entry": numbers.first(),
        "entries": numbers,
        "lists": lists,
        "traces": preview.traces,
        "calls": preview.calls,
        "before_usd": dollars(preview.before),
        "after_usd": dollars(preview.after),
        "difference_usd": dollars(preview.after - preview.before),
    })
}

fn text(preview: &Preview, numbers: &[i64]) -> String {
    let what = match numbers {
        [] => "nothing was changed (--dry-run)".to_owned(),
        [n] => format!("entry {n} of the ledger; the node that books applies it within seconds"),
        all => format!(
            "an entry in each of {} ledgers; the nodes that book apply them within seconds",
            all.len()
        ),
    };
    format!(
        "{} traces have calls of that time; {} calls change from {} to {} USD, by {}\n{what}",
        preview.traces,
        preview.calls,
        dollars(preview.before),
        dollars(preview.after),
        dollars(preview.after - preview.before),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_understood() {
        assert_eq!(moment("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(moment("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(moment("yesterday").is_err());
    }
}
