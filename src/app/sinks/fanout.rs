//! One delivery for each sink, all from the same log and lake.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use weir_ingest::admission::Budget;
use weir_ingest::log::Log;
use weir_lake::Lakes;
use weir_ledger::LEDGER_NODE;
use weir_model::{BatchSource, Dataset};
use weir_sinks::{
    ByDataset, DeadLetters, Delivery, DeliveryConfig, Derived, Refill, Resumed, RouteBook, Routed,
    Sink,
};

use crate::app::Node;
use crate::app::metered::Metered;
use crate::app::sinks::Built;
use crate::app::sinks::outlet::{self, Outlet, route_of};
use crate::app::sinks::valve::Valve;
use crate::app::start_error::StartError;
use crate::config::sinks::deliverable;
use crate::config::{Config, SinkConfig, Sinks};
use crate::telemetry::Telemetry;

/// How often sinks are looked at: whether they are too far behind, and who books the ledger.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What writes to sinks have in common: who traces them, and the memory that they share.
pub(crate) type Watch = (Telemetry, (Budget, Arc<AtomicUsize>));

/// Where all sinks get their rows.
#[derive(Clone, Debug)]
pub(crate) struct Supply {
    /// The log.
    pub(crate) log: Arc<Log>,
    /// The tables.
    pub(crate) lakes: Lakes,
    /// What sinks refuse for good.
    pub(crate) dead: Arc<DeadLetters>,
}

/// All sinks besides the lake.
#[derive(Debug)]
pub(crate) struct Fanout {
    outlets: Vec<Outlet>,
    supply: Supply,
    /// Whether this node books the ledger, and so delivers it.
    books: watch::Sender<bool>,
    /// Held while a dead letter is replayed.
    replaying: tokio::sync::Mutex<()>,
}

impl Fanout {
    /// Starts a delivery for each of the sinks that were `built` from `config`; a destination that
    /// is away is no error. Blocks for the disk.
    ///
    /// # Errors
    ///
    /// Where what a sink has to remember cannot be read or written.
    pub(crate) fn start(
        config: &Config,
        built: Built,
        supply: Supply,
        watch: &Watch,
    ) -> Result<Self, StartError> {
        let books = watch::Sender::new(false);
        let source = source(&supply, config.ledger.interval, books.subscribe());
        let folder = config.data_dir.join("sinks");
        let mut fanout = Self {
            outlets: Vec::new(),
            supply,
            books,
            replaying: tokio::sync::Mutex::default(),
        };
        for (name, sink) in built {
            if let Some(config) = config.sinks.get(&name) {
                let outlet = fanout.open(&folder, (name, config), (sink, &source), watch.clone());
                fanout.outlets.push(outlet?);
            }
        }
        fanout.look(0);
        Ok(fanout)
    }

    fn open(
        &self,
        folder: &Path,
        (name, config): (String, &SinkConfig),
        (sink, source): (Arc<dyn Sink>, &Arc<dyn BatchSource>),
        (telemetry, memory): Watch,
    ) -> Result<Outlet, StartError> {
        let state = |error: weir_sinks::route::BookError| StartError::State {
            what: "what a sink has to remember",
            source: error.into(),
        };
        let (kind, shared) = outlet::shared(config);
        let origin = (Arc::clone(source), Arc::clone(&sink));
        let source: Arc<dyn BatchSource> = Arc::new(Resumed::new(
            origin.0,
            Dataset::CostLedger,
            origin.1,
            self.books.subscribe(),
        ));
        let book = Arc::new(RouteBook::open(folder, &name).map_err(state)?);
        let cursors = self.supply.log.cursors_from_first();
        let sealed = |dataset| source.last_sealed(dataset).max(cursors.get(&name, dataset));
        let changed = book.change(route_of(shared), sealed, !shared.backfill);
        changed.map_err(state)?;
        let metered = Metered::new(sink, telemetry, memory);
        let writes = metered.commits();
        // The valve first: what waits before it takes no memory from requests.
        let origin = (Arc::clone(&book), Arc::clone(&source));
        let valve = Valve::new(Arc::new(metered), shared, origin);
        let sink: Arc<dyn Sink> = Arc::new(valve);
        let routed = Arc::new(Routed::new(source, Arc::clone(&book)));
        let delivery = Delivery::start(
            Arc::clone(&sink),
            Arc::<Routed>::clone(&routed),
            Arc::clone(&cursors),
            Arc::clone(&self.supply.dead),
            DeliveryConfig {
                datasets: deliverable().collect(),
                ..DeliveryConfig::default()
            },
        );
        Ok(Outlet {
            name,
            kind,
            required: shared.required,
            lag_max: shared.lag_max,
            sink,
            book,
            routed,
            cursors,
            delivery,
            writes,
            parked: AtomicBool::new(false),
            since_us: Mutex::default(),
        })
    }

    /// The sinks, by name.
    pub(crate) fn outlets(&self) -> &[Outlet] {
        &self.outlets
    }

    /// The sink of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&Outlet> {
        self.outlets.iter().find(|outlet| outlet.name == name)
    }

    /// Waits for the turn to replay a dead letter.
    pub(super) async fn replaying(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.replaying.lock().await
    }

    /// Makes the routes of `sinks` hold from now on. Other settings, and sinks that are new or
    /// gone, need a restart, which is said. Blocks for the disk.
    pub(crate) fn reload(&self, sinks: &Sinks) {
        for outlet in &self.outlets {
            let sink = outlet.name.as_str();
            let Some(config) = sinks.get(sink) else {
                tracing::warn!(sink, "sink.reload.restart");
                continue;
            };
            let sealed = |dataset| {
                outlet
                    .routed
                    .last_sealed(dataset)
                    .max(outlet.cursor(dataset))
            };
            match outlet.book.change(route_of(&config.shared), sealed, false) {
                Ok(true) => tracing::info!(sink, "sink.rerouted"),
                Ok(false) => {}
                Err(error) => {
                    let error = super::told(&error);
                    tracing::error!(sink, error, "sink.reload.failed");
                }
            }
        }
        for sink in sinks.keys().filter(|name| self.find(name).is_none()) {
            tracing::warn!(sink, "sink.reload.restart");
        }
    }

    /// Decides for which sinks the log waits.
    fn look(&self, now_us: i64) {
        let status = self.supply.log.status();
        // Requests come first: when half of the disk for the log is taken, sinks that need not
        // have all of it from there are let go sooner.
        let pressed = status.disk_bytes > status.budget_bytes / 2;
        let mut held = Vec::new();
        for outlet in &self.outlets {
            let datasets = outlet.look(&self.supply.log, now_us, pressed);
            held.extend(datasets.into_iter().map(|d| (outlet.name.clone(), d)));
        }
        self.supply.log.hold(held);
    }

    /// Stops all deliveries, at once; see [`Delivery::stop`].
    pub(crate) async fn stop(&self) {
        let stops = self.outlets.iter().map(|outlet| outlet.delivery.stop());
        futures::future::join_all(stops).await;
    }
}

/// Where all sinks get their batches.
fn source(supply: &Supply, every: Duration, books: watch::Receiver<bool>) -> Arc<dyn BatchSource> {
    let lakes = supply.lakes.clone();
    let log = Arc::<Log>::clone(&supply.log);
    let refill = Refill::new(log, supply.log.cursors(), lakes, Arc::clone(&supply.dead));
    let ledger = (Dataset::CostLedger, LEDGER_NODE.clone());
    let derived = Derived::new(Arc::clone(supply.lakes.shared()), ledger, books, every);
    let derived: Arc<dyn BatchSource> = Arc::new(derived);
    let of = BTreeMap::from([(Dataset::CostLedger, derived)]);
    Arc::new(ByDataset::new(Arc::new(refill), of))
}

/// Looks at the sinks from time to time until the node stops.
pub(crate) async fn keep(node: &Node) {
    loop {
        let booking = node.booking.as_ref().is_some_and(|b| b.shown().booking);
        node.fanout.books.send_if_modified(|books| {
            let changed = *books != booking;
            *books = booking;
            changed
        });
        node.fanout.look(node.intake.now_us());
        tokio::select! {
            biased;
            () = node.stopping() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests;
