//! What a caller may use: its tenant's quotas and its key's, and a fair part of the node.
//!
//! ```text
//! request -> enter: storage, rows still shut?, bytes -> read, decode -> rows -> log
//! query   -> enter: queries a minute -> queries at once -> run
//! ```
//!
//! Both the tenant's and the key's quotas hold. They are told anew with each request, so that a
//! change holds as soon as the keys are refreshed; only what was used is kept here.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, StatusCode};
use parking_lot::{Mutex, RwLock};
use weir_ingest::admission::{Budget, Share};
use weir_ingest::quota::{Bucket, Dry, Rate};
use weir_model::TenantId;
use weir_store::{Principal, Quotas};

use crate::config::Quota;
use crate::http::refusal::Refusal;

/// How long a sender whose tenant has no storage left is asked to wait: an operator must act, or
/// old rows must go.
const STORAGE_WAIT: Duration = Duration::from_mins(5);

/// How long one that found no place for a query is asked to wait.
const QUERY_WAIT: Duration = Duration::from_secs(1);

/// How many times the free places for queries one tenant may hold.
const QUERY_SHARE: usize = 2;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What one tenant or one key has used.
#[derive(Debug)]
struct Meter {
    bytes: Mutex<Bucket>,
    rows: Mutex<Bucket>,
    queries: Mutex<Bucket>,
    running: AtomicUsize,
    in_flight: Share,
}

impl Meter {
    fn new() -> Arc<Self> {
        let full = || Mutex::new(Bucket::full(Instant::now()));
        Arc::new(Self {
            bytes: full(),
            rows: full(),
            queries: full(),
            running: AtomicUsize::new(0),
            in_flight: Share::default(),
        })
    }
}

/// The ceilings in force; `None` is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ceilings {
    bytes: Option<Rate>,
    rows: Option<Rate>,
    queries: Option<Rate>,
    at_once: Option<u64>,
    storage: Option<u64>,
}

impl Ceilings {
    fn of(quotas: &Quotas, default: &Quota) -> Self {
        let second = |amount| Rate::per_second(amount, default.burst);
        let bytes = quotas.bytes_per_second.or(default.bytes_per_second);
        let rows = quotas.rows_per_second.or(default.rows_per_second);
        let queries = quotas.queries_per_minute.or(default.queries_per_minute);
        Self {
            bytes: bytes.map(second),
            rows: rows.map(second),
            queries: queries.map(Rate::per_minute),
            at_once: quotas.queries_at_once.or(default.queries_at_once),
            storage: quotas.storage_bytes.or(default.storage),
        }
    }
}

/// What all callers of a node use.
#[derive(Debug)]
pub(crate) struct Meters {
    default: Quota,
    tenants: RwLock<HashMap<TenantId, Arc<Meter>>>,
    keys: RwLock<HashMap<String, Arc<Meter>>>,
    /// Bytes in the lake, of tenants for which there is a ceiling.
    stored: RwLock<HashMap<TenantId, u64>>,
    places: Arc<Places>,
}

/// The codes of refusals for a quota, and what the quota is of.
const QUOTAS: [(&str, &str); 5] = [
    ("quota_bytes", "bytes"),
    ("quota_rows", "rows"),
    ("quota_queries", "queries"),
    ("quota_queries_at_once", "queries_at_once"),
    ("quota_storage", "storage"),
];

/// The places for queries, and how often a quota was used up.
#[derive(Debug)]
struct Places {
    most: usize,
    taken: AtomicUsize,
    refused: [AtomicU64; QUOTAS.len()],
}

impl Places {
    /// Counts `refusal`, where it is for a quota.
    fn count(&self, refusal: &Refusal) {
        let mut known = QUOTAS.iter().zip(&self.refused);
        if let Some((_, counter)) = known.find(|((code, _), _)| *code == refusal.code) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Meters {
    /// Meters of a node that gives `default` to tenants without quotas, and runs `queries` at once.
    pub(crate) fn new(default: Quota, queries: usize) -> Self {
        Self {
            default,
            tenants: RwLock::default(),
            keys: RwLock::default(),
            stored: RwLock::default(),
            places: Arc::new(Places {
                most: queries,
                taken: AtomicUsize::new(0),
                refused: Default::default(),
            }),
        }
    }

    /// Somebody of `tenant`, whose quotas are these; with the key used, where one is.
    pub(crate) fn caller(
        &self,
        tenant: TenantId,
        quotas: &Quotas,
        key: Option<&Principal>,
    ) -> Caller {
        let of_tenant = Party {
            whose: "tenant",
            meter: meter(&self.tenants, &tenant),
            ceilings: Ceilings::of(quotas, &self.default),
        };
        let none = Quota {
            bytes_per_second: None,
            rows_per_second: None,
            queries_per_minute: None,
            queries_at_once: None,
            storage: None,
            burst: self.default.burst,
        };
        let of_key = key.map(|key| Party {
            whose: "key",
            meter: meter(&self.keys, &key.key_id),
            ceilings: Ceilings::of(&key.quotas, &none),
        });
        // Without keys there is but one tenant, which has the node to itself.
        let shares = key.is_some();
        let stored = match of_tenant.ceilings.storage {
            Some(_) => self.stored.read().get(&tenant).copied().unwrap_or(0),
            None => 0,
        };
        Caller {
            key_id: key.map(|key| key.key_id.clone()),
            tenant,
            of_tenant,
            of_key,
            shares,
            stored,
            places: Arc::clone(&self.places),
        }
    }

    /// How often a quota was used up, by what it is of.
    pub(crate) fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let all = QUOTAS.iter().zip(&self.places.refused);
        all.map(|((_, of), counter)| (*of, counter.load(Ordering::Relaxed)))
    }

    /// The ceiling of a tenant's storage, if there is one.
    pub(crate) fn storage_ceiling(&self, quotas: &Quotas) -> Option<u64> {
        quotas.storage_bytes.or(self.default.storage)
    }

    /// Takes over what the lake holds of each tenant, in bytes.
    pub(crate) fn set_stored(&self, stored: HashMap<TenantId, u64>) {
        *self.stored.write() = stored;
    }

    /// Forgets keys that hold no more, so that what is kept here is bounded by what holds.
    pub(crate) fn forget_keys(&self, holds: impl Fn(&str) -> bool) {
        self.keys.write().retain(|id, _| holds(id));
    }
}

fn meter<K: Clone + Eq + std::hash::Hash>(
    all: &RwLock<HashMap<K, Arc<Meter>>>,
    whose: &K,
) -> Arc<Meter> {
    if let Some(meter) = all.read().get(whose) {
        return Arc::clone(meter);
    }
    Arc::clone(all.write().entry(whose.clone()).or_insert_with(Meter::new))
}

/// One whose quotas hold: the tenant, or the key.
#[derive(Clone, Debug)]
struct Party {
    whose: &'static str,
    meter: Arc<Meter>,
    ceilings: Ceilings,
}

/// Who sends a request or asks, and what it may use.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// On whose behalf.
    pub(crate) tenant: TenantId,
    /// By which key, fit for logs; `None` where none is wanted.
    pub(crate) key_id: Option<String>,
    of_tenant: Party,
    of_key: Option<Party>,
    shares: bool,
    stored: u64,
    places: Arc<Places>,
}

/// One of a party's rates.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Bytes,
    Rows,
    Queries,
}

impl Party {
    fn rate(&self, of: Measure) -> Option<(&Mutex<Bucket>, Rate)> {
        let (bucket, rate) = match of {
            Measure::Bytes => (&self.meter.bytes, self.ceilings.bytes),
            Measure::Rows => (&self.meter.rows, self.ceilings.rows),
            Measure::Queries => (&self.meter.queries, self.ceilings.queries),
        };
        rate.map(|rate| (bucket, rate))
    }

    fn take(&self, of: Measure, cost: u64) -> Result<(), Refusal> {
        let Some((bucket, rate)) = self.rate(of) else {
            return Ok(());
        };
        let taken = bucket.lock().take(cost, rate, Instant::now());
        taken.map_err(|dry| self.used_up(of, rate, dry))
    }

    fn look(&self, of: Measure) -> Result<(), Refusal> {
        let Some((bucket, rate)) = self.rate(of) else {
            return Ok(());
        };
        let left = bucket.lock().look(rate, Instant::now());
        left.map_err(|dry| self.used_up(of, rate, dry))
    }

    fn give(&self, of: Measure, cost: u64) {
        if let Some((bucket, rate)) = self.rate(of) {
            bucket.lock().give(cost, rate);
        }
    }

    fn used_up(&self, of: Measure, rate: Rate, dry: Dry) -> Refusal {
        let Rate { amount, burst, .. } = rate;
        let (code, rate) = match of {
            Measure::Bytes => (
                "quota_bytes",
                format!("{amount} bytes a second, {burst} at once"),
            ),
            Measure::Rows => (
                "quota_rows",
                format!("{amount} rows a second, {burst} at once"),
            ),
            Measure::Queries => ("quota_queries", format!("queries a minute: {amount}")),
        };
        let text = format!(
            "the quota of this {} is used up ({rate}); nothing of this request was kept or run, \
             try it again later",
            self.whose
        );
        Refusal {
            retry_after: Some(dry.wait),
            ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, text)
        }
        .with_header(LIMIT, dry.limit)
        .with_header(REMAINING, dry.remaining)
        .with_header(
            RESET,
            dry.reset.as_secs() + u64::from(dry.reset.subsec_nanos() > 0),
        )
    }

    /// Takes a place for a query.
    fn place(&self, most: usize) -> Result<Running, Refusal> {
        let ceiling = self.ceilings.at_once;
        let ceiling = ceiling.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let running = &self.meter.running;
        let most = most.min(ceiling);
        let taken = running.try_update(Ordering::AcqRel, Ordering::Acquire, |running| {
            (running < most).then(|| running + 1)
        });
        match taken {
            Ok(_) => Ok(Running(Arc::clone(&self.meter))),
            Err(running) => Err(busy(self.whose, running, most == ceiling)),
        }
    }
}

fn busy(whose: &str, running: usize, by_quota: bool) -> Refusal {
    let (code, why) = if by_quota {
        ("quota_queries_at_once", "which is its quota")
    } else {
        ("queries_busy", "and the other places are for others")
    };
    let text = format!("this {whose} has {running} queries running, {why}; try again later");
    Refusal {
        retry_after: Some(QUERY_WAIT),
        ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, text)
    }
}

/// A query that is counted; dropping it ends that.
#[derive(Debug)]
struct Running(Arc<Meter>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The places that a query holds; dropping it gives them back.
#[derive(Debug)]
pub(crate) struct Slot {
    running: Vec<Running>,
    places: Arc<Places>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Caller {
    /// The budget of the door, as far as it is this caller's.
    pub(crate) fn budget(&self, whole: &Budget) -> Budget {
        if self.shares {
            whole.shared_by(&self.of_tenant.meter.in_flight)
        } else {
            whole.clone()
        }
    }

    /// Lets a body in whose length may be announced, which is charged then; without, it has still
    /// to be [charged](Caller::charge_bytes).
    ///
    /// # Errors
    ///
    /// 429 where a quota is used up; nothing was charged.
    pub(crate) fn enter(&self, announced: Option<usize>) -> Result<(), Refusal> {
        self.counted(self.let_in(announced))
    }

    fn let_in(&self, announced: Option<usize>) -> Result<(), Refusal> {
        if let Some(most) = self
            .of_tenant
            .ceilings
            .storage
            .filter(|most| self.stored >= *most)
        {
            return Err(full(self.stored, most));
        }
        for party in self.parties() {
            party.look(Measure::Rows)?;
        }
        match announced {
            Some(length) => self.charge(Measure::Bytes, length),
            None => self
                .parties()
                .try_for_each(|party| party.look(Measure::Bytes)),
        }
    }

    /// Charges a body's bytes, as sent.
    ///
    /// # Errors
    ///
    /// 429 where there are not as many; nothing was charged.
    pub(crate) fn charge_bytes(&self, bytes: usize) -> Result<(), Refusal> {
        self.counted(self.charge(Measure::Bytes, bytes))
    }

    /// Charges rows that are about to be logged.
    ///
    /// # Errors
    ///
    /// As [`Caller::charge_bytes`].
    pub(crate) fn charge_rows(&self, rows: usize) -> Result<(), Refusal> {
        self.counted(self.charge(Measure::Rows, rows))
    }

    /// Charges a query and takes its place.
    ///
    /// # Errors
    ///
    /// 429 where a quota is used up, or the places left are for other tenants; nothing was charged.
    pub(crate) fn query(&self) -> Result<Slot, Refusal> {
        self.counted(self.take_place())
    }

    fn take_place(&self) -> Result<Slot, Refusal> {
        let places = &self.places;
        let taken = places.taken.fetch_add(1, Ordering::AcqRel) + 1;
        let mut slot = Slot {
            running: Vec::new(),
            places: Arc::clone(places),
        };
        // One query is always possible; beyond it a tenant holds at most a multiple of what is free.
        let fair = if self.shares {
            let free = places.most.saturating_sub(taken);
            free.saturating_mul(QUERY_SHARE).max(1)
        } else {
            usize::MAX
        };
        slot.running.push(self.of_tenant.place(fair)?);
        if let Some(key) = &self.of_key {
            slot.running.push(key.place(usize::MAX)?);
        }
        self.charge(Measure::Queries, 1)?;
        Ok(slot)
    }

    /// Counts what is refused for a quota.
    fn counted<T>(&self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        outcome.inspect_err(|refusal| self.places.count(refusal))
    }

    fn parties(&self) -> impl Iterator<Item = &Party> {
        self.of_key.iter().chain([&self.of_tenant])
    }

    fn charge(&self, of: Measure, cost: usize) -> Result<(), Refusal> {
        let cost = u64::try_from(cost).unwrap_or(u64::MAX);
        if let Some(key) = &self.of_key {
            key.take(of, cost)?;
        }
        let taken = self.of_tenant.take(of, cost);
        if let (Err(_), Some(key)) = (&taken, &self.of_key) {
            key.give(of, cost);
        }
        taken
    }
}

/// Retryable, since senders drop for good what is refused with another status than 429, 502, 503
/// and 504, and room may come: by a higher quota, or as old rows go.
fn full(stored: u64, most: u64) -> Refusal {
    let text = format!(
        "this tenant holds {stored} bytes in the lake, and its quota is {most}; nothing was kept"
    );
    Refusal {
        retry_after: Some(STORAGE_WAIT),
        ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, "quota_storage", text)
    }
    .with_header(LIMIT, most)
    .with_header(REMAINING, 0)
    .with_header(RESET, STORAGE_WAIT.as_secs())
}

#[cfg(test)]
mod tests;
