//! What has happened since the start, counted; `/metrics` and `/v1/status` show it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use weir_ingest::log::Route;

/// Counters of one kind of request.
#[derive(Debug, Default)]
pub(crate) struct RouteCounters {
    /// Requests whose rows were accepted.
    pub(crate) requests: AtomicU64,
    /// Requests that repeated an earlier one and got its answer.
    pub(crate) folded: AtomicU64,
    /// Requests turned away, for whatever reason.
    pub(crate) refused: AtomicU64,
    /// Rows accepted.
    pub(crate) rows: AtomicU64,
    /// Records refused within accepted requests.
    pub(crate) rejected: AtomicU64,
    /// Bytes of accepted bodies, decompressed.
    pub(crate) bytes: AtomicU64,
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    traces: RouteCounters,
    proxy_audit: RouteCounters,
    ocsf: RouteCounters,
    /// Log records and metric points that were counted and not stored.
    pub(crate) unstored: AtomicU64,
    /// Queries answered.
    pub(crate) queries: AtomicU64,
    /// Queries refused or failed.
    pub(crate) queries_failed: AtomicU64,
    /// When a request was last accepted, in microseconds since the epoch; 0 where never.
    pub(crate) last_arrival_us: AtomicI64,
    /// Connections open.
    pub(crate) connections: Arc<AtomicU64>,
}

/// The routes, with the names that metrics use.
pub(crate) const ROUTES: [(Route, &str); 3] = [
    (Route::Traces, "traces"),
    (Route::ProxyAudit, "proxy_audit"),
    (Route::Ocsf, "ocsf"),
];

impl Counters {
    /// Those of `route`.
    pub(crate) fn route(&self, route: Route) -> &RouteCounters {
        match route {
            Route::Traces => &self.traces,
            Route::ProxyAudit => &self.proxy_audit,
            Route::Ocsf => &self.ocsf,
        }
    }

    /// Whether anything was accepted since the start.
    pub(crate) fn anything_arrived(&self) -> bool {
        self.last_arrival_us.load(Ordering::Relaxed) != 0
    }
}

/// Adds `more` to a counter.
pub(crate) fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Reads a counter.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
