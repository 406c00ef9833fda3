//! The ledgers beside the node, one for each lake: their threads, their leases, and what can be
//! asked of them.
//!
//! A trace is one tenant's, and so lies in one lake: the ledgers know nothing of each other.
//!
//! It computes for long stretches, so it has a thread of its own among those that may block; only
//! the lease's signs of life run beside the requests.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_lake::{Lake, Lakes};
use weir_ledger::{
    Account, LEDGER_NODE, LedgerConfig, LedgerError, OWN_LEDGER_NODE, PriceLists, Shown, Status,
};
use weir_model::{Clock, NodeId, TenantId};
use weir_transforms::Prices;

use crate::app::parts::size;
use crate::app::prices::{Named, PriceBook};
use crate::config::Config;

/// How long a step may take to its end at a stop; cut off, it is taken again by whoever is next.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// How long after a panic the ledger is opened again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The prices that a node keeps, as the ledger asks for them.
#[derive(Debug)]
struct Book(Arc<PriceBook>);

impl PriceLists for Book {
    fn of(&self, tenant: &TenantId) -> Arc<dyn Prices> {
        Arc::new(Named::of(&self.0, tenant))
    }
}

/// The prices that spans are booked by.
pub(crate) fn price_lists(book: &Arc<PriceBook>) -> Arc<dyn PriceLists> {
    Arc::new(Book(Arc::clone(book)))
}

/// The ledgers in `lakes`, with the names that their bookings are under.
pub(crate) fn ledgers(lakes: &Lakes) -> impl Iterator<Item = (&Arc<Lake>, &'static NodeId)> {
    let own = lakes.own().map(|(lake, _)| (lake, &*OWN_LEDGER_NODE));
    std::iter::once((lakes.shared(), &*LEDGER_NODE)).chain(own)
}

/// The ledgers of a running node.
#[derive(Debug)]
pub(crate) struct Booking {
    status: Vec<Arc<Mutex<Arc<Status>>>>,
    stop: watch::Sender<bool>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    clock: Arc<dyn Clock>,
}

/// What a ledger works on.
#[derive(Clone, Debug)]
struct Parts {
    lake: Arc<Lake>,
    prices: Arc<dyn PriceLists>,
    clock: Arc<dyn Clock>,
    config: LedgerConfig,
    node: String,
}

/// The own configuration of the ledger in `lake`, one of `of`: what all may take is shared evenly.
pub(crate) fn ledger_config(
    config: &Config,
    (lake, node): (&Lake, &NodeId),
    of: &Lakes,
) -> LedgerConfig {
    let set = &config.ledger;
    let count = of.all().count().max(1);
    let mut folder = config.data_dir.join("ledger");
    if node != &*LEDGER_NODE {
        // What is kept of one lake must never be taken for what is kept of another.
        let place = blake3::hash(lake.url().as_str().as_bytes()).to_hex();
        folder = config.data_dir.join("ledgers").join(place.as_str());
    }
    LedgerConfig {
        node: node.clone(),
        folder,
        memory_bytes: size(set.memory) / count,
        disk_bytes: set.facts_disk / u64::try_from(count).unwrap_or(1),
        facts_kept: set.facts_kept,
        lookback: set.lookback,
        keep_every: set.facts_written,
        interval: set.interval,
        lease: set.lease,
    }
}

impl Booking {
    /// Starts the ledgers of `node`, one for each lake; `None` where they are switched off.
    ///
    /// # Errors
    ///
    /// Where a store cannot be opened.
    pub(crate) fn start(
        config: &Config,
        lakes: &Lakes,
        (clock, prices): (&Arc<dyn Clock>, &Arc<PriceBook>),
        node: &str,
    ) -> Result<Option<Self>, Box<dyn std::error::Error + Send + Sync>> {
        if !config.ledger.enabled {
            return Ok(None);
        }
        let (stop, stopped) = watch::channel(false);
        let mut opened = Vec::new();
        for (lake, name) in ledgers(lakes) {
            let parts = Parts {
                lake: Arc::clone(lake),
                prices: price_lists(prices),
                clock: Arc::clone(clock),
                config: ledger_config(config, (lake, name), lakes),
                node: node.to_owned(),
            };
            opened.push((parts.open()?, parts));
        }
        let (mut all, mut tasks) = (Vec::new(), Vec::new());
        for ((ledger, lease), parts) in opened {
            let (held, holds) = watch::channel(false);
            let status = Arc::new(Mutex::new(ledger.status()));
            all.push(Arc::clone(&status));
            let length = parts.config.lease;
            let keep = weir_ledger::keep_lease(lease, length, held, stopped.clone());
            tasks.push(tokio::spawn(keep));
            let work = work(parts, ledger, status, (holds, stopped.clone()));
            tasks.push(tokio::spawn(work));
        }
        Ok(Some(Self {
            status: all,
            stop,
            tasks: Mutex::new(tasks),
            clock: Arc::clone(clock),
        }))
    }

    /// How they stand, together.
    pub(crate) fn shown(&self) -> Shown {
        let now_us = self.clock.now_us();
        let each = self.status.iter().map(|status| {
            let status = Arc::clone(&status.lock());
            status.shown(now_us)
        });
        each.reduce(Shown::with).unwrap_or_default()
    }

    /// Which of them this node is the one to book, as far as it knows, in the order of [`ledgers`].
    pub(crate) fn books(&self) -> Vec<bool> {
        let now_us = self.clock.now_us();
        let status = self.status.iter().map(|status| Arc::clone(&status.lock()));
        status.map(|status| status.shown(now_us).booking).collect()
    }

    /// Stops them: the last commit is made or not, and the stores are written.
    pub(crate) async fn stop(&self) {
        self.stop.send_replace(true);
        let tasks = std::mem::take(&mut *self.tasks.lock());
        // A task that has panicked has nothing more to stop.
        let all = futures::future::join_all(tasks);
        if tokio::time::timeout(STOP_WITHIN, all).await.is_err() {
            tracing::warn!("ledger.stop.cut");
        }
    }
}

impl Parts {
    fn open(&self) -> Result<(weir_ledger::Ledger, weir_lake::Lease), LedgerError> {
        let prices = Arc::clone(&self.prices);
        let own = (self.config.clone(), self.node.as_str());
        weir_ledger::open(&self.lake, prices, &self.clock, own)
    }
}

/// Runs the ledger, again where it ended before the stop.
async fn work(
    parts: Parts,
    first: weir_ledger::Ledger,
    status: Arc<Mutex<Arc<Status>>>,
    (holds, mut stopped): (watch::Receiver<bool>, watch::Receiver<bool>),
) {
    let mut next = Some(first);
    while let Some(ledger) = next.take() {
        *status.lock() = ledger.status();
        let runtime = tokio::runtime::Handle::current();
        let (holds, stop) = (holds.clone(), stopped.clone());
        let run = move || {
            let run = weir_ledger::run(ledger, Vec::new(), holds, stop);
            runtime.block_on(run);
        };
        let ended = tokio::task::spawn_blocking(run).await;
        if ended.is_ok() || *stopped.borrow() {
            return;
        }
        tracing::error!("ledger.panicked");
        while next.is_none() {
            let pause = tokio::time::timeout(AGAIN_AFTER, stopped.wait_for(|stop| *stop));
            if pause.await.is_ok() {
                return;
            }
            match parts.open() {
                Ok((ledger, _)) => next = Some(ledger),
                Err(error) => tracing::warn!(%error, "ledger.step.failed"),
            }
        }
    }
}

/// The ledger's account as an answer; amounts in US dollars, as text to the last digit.
pub(crate) fn account_json(account: &Account) -> serde_json::Value {
    serde_json::json!({
        "ok": account.closes(),
        "bookings": account.bookings,
        "booked_usd": dollars(account.booked),
        "calls": account.calls,
        "computed_usd": dollars(account.computed),
        "spans_gone": account.gone,
        "spans_gone_usd": dollars(account.gone_amount),
        "wrong_traces": account.wrong_traces,
        "event_bookings": account.event_bookings,
        "events_booked_usd": dollars(account.events_booked),
        "events_gone": account.events_gone,
        "wrong_events": account.wrong_events,
        "pending_batches": account.pending_batches,
    })
}

/// An amount of 10^-12 US dollars as decimal text.
pub(crate) fn dollars(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let size = amount.unsigned_abs();
    let one = 1_000_000_000_000;
    format!("{sign}{}.{:012}", size / one, size % one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_to_the_last_digit() {
        assert_eq!(dollars(-1), "-0.000000000001");
        assert_eq!(dollars(12_000_000_000_034), "12.000000000034");
    }
}
