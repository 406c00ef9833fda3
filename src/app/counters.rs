//! What has happened since the start, counted; `/metrics` and `/v1/status` show it.
//!
//! ```text
//! received = accepted + folded + refused + abandoned + those under way
//! ```
//!
//! # Invariants
//!
//! * Every request of a receiver is counted as received once, and ends as exactly one of the four.
//! * Rows of an accepted request are counted after they are durable, never before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use weir_ingest::log::Route;
use weir_model::TenantId;

use crate::app::duplicates::Duplicates;
use crate::app::histogram::{BYTES, Histogram, SECONDS};
use crate::http::conn::cuts::Cuts;
use crate::http::contract;
use crate::http::refusal::Refusal;

/// How many tenants are counted by name; the rest are counted together. It bounds the memory of
/// whoever scrapes, not ours.
pub(crate) const TENANTS_MAX: usize = 100;

/// Counters of one kind of request.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    /// Requests that came.
    pub(crate) received: AtomicU64,
    /// Requests whose rows were accepted.
    pub(crate) requests: AtomicU64,
    /// Requests that repeated an earlier one and got its answer.
    pub(crate) folded: AtomicU64,
    /// Requests whose client left, or whose time ran out, before they had an answer.
    pub(crate) abandoned: AtomicU64,
    /// Rows accepted.
    pub(crate) rows: AtomicU64,
    /// Records refused within accepted requests.
    pub(crate) rejected: AtomicU64,
    /// Bodies of accepted requests, decompressed.
    pub(crate) bytes: Histogram,
    /// From the first look at a request to the answer that its rows are durable.
    pub(crate) acknowledged: Histogram,
    /// Requests turned away, by their place in the error contract.
    refused: Vec<AtomicU64>,
}

impl Default for RouteCounters {
    fn default() -> Self {
        Self {
            received: AtomicU64::default(),
            requests: AtomicU64::default(),
            folded: AtomicU64::default(),
            abandoned: AtomicU64::default(),
            rows: AtomicU64::default(),
            rejected: AtomicU64::default(),
            bytes: Histogram::new(BYTES),
            acknowledged: Histogram::new(SECONDS),
            refused: contract::ROWS
                .iter()
                .map(|_| AtomicU64::default())
                .collect(),
        }
    }
}

impl RouteCounters {
    /// Requests turned away, by code, where there were any.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static contract::Row, u64)> + '_ {
        let counted = contract::ROWS.iter().zip(&self.refused);
        counted
            .map(|(row, count)| (row, read(count)))
            .filter(|(_, count)| *count > 0)
    }

    fn refuse(&self, refusal: &Refusal) {
        if let Some(counter) = self.refused.get(contract::index(refusal)) {
            add(counter, 1);
        }
    }
}

/// What one tenant sent.
#[derive(Debug, Default)]
pub(crate) struct TenantCounters {
    /// Requests accepted.
    pub(crate) requests: AtomicU64,
    /// Rows accepted.
    pub(crate) rows: AtomicU64,
    /// Bytes of accepted bodies, decompressed.
    pub(crate) bytes: AtomicU64,
}

/// The first tenants by name, and the rest.
#[derive(Debug, Default)]
pub(crate) struct Tenants {
    named: RwLock<BTreeMap<TenantId, Arc<TenantCounters>>>,
    other: Arc<TenantCounters>,
}

impl Tenants {
    /// The counters of `tenant`.
    pub(crate) fn of(&self, tenant: &TenantId) -> Arc<TenantCounters> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = named.get(tenant) {
            return Arc::clone(counters);
        }
        let full = named.len() >= TENANTS_MAX;
        drop(named);
        if full {
            return Arc::clone(&self.other);
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= TENANTS_MAX && !named.contains_key(tenant) {
            return Arc::clone(&self.other);
        }
        Arc::clone(named.entry(tenant.clone()).or_default())
    }

    /// All of them; the rest, where there are any, under a name that no tenant can have.
    pub(crate) fn all(&self) -> Vec<(String, Arc<TenantCounters>)> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = named
            .iter()
            .map(|(tenant, counters)| (tenant.as_str().to_owned(), Arc::clone(counters)))
            .collect();
        if read(&self.other.requests) > 0 {
            // A tenant's name begins with a letter or a digit.
            all.push(("_other".to_owned(), Arc::clone(&self.other)));
        }
        all
    }
}

/// All counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    traces: RouteCounters,
    proxy_audit: RouteCounters,
    ocsf: RouteCounters,
    telemetry_events: RouteCounters,
    logs: RouteCounters,
    /// By tenant.
    pub(crate) tenants: Tenants,
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
    /// Connections that the server ended, by why.
    pub(crate) cuts: Arc<Cuts>,
    /// Spans that were probably stored twice.
    pub(crate) duplicates: Duplicates,
    /// When counting began.
    pub(crate) began: Began,
}

/// The moment at which something was made.
#[derive(Debug)]
pub(crate) struct Began(Instant);

impl Default for Began {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Began {
    /// Whole seconds since.
    pub(crate) fn seconds(&self) -> u64 {
        self.0.elapsed().as_secs()
    }
}

/// The routes, with the names that metrics use.
pub(crate) const ROUTES: [(Route, &str); 5] = [
    (Route::Traces, "traces"),
    (Route::ProxyAudit, "proxy_audit"),
    (Route::Ocsf, "ocsf"),
    (Route::TelemetryEvents, "telemetry_events"),
    (Route::Logs, "logs"),
];

/// A request on its way: counted as received when it begins, and at its end, whatever that is.
#[derive(Debug)]
#[must_use = "its end is counted when it is dropped"]
pub(crate) struct Passage<'a> {
    counters: &'a RouteCounters,
    began: Instant,
    ended: bool,
}

impl Passage<'_> {
    /// Counts the end: an answer, or the refusal in `result`.
    pub(crate) fn end<T>(mut self, result: &Result<T, Refusal>) {
        self.ended = true;
        match result {
            Ok(_) => self.counters.acknowledged.took(self.began.elapsed()),
            Err(refusal) => self.counters.refuse(refusal),
        }
    }
}

impl Drop for Passage<'_> {
    fn drop(&mut self) {
        if !self.ended {
            add(&self.counters.abandoned, 1);
        }
    }
}

impl Counters {
    /// Those of `route`.
    pub(crate) fn route(&self, route: Route) -> &RouteCounters {
        match route {
            Route::Traces => &self.traces,
            Route::ProxyAudit => &self.proxy_audit,
            Route::Ocsf => &self.ocsf,
            Route::TelemetryEvents => &self.telemetry_events,
            Route::Logs => &self.logs,
        }
    }

    /// Counts a request of `route` in.
    pub(crate) fn enter(&self, route: Route) -> Passage<'_> {
        let counters = self.route(route);
        add(&counters.received, 1);
        Passage {
            counters,
            began: Instant::now(),
            ended: false,
        }
    }

    /// Looks for spans among those that were accepted before.
    pub(crate) fn see(&self, fingerprints: &[u64]) {
        self.duplicates.see(fingerprints, self.began.seconds());
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;

    #[test]
    fn a_request_ends_once_as_one_of_what_it_can_be() {
        let counters = Counters::default();
        counters.enter(Route::Ocsf).end(&Ok(()));
        let refusal = Refusal::new(StatusCode::BAD_REQUEST, "malformed_json", "x");
        let refused: Result<(), Refusal> = Err(refusal);
        counters.enter(Route::Ocsf).end(&refused);
        drop(counters.enter(Route::Ocsf));
        let ocsf = counters.route(Route::Ocsf);
        let by_code: Vec<_> = ocsf.refused().map(|(row, n)| (row.code, n)).collect();
        assert_eq!(by_code, [("malformed_json", 1)]);
        assert_eq!((read(&ocsf.received), read(&ocsf.abandoned)), (3, 1));
        assert_eq!(ocsf.acknowledged.shown().count, 1);
    }

    #[test]
    fn tenants_beyond_the_cap_are_counted_together() {
        let tenants = Tenants::default();
        for number in 0..TENANTS_MAX + 50 {
            let tenant = TenantId::new(&format!("t{number}")).unwrap();
            add(&tenants.of(&tenant).requests, 1);
        }
        let all = tenants.all();
        assert_eq!(all.len(), TENANTS_MAX + 1);
        let (name, other) = all.last().unwrap();
        assert_eq!((name.as_str(), read(&other.requests)), ("_other", 50));
    }
}
