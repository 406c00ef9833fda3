//! The way of a request from its body to its answer: fold resends, decode, enrich, make durable.
//!
//! # Invariants
//!
//! * No answer of success leaves before the rows are in the log and synced.
//! * A request whose answer fails or whose client leaves is either wholly in the log or not at all.

mod folded;
mod small;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::{Array as _, RecordBatch};
use axum::http::StatusCode;
use bytes::Bytes;
use tokio::sync::Semaphore;
use weir_ingest::admission::Budget;
use weir_ingest::decode::otlp::OtlpEncoding;
use weir_ingest::decode::{Acceptance, Limits};
use weir_ingest::log::{AppendError, Entry, Log, RecentRequest, Route};
use weir_model::{Clock, TenantId};
use weir_transforms::Enricher;

use crate::app::arrivals::Arrivals;
use crate::app::counters::{self, Counters};
use crate::app::prepare::{self, Audit, Prepared};
use crate::app::prices::PriceBook;
use crate::app::quota::Caller;
use crate::app::resends::{Name, Resends, Standing, Ticket, scope};
use crate::app::together::{self, SMALL_BYTES_MAX, Together};
use crate::http::body::{BodyLimits, INLINE_BYTES_MAX};
use crate::http::refusal::Refusal;

/// How long a byte-identical resend is recognised.
const RESEND_WINDOW_US: i64 = 600 * 1_000_000;

/// How many byte-identical resends are recognised.
const RESENDS_MAX: usize = 65_536;

/// How long a sender's own key is remembered, as its contract says.
const KEY_WINDOW_US: i64 = 24 * 3_600 * 1_000_000;

/// How many of them.
const KEYS_MAX: usize = 100_000;

/// Takes requests; clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    log: Arc<Log>,
    enricher: Arc<Enricher>,
    prices: Arc<PriceBook>,
    pub(crate) clock: Arc<dyn Clock>,
    limits: Limits,
    /// Bodies as sent, by content.
    bodies: Resends,
    /// Audit requests, by the sender's key.
    keys: Resends,
    /// Small trace requests.
    together: Together,
    /// Large bodies that are worked on at once.
    workers: Arc<Semaphore>,
    /// What requests in flight may hold.
    pub(crate) budget: Budget,
    /// What a body may measure.
    pub(crate) body: BodyLimits,
    /// Who watches.
    pub(crate) arrivals: Arrivals,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
}

/// What an intake is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Where rows become durable.
    pub(crate) log: Arc<Log>,
    /// What fills the canonical columns.
    pub(crate) enricher: Arc<Enricher>,
    /// What calls cost.
    pub(crate) prices: Arc<PriceBook>,
    /// What says when a request was accepted.
    pub(crate) clock: Arc<dyn Clock>,
    /// What a request may hold.
    pub(crate) limits: Limits,
    /// What a body may measure.
    pub(crate) body: BodyLimits,
    /// What all requests in flight may hold.
    pub(crate) budget: Budget,
}

/// The answer to an accepted request.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The body of the answer.
    pub(crate) answer: Bytes,
    /// Whether an earlier request got it.
    pub(crate) repeated: bool,
    /// Rows that were accepted now.
    pub(crate) rows: usize,
}

/// A request's body, checked and decompressed.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Who sends it, by the credential.
    pub(crate) caller: Caller,
    /// The plain body, with what it holds of the budget.
    pub(crate) body: crate::http::body::Taken,
}

impl Intake {
    /// An intake that recognises the requests that `log` still holds.
    pub(crate) fn new(parts: Parts) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let counters: Arc<Counters> = Arc::default();
        let together = Together::new(together::Parts {
            log: Arc::clone(&parts.log),
            enricher: Arc::clone(&parts.enricher),
            prices: Arc::clone(&parts.prices),
            limits: parts.limits.clone(),
            budget: parts.budget.clone(),
            counters: Arc::clone(&counters),
        });
        let intake = Self {
            together,
            bodies: Resends::new(RESEND_WINDOW_US, RESENDS_MAX),
            keys: Resends::new(KEY_WINDOW_US, KEYS_MAX),
            workers: Arc::new(Semaphore::new(cores * 2)),
            budget: parts.budget,
            body: parts.body,
            arrivals: Arrivals::new(),
            counters,
            log: parts.log,
            enricher: parts.enricher,
            prices: parts.prices,
            clock: parts.clock,
            limits: parts.limits,
        };
        for request in intake.log.recent_requests() {
            intake.restore(request);
        }
        intake
    }

    fn restore(&self, request: &RecentRequest) {
        let answer = Bytes::from(request.answer.clone());
        let Some(digest) = request.digest else {
            return;
        };
        match (request.route, &request.idempotency_key) {
            (Route::ProxyAudit, Some(key)) => {
                let name = scope(&request.tenant, key);
                self.keys
                    .restore(name, digest, answer, request.received_at_us);
            }
            _ => self
                .bodies
                .restore(digest, digest, answer, request.received_at_us),
        }
    }

    /// Takes an OTLP trace request.
    ///
    /// # Errors
    ///
    /// Where it is turned away; nothing of it is kept, or, with a broken log, nothing is known.
    pub(crate) async fn traces(
        &self,
        arrived: Arrived,
        encoding: OtlpEncoding,
    ) -> Result<Taken, Refusal> {
        let mut charged = false;
        if encoding == OtlpEncoding::Protobuf && arrived.body.bytes.len() < SMALL_BYTES_MAX {
            match self.small_traces(&arrived).await? {
                Some(taken) => return Ok(taken),
                None => charged = true,
            }
        }
        let prepare = move |intake: &Self, bytes: &[u8], at: &Acceptance| {
            let tariff = intake.prices.current(&at.tenant);
            let terms = (&*intake.enricher, &*tariff);
            prepare::traces(bytes, encoding, at, &intake.limits, terms)
        };
        self.folded_by_body(arrived, (Route::Traces, charged), prepare)
            .await
    }

    /// Takes a proxy-audit request.
    ///
    /// # Errors
    ///
    /// As [`Intake::traces`]; 409 where its key was used for another payload.
    pub(crate) async fn audit(&self, arrived: Arrived) -> Result<Taken, Refusal> {
        let Arrived { caller, body } = arrived;
        let length = body.bytes.len();
        let (bytes, at) = (body.bytes.clone(), self.acceptance(&caller.tenant));
        let limits = self.limits.clone();
        let work = move || prepare::audit(&bytes, &at, &limits);
        let Audit {
            prepared,
            key,
            payload,
        } = self.beside(length, work).await?;
        let ticket = match &key {
            None => None,
            Some(key) => loop {
                let name = scope(&caller.tenant, key);
                match self.keys.begin(name, payload, self.clock.now_us()) {
                    Standing::First(ticket) => break Some(ticket),
                    Standing::Repeat(answer) => {
                        let answer = prepare::replayed(&answer);
                        return Ok(self.folded(Route::ProxyAudit, answer));
                    }
                    Standing::Conflict => return Err(key_reused()),
                    Standing::Wait(mut done) => {
                        let _ = done.changed().await;
                    }
                }
            },
        };
        let record = Record {
            caller,
            route: Route::ProxyAudit,
            digest: key.is_some().then_some(payload),
            key,
            length,
            charged: false,
        };
        self.commit(record, prepared, ticket).await
    }

    /// Takes an OCSF request. Its events may rightly repeat, so nothing is folded.
    ///
    /// # Errors
    ///
    /// As [`Intake::traces`].
    pub(crate) async fn events(&self, arrived: Arrived) -> Result<Taken, Refusal> {
        let Arrived { caller, body } = arrived;
        let length = body.bytes.len();
        let (bytes, at) = (body.bytes.clone(), self.acceptance(&caller.tenant));
        let limits = self.limits.clone();
        let work = move || prepare::events(&bytes, &at, &limits);
        let prepared = self.beside(length, work).await?;
        let record = Record {
            caller,
            route: Route::Ocsf,
            digest: None,
            key: None,
            length,
            charged: false,
        };
        self.commit(record, prepared, None).await
    }

    /// How many answers are remembered for resends, and how far back all are, in seconds.
    pub(crate) fn resend_window(&self) -> (usize, i64) {
        let (answers, back_us) = self.bodies.extent(self.clock.now_us());
        (answers, back_us / 1_000_000)
    }

    /// The same for the senders' own keys.
    pub(crate) fn key_window(&self) -> (usize, i64) {
        let (answers, back_us) = self.keys.extent(self.clock.now_us());
        (answers, back_us / 1_000_000)
    }

    /// The time of day, in microseconds since the epoch.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us()
    }

    fn acceptance(&self, tenant: &TenantId) -> Acceptance {
        Acceptance {
            tenant: tenant.clone(),
            received_at_us: self.clock.now_us(),
        }
    }

    /// Does CPU work of a body of `length` here, or beside the async threads where it is large.
    pub(crate) fn beside<T: Send + 'static>(
        &self,
        length: usize,
        work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
    ) -> impl Future<Output = Result<T, Refusal>> {
        let (workers, budget) = (Arc::clone(&self.workers), self.budget.clone());
        async move {
            if length < INLINE_BYTES_MAX {
                budget.check()?;
                return work();
            }
            let permit = workers.acquire_owned().await;
            let permit = permit.map_err(|_| Refusal::internal())?;
            // Those before it have grown into rows while it waited for its turn.
            budget.check()?;
            let done = tokio::task::spawn_blocking(move || {
                let result = work();
                drop(permit);
                result
            });
            done.await.map_err(|error| {
                tracing::error!(%error, "intake.worker.failed");
                Refusal::internal()
            })?
        }
    }

    async fn commit(
        &self,
        record: Record,
        prepared: Prepared,
        ticket: Option<Ticket>,
    ) -> Result<Taken, Refusal> {
        let Prepared {
            rows,
            answer,
            accepted,
            rejected,
            unstored,
            fingerprints,
        } = prepared;
        let mut at_us = self.clock.now_us();
        if !rows.is_empty() {
            if !record.charged {
                let rows = accepted.saturating_add(rejected);
                record.caller.charge_rows(rows)?;
            }
            let shown = self.arrivals.is_watched().then(|| rows.clone());
            // Until they are in the log they are held twice: as they came, and as rows.
            let held = self
                .budget
                .hold(rows.iter().map(|(_, rows)| memory_of(rows)).sum());
            let entry = Entry {
                tenant: record.caller.tenant.clone(),
                route: record.route,
                digest: record.digest,
                idempotency_key: record.key,
                answer: answer.to_vec(),
                rows,
            };
            at_us = self
                .log
                .append(entry)
                .await
                .map_err(refused)?
                .committed_at_us;
            drop(held);
            self.counters.see(&fingerprints);
            if let Some(rows) = shown {
                self.arrivals.tell(&record.caller.tenant, &rows, at_us);
            }
        }
        if let Some(ticket) = ticket {
            ticket.finish(answer.clone(), at_us);
        }
        counters::add(&self.counters.unstored, unstored);
        let rows = (accepted, rejected);
        self.count(&record.caller, (record.route, record.length), rows, at_us);
        Ok(Taken {
            answer,
            repeated: false,
            rows: accepted,
        })
    }

    fn count(
        &self,
        caller: &Caller,
        (route, length): (Route, usize),
        (accepted, rejected): (usize, usize),
        at_us: i64,
    ) {
        let counted = self.counters.route(route);
        counters::add(&counted.requests, 1);
        counters::add(&counted.rows, accepted);
        counters::add(&counted.rejected, rejected);
        counted.bytes.measured(length);
        let tenant = self.counters.tenants.of(&caller.tenant);
        counters::add(&tenant.requests, 1);
        counters::add(&tenant.rows, accepted);
        counters::add(&tenant.bytes, length);
        let last = &self.counters.last_arrival_us;
        last.store(at_us, Ordering::Relaxed);
    }

    fn folded(&self, route: Route, answer: Bytes) -> Taken {
        counters::add(&self.counters.route(route).folded, 1);
        Taken {
            answer,
            repeated: true,
            rows: 0,
        }
    }
}

/// What the rows take, columns without a value left out.
pub(super) fn memory_of(rows: &RecordBatch) -> usize {
    let columns = rows.columns().iter();
    let filled = columns.filter(|column| column.null_count() < column.len());
    filled.map(|column| column.get_array_memory_size()).sum()
}

/// What a log entry says of its request besides its rows.
struct Record {
    caller: Caller,
    route: Route,
    digest: Option<Name>,
    key: Option<String>,
    length: usize,
    /// Its rows were charged already.
    charged: bool,
}

fn key_reused() -> Refusal {
    Refusal::new(
        StatusCode::CONFLICT,
        "CONFLICT",
        "Idempotency key was reused with a different request payload",
    )
}

/// How a failure to append is told to the sender.
pub(super) fn refused(error: AppendError) -> Refusal {
    let second = std::time::Duration::from_secs(1);
    match &error {
        AppendError::Full { retry_after } => Refusal::unavailable(
            "log_full",
            "the disk is full; try again later",
            *retry_after,
        ),
        AppendError::Broken => Refusal::unavailable(
            "log_broken",
            "the disk failed; this server is stopping",
            second,
        ),
        AppendError::Closed => {
            Refusal::unavailable("shutting_down", "this server is stopping", second)
        }
        AppendError::TooLarge { .. } => Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "rows_too_large",
            "the request's rows are too large to log at once; send fewer at once",
        ),
        AppendError::Refused { source } => {
            tracing::warn!(error = %source, "wal.write.refused");
            Refusal::unavailable(
                "disk_refused",
                "the disk refused a write; send it again",
                second,
            )
        }
        AppendError::Rows { .. } => {
            tracing::error!(%error, "wal.append.failed");
            Refusal::internal()
        }
        _ => Refusal::unavailable("log_failed", "the log refused; send it again", second),
    }
}
