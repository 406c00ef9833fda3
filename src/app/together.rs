//! Small trace requests that come at the same time, decoded together.
//!
//! A row of spans has more than a hundred columns, and making and freeing them for a few spans
//! costs several times what the spans do. So a small request is queued; a task takes what has
//! queued up by the time the ready requests of other connections have been read, decodes it into
//! one batch, and hands that to the log. Under no load a request is alone in its group, and waits
//! for nobody; the more come, the more share.
//!
//! # Invariants
//!
//! * The rows and the answer of a request are those that it gets alone. Where anything in a group
//!   is to be refused, each of its requests is told to go alone, which finds out whose fault it is.
//! * A request that was queued is finished though its client leaves, so that a resend is folded.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use weir_ingest::admission::Budget;
use weir_ingest::decode::otlp::{DecodedTogether, TraceBody, decode_together};
use weir_ingest::decode::{Acceptance, Limits};
use weir_ingest::log::{Entry, Joined, Log, Route, Submission};
use weir_model::Dataset;
use weir_transforms::{Enricher, Tariff};

use crate::app::counters::Counters;
use crate::app::duplicates;
use crate::app::intake::{memory_of, refused};
use crate::app::prices::PriceBook;
use crate::app::resends::{Name, Ticket};
use crate::http::body::INLINE_BYTES_MAX;
use crate::http::refusal::Refusal;

/// Requests below this size are decoded together.
pub(crate) const SMALL_BYTES_MAX: usize = INLINE_BYTES_MAX;
/// A group takes no more requests beyond so many bytes: about a millisecond of work.
const GROUP_BYTES_MAX: usize = 256 << 10;

/// Requests that wait for their group; clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Together(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Groups that are worked on at once.
    groups_max: usize,
    parts: Parts,
}

/// What groups are worked on with.
#[derive(Debug)]
pub(crate) struct Parts {
    /// Where rows become durable.
    pub(crate) log: Arc<Log>,
    /// What fills the canonical columns.
    pub(crate) enricher: Arc<Enricher>,
    /// What calls cost.
    pub(crate) prices: Arc<PriceBook>,
    /// What a request may hold.
    pub(crate) limits: Limits,
    /// What all requests in flight may hold.
    pub(crate) budget: Budget,
    /// What is counted.
    pub(crate) counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    at_work: usize,
}

/// A small request.
#[derive(Debug)]
pub(crate) struct Small {
    /// Its body, plain Protobuf.
    pub(crate) bytes: Bytes,
    /// Whose it is, and since when.
    pub(crate) at: Acceptance,
    /// What a resend of it is known by.
    pub(crate) digest: Name,
    /// The right to answer it.
    pub(crate) ticket: Ticket,
}

#[derive(Debug)]
struct Job {
    small: Small,
    done: oneshot::Sender<Outcome>,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Its rows are durable; all its spans were accepted.
    Stored {
        /// When the node took it, in microseconds since the epoch.
        at_us: i64,
        /// The rows of its group, and which of them are its own.
        rows: RecordBatch,
        from: usize,
        count: usize,
    },
    /// Something in the group is to be refused: it must go alone. Nothing was kept.
    Alone,
    /// The log refused.
    Refused(Refusal),
}

impl Together {
    pub(crate) fn new(parts: Parts) -> Self {
        let groups_max = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Shared {
            queue: Mutex::default(),
            groups_max,
            parts,
        }))
    }

    /// Takes a small request with the others that come meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take the request back: it is stored all the same.
    pub(crate) async fn take(&self, small: Small) -> Outcome {
        let (done, outcome) = oneshot::channel();
        let begin = {
            let mut queue = self.0.queue.lock();
            queue.waiting.push_back(Job { small, done });
            let begin = queue.at_work < self.0.groups_max;
            queue.at_work += usize::from(begin);
            begin
        };
        if begin {
            tokio::spawn(AtWork(Arc::clone(&self.0)).run());
        }
        let lost = |_| Outcome::Refused(Refusal::internal());
        outcome.await.unwrap_or_else(lost)
    }
}

/// A place among those that work on groups, given up when dropped.
struct AtWork(Arc<Shared>);

impl Drop for AtWork {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.queue.lock().at_work -= 1;
        }
    }
}

impl AtWork {
    async fn run(self) {
        loop {
            // Lets the connections that have something to read queue it.
            tokio::task::yield_now().await;
            let Some(group) = self.next_group() else {
                return;
            };
            for group in by_tariff(&self.0.parts.prices, group) {
                work(&self.0.parts, group);
            }
        }
    }

    /// What waits, or `None`, and then this place is given up.
    fn next_group(&self) -> Option<Vec<Job>> {
        let mut queue = self.0.queue.lock();
        let mut bytes = 0;
        let mut group = Vec::new();
        while bytes < GROUP_BYTES_MAX
            && let Some(job) = queue.waiting.pop_front()
        {
            bytes += job.small.bytes.len();
            group.push(job);
        }
        if group.is_empty() {
            queue.at_work -= 1;
            return None;
        }
        Some(group)
    }
}

/// The requests of a group by what their tenants pay: nearly always all pay the same.
fn by_tariff(prices: &PriceBook, group: Vec<Job>) -> Vec<(Arc<Tariff>, Vec<Job>)> {
    let mut parts: Vec<(Arc<Tariff>, Vec<Job>)> = Vec::new();
    for job in group {
        let tariff = prices.current(&job.small.at.tenant);
        match parts.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &tariff)) {
            Some((_, jobs)) => jobs.push(job),
            None => parts.push((tariff, vec![job])),
        }
    }
    parts
}

/// Decodes a group, and sees to it that it becomes durable and its requests are answered.
fn work(parts: &Parts, (tariff, group): (Arc<Tariff>, Vec<Job>)) {
    let bodies: Vec<TraceBody<'_>> = group.iter().map(|job| job.small.body()).collect();
    let Some(decoded) = decode_together(&bodies, &parts.limits) else {
        return tell_all(group, &Outcome::Alone);
    };
    let DecodedTogether { rows, counts } = decoded;
    let rows = match parts.enricher.enrich_spans_at(rows, &tariff) {
        Ok(rows) => rows,
        Err(error) => {
            tracing::error!(%error, "enrich.failed");
            return tell_all(group, &Outcome::Refused(Refusal::internal()));
        }
    };
    let entries = group.iter().map(|job| job.small.entry()).collect();
    let joined = Joined {
        dataset: Dataset::Spans,
        rows: rows.clone(),
        counts: counts
            .iter()
            .map(|n| u32::try_from(*n).unwrap_or(u32::MAX))
            .collect(),
    };
    let submission = Submission {
        entries,
        joined: Some(joined),
    };
    // Until they are in the log they are held twice: as they came, and as rows.
    let held = parts.budget.hold(memory_of(&rows));
    let fingerprints = fingerprints(&group, &rows, &counts);
    let (log, counters) = (Arc::clone(&parts.log), Arc::clone(&parts.counters));
    tokio::spawn(async move {
        let appended = log.append(submission).await;
        drop(held);
        match appended {
            Ok(committed) => {
                counters.see(&fingerprints);
                stored(group, &rows, &counts, committed.committed_at_us);
            }
            Err(error) => tell_all(group, &Outcome::Refused(refused(error))),
        }
    });
}

/// What the spans are known by, should they come again.
fn fingerprints(group: &[Job], rows: &RecordBatch, counts: &[usize]) -> Vec<u64> {
    let mut all = Vec::with_capacity(rows.num_rows());
    let mut from = 0;
    for (job, count) in group.iter().zip(counts) {
        let tenant = &job.small.at.tenant;
        all.extend(duplicates::fingerprints_of(
            tenant,
            rows,
            from..from + count,
        ));
        from += count;
    }
    all
}

fn stored(group: Vec<Job>, rows: &RecordBatch, counts: &[usize], at_us: i64) {
    let mut from = 0;
    for (job, count) in group.into_iter().zip(counts.iter().copied()) {
        // Full success in Protobuf is an empty message.
        job.small.ticket.finish(Bytes::new(), at_us);
        let outcome = Outcome::Stored {
            at_us,
            rows: rows.clone(),
            from,
            count,
        };
        from += count;
        // Nobody waits any more where the client went away.
        drop(job.done.send(outcome));
    }
}

fn tell_all(group: Vec<Job>, outcome: &Outcome) {
    for job in group {
        let Job { small, done } = job;
        // Before anybody goes alone under the same name.
        drop(small);
        drop(done.send(outcome.clone()));
    }
}

impl Small {
    fn body(&self) -> TraceBody<'_> {
        TraceBody {
            bytes: &self.bytes,
            at: &self.at,
        }
    }

    fn entry(&self) -> Entry {
        Entry {
            tenant: self.at.tenant.clone(),
            route: Route::Traces,
            digest: Some(self.digest),
            idempotency_key: None,
            answer: Vec::new(),
            rows: Vec::new(),
        }
    }
}
