//! One sink that is delivered to: how far it is, and whether the log waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use weir_ingest::log::Log;
use weir_model::{BatchSource as _, Cursors, Dataset};
use weir_sinks::{Delivery, DeliveryStatus, Route, RouteBook, Routed, Sink};

use crate::app::histogram::Histogram;
use crate::app::sinks::counted::Counted;
use crate::config::sinks::{Shared, SinkConfig, deliverable, excluded};

/// A sink that is delivered to.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) required: bool,
    pub(super) lag_max: Duration,
    /// The sink itself, metered and behind its valve.
    pub(super) sink: Arc<dyn Sink>,
    pub(super) book: Arc<RouteBook>,
    pub(super) routed: Arc<Routed>,
    pub(super) cursors: Arc<dyn Cursors>,
    pub(super) delivery: Delivery,
    pub(super) writes: Arc<Histogram>,
    /// Whether the log no longer waits for it.
    pub(super) parked: AtomicBool,
    /// By dataset: when the oldest row was accepted that it has still to get, as last seen while
    /// the log had it.
    pub(super) since_us: Mutex<BTreeMap<Dataset, i64>>,
}

/// How one dataset stands at one sink.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Progress {
    /// Which.
    pub(crate) dataset: Dataset,
    /// The last batch that is settled.
    pub(crate) cursor: i64,
    /// Batches that are sealed and not settled.
    pub(crate) lag_batches: u64,
    /// Rows in the log that it has still to get.
    pub(crate) lag_rows: u64,
    /// The age of the oldest of them.
    pub(crate) lag: Duration,
    /// Rows that stayed away by the routes, since the start.
    pub(crate) routed_out: u64,
    /// What the delivery counts.
    pub(crate) counts: weir_sinks::DatasetStatus,
}

impl Outlet {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The sink, to be asked.
    pub(crate) fn sink(&self) -> &Arc<dyn Sink> {
        &self.sink
    }

    /// Its routes.
    pub(crate) fn book(&self) -> &Arc<RouteBook> {
        &self.book
    }

    /// The last batch of `dataset` that is settled.
    pub(crate) fn cursor(&self, dataset: Dataset) -> i64 {
        self.cursors.get(&self.name, dataset)
    }

    /// Whether the log no longer waits for it.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }

    /// How long its writes took.
    pub(crate) fn writes(&self) -> &Histogram {
        &self.writes
    }

    /// What a recount needs of it.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            name: self.name.clone(),
            sink: Arc::clone(&self.sink),
            book: Arc::clone(&self.book),
            cursors: Arc::clone(&self.cursors),
        }
    }

    /// The delivery now.
    pub(crate) fn status(&self) -> DeliveryStatus {
        self.delivery.status()
    }

    /// The datasets that go there now.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = Dataset> {
        let route = self.book.current();
        deliverable().filter(move |dataset| route.takes(*dataset))
    }

    /// How each dataset stands.
    pub(crate) fn standing(&self, log: &Log, now_us: i64) -> Vec<Progress> {
        let status = self.status();
        let of = |dataset: Dataset| {
            let cursor = self.cursor(dataset);
            let behind = self.routed.last_sealed(dataset) - cursor;
            let (lag_rows, oldest_us) = log.behind(dataset, cursor);
            let known_us = self.since_us.lock().get(&dataset).copied();
            let since_us = known_us.or(oldest_us);
            let us = since_us.map_or(0, |since| now_us.saturating_sub(since));
            let behind = u64::try_from(behind).unwrap_or(0);
            Progress {
                dataset,
                cursor,
                lag_batches: behind,
                lag_rows,
                lag: Duration::from_micros(u64::try_from(us).unwrap_or(0)),
                routed_out: self.routed.routed_out(dataset),
                counts: status.datasets.get(&dataset).cloned().unwrap_or_default(),
            }
        };
        self.datasets().map(of).collect()
    }

    /// Looks how far behind it is, and decides whether the log waits for it. Gives the datasets
    /// for which it does.
    pub(super) fn look(&self, log: &Log, now_us: i64, pressed: bool) -> Vec<Dataset> {
        let mut behind = Duration::ZERO;
        for dataset in self.datasets() {
            let cursor = self.cursor(dataset);
            let mut since = self.since_us.lock();
            let waits = self.routed.last_sealed(dataset) > cursor;
            if !waits {
                since.remove(&dataset);
                continue;
            }
            let oldest_us = log.behind(dataset, cursor).1.unwrap_or(now_us);
            let from_us = if log.holds_batch(dataset, cursor + 1) {
                since.insert(dataset, oldest_us);
                oldest_us
            } else {
                // The log has dropped it: what was known of its age stands.
                *since.entry(dataset).or_insert(oldest_us)
            };
            let us = u64::try_from(now_us.saturating_sub(from_us)).unwrap_or(0);
            behind = behind.max(Duration::from_micros(us));
        }
        let late = behind > self.lag_max || (pressed && behind > self.lag_max / 10);
        let park = late && !self.required;
        let parked = self.parked.swap(park, Ordering::Relaxed);
        let (sink, lag_s) = (&self.name, behind.as_secs());
        match (parked, park) {
            (false, true) => tracing::warn!(sink, lag_s, "sink.parked"),
            (true, false) => tracing::info!(sink, "sink.caught_up"),
            (true, true) | (false, false) => {}
        }
        if park {
            Vec::new()
        } else {
            self.datasets().collect()
        }
    }

    /// As it is shown.
    pub(crate) fn state(&self, log: &Log, now_us: i64) -> Value {
        let standing = self.standing(log, now_us);
        let datasets = standing.iter().map(|s| {
            let state = json!({
                "cursor": s.cursor,
                "last_sealed": s.counts.last_sealed,
                "lag_batches": s.lag_batches,
                "lag_rows": s.lag_rows,
                "lag_s": s.lag.as_secs_f64(),
                "stored": s.counts.stored_rows,
                "set_aside": s.counts.set_aside_rows,
                "routed_out": s.routed_out,
                "attempts": s.counts.attempts,
                "failures": s.counts.failures,
                "last_error": s.counts.last_error,
                "lost_batches": s.counts.lost_batches,
            });
            (s.dataset.name().to_owned(), state)
        });
        let datasets: serde_json::Map<String, Value> = datasets.collect();
        let route = self.book.current();
        json!({
            "sink": self.name,
            "kind": self.kind,
            "required": self.required,
            "paused": self.book.is_paused(),
            "parked": self.is_parked(),
            "breaker_open": self.status().breaker_open,
            "route": {
                "datasets": route.datasets,
                "tenants": route.tenants,
                "exclude_tenants": route.exclude_tenants,
                "exclude_columns": route.exclude_columns.iter()
                    .map(|(dataset, column)| format!("{dataset}.{column}")).collect::<Vec<_>>(),
            },
            "datasets": datasets,
        })
    }
}

/// The route that a sink's configuration asks for.
pub(super) fn route_of(shared: &Shared) -> Route {
    let columns = shared.exclude_columns.iter();
    // What cannot be left out was refused with the configuration.
    let columns = columns.flat_map(|text| excluded(text).unwrap_or_default());
    let owned = |(dataset, column): (Dataset, &str)| (dataset.name().to_owned(), column.to_owned());
    Route {
        datasets: shared.datasets.iter().cloned().collect(),
        tenants: shared.tenants.iter().cloned().collect(),
        exclude_tenants: shared.exclude_tenants.iter().cloned().collect(),
        exclude_columns: columns.map(owned).collect(),
    }
}

/// The parts of an outlet that come from its configuration.
pub(super) fn shared(config: &SinkConfig) -> (&'static str, &Shared) {
    (config.kind().name, &config.shared)
}
