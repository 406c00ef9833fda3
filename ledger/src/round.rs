//! One round: new spans are read, their traces are computed, the difference is committed.

use std::collections::{BTreeMap, HashMap};

use arrow_array::RecordBatch;
use weir_lake::{Derived, Outcome, Snapshot};
use weir_model::{Batch, BatchId, Dataset, TenantId};
use weir_transforms::trace::{Fact, Shared};

use crate::booked::{self, Row, Signed};
use crate::ledger::{Ledger, Step};
use crate::place::Place;
use crate::prices::PriceLists;
use crate::restore::Period;
use crate::status::add;
use crate::store::entry::{Entry, WHOLE};
use crate::store::{Change, TraceKey};
use crate::trace::{Known, Terms, push};
use crate::{LedgerError, window};

/// Facts that have come, by trace.
#[derive(Debug, Default)]
pub(crate) struct Come {
    pub(crate) by_trace: HashMap<TraceKey, Vec<Fact>>,
    pub(crate) facts: usize,
    pub(crate) received: Option<Period>,
}

impl Come {
    /// Adds the facts of a piece; of those `keep` denies only the trace is told to it.
    pub(crate) fn add(
        &mut self,
        piece: &RecordBatch,
        shared: &mut Shared,
        mut keep: impl FnMut(&TraceKey, &Fact) -> bool,
    ) -> Result<(), LedgerError> {
        let mut last: Option<TenantId> = None;
        for (tenant, trace, fact) in Fact::read(piece, shared)? {
            if last.as_ref().is_none_or(|known| known.as_str() != tenant) {
                last = TenantId::new(tenant).ok();
            }
            let Some(tenant) = last.clone() else { continue };
            let key = TraceKey { tenant, trace };
            if !keep(&key, &fact) {
                continue;
            }
            let at = fact.received_us;
            let (from, to) = self.received.unwrap_or((at, at));
            self.received = Some((from.min(at), to.max(at)));
            self.facts += 1;
            self.by_trace.entry(key).or_default().push(fact);
        }
        Ok(())
    }

    /// Names the list that calls without one are priced by from now on.
    fn under(&mut self, prices: &dyn PriceLists) {
        let mut tenants: BTreeMap<TenantId, std::sync::Arc<str>> = BTreeMap::new();
        for (key, facts) in &mut self.by_trace {
            let calls = facts.iter_mut().filter_map(|f| f.call.as_deref_mut());
            for call in calls.filter(|call| call.list.is_none()) {
                let list = tenants
                    .entry(key.tenant.clone())
                    .or_insert_with(|| prices.of(&key.tenant).under(None).name().into());
                call.list = Some(std::sync::Arc::clone(list));
            }
        }
    }
}

/// What a commit of the ledger adds, and what it makes of the store.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) rows: Vec<Signed>,
    entries: BTreeMap<TraceKey, Entry>,
    facts: usize,
    received: Option<Period>,
}

impl Draft {
    /// Adds a trace: its rows, and what the store gets of it.
    pub(crate) fn add(&mut self, key: TraceKey, rows: Vec<Signed>, entry: Entry) {
        self.rows.extend(rows);
        self.entries.insert(key, entry);
    }

    /// The change of the store once the rows are batch `batch`.
    fn change(self, batch: i64) -> Change {
        let mut entries = self.entries;
        for (place, signed) in (0..).zip(self.rows) {
            let row = Row {
                batch,
                row: place,
                sign: signed.sign,
                part_date: signed.part_date,
                booking: signed.booking,
            };
            let entry = entries.entry(signed.key).or_default();
            booked::push(&row, &mut entry.bookings);
        }
        Change {
            entries: entries.into_iter().collect(),
            facts: self.facts as u64,
            received: self.received,
        }
    }
}

impl Ledger {
    /// Books what is new since `place`.
    pub(crate) async fn round(
        &mut self,
        ledger: &Snapshot,
        place: Place,
    ) -> Result<Step, LedgerError> {
        // Before more is read: where the disk takes nothing, memory must not grow in its place.
        self.store.keep(self.clock.now_us())?;
        let spans = self.lake.snapshot(Dataset::Spans).await?;
        let rows_max = self.rows_max() as u64;
        let Some(plan) = self.spans.plan(&spans, &place.cursors, rows_max) else {
            self.status.lag(0, self.clock.now_us());
            return Ok(Step::Idle);
        };
        let pending = spans.nodes().map(|(n, b)| (n.clone(), b)).collect();
        let pending = window::Window::between(&place.cursors, &pending).batches();
        self.status.lag(pending, self.clock.now_us());
        let mut come = Come::default();
        for file in &plan.files {
            let (lake, shared) = (&self.lake, &mut self.shared);
            let each = |piece: RecordBatch| come.add(&piece, shared, |_, _| true);
            self.spans.each(lake, file, &plan.window, each).await?;
        }
        come.under(self.prices.as_ref());
        self.pass("read")?;
        let read = come.facts;
        let draft = self.draft(ledger, &spans, &place, come).await?;
        let mut next = place.clone();
        let ends = plan.window.ends();
        next.cursors
            .extend(ends.map(|(node, batch)| (node.clone(), batch)));
        let bookings = draft.rows.len();
        let outcome = self.commit(&place, next, draft).await?;
        if outcome == Outcome::Fenced {
            return Ok(Step::Fenced);
        }
        add(&self.status.spans, read);
        if !plan.more {
            self.status.lag(0, self.clock.now_us());
        }
        Ok(Step::Booked {
            spans: read,
            bookings,
            more: plan.more,
        })
    }

    /// Computes the traces to which `come` has come.
    async fn draft(
        &mut self,
        ledger: &Snapshot,
        spans: &Snapshot,
        place: &Place,
        come: Come,
    ) -> Result<Draft, LedgerError> {
        let mut wanted = BTreeMap::new();
        for key in come.by_trace.keys() {
            let dropped = self.store.dropped(key)?;
            if !dropped.is_empty() {
                wanted.insert(key.clone(), dropped);
            }
        }
        let mut restored = self.restore(wanted, place, (spans, ledger)).await?;
        let now_us = self.clock.now_us();
        let mut draft = Draft {
            facts: come.facts,
            received: come.received,
            ..Draft::default()
        };
        add(&self.status.traces, come.by_trace.len());
        let mut by_trace: Vec<_> = come.by_trace.into_iter().collect();
        by_trace.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, facts) in by_trace {
            let prices = self.prices.of(&key.tenant);
            let terms = Terms {
                prices: prices.as_ref(),
                entries: self.order.entries(),
                now_us,
            };
            let (known, mut entry) = match restored.remove(&key) {
                Some(known) => {
                    let entry = known.entry(WHOLE);
                    (known, entry)
                }
                None => {
                    let found = self.store.get_one(&key)?;
                    let known = Known::of(&found, &mut self.shared);
                    (known.ok_or_else(damaged)?, Entry::default())
                }
            };
            let rows = known.changes(&key, &facts, &terms);
            facts.iter().for_each(|fact| push(fact, &mut entry.facts));
            draft.add(key, rows, entry);
        }
        Ok(draft)
    }

    /// Commits `draft`, which leads from `place` to `next` but for the numbers of round and batch,
    /// and brings the store there.
    pub(crate) async fn commit(
        &mut self,
        place: &Place,
        mut next: Place,
        draft: Draft,
    ) -> Result<Outcome, LedgerError> {
        let now_us = self.clock.now_us();
        let rows = (!draft.rows.is_empty())
            .then(|| booked::to_rows(&draft.rows, now_us, place.batch + 1))
            .transpose()?;
        let outcome = self.commit_rows(place, &mut next, rows.as_ref()).await?;
        if outcome == Outcome::Fenced {
            return Ok(outcome);
        }
        add(&self.status.bookings, draft.rows.len());
        let change = draft.change(next.batch);
        self.apply(change, &next, now_us)?;
        self.tell_size();
        Ok(outcome)
    }

    /// Commits `rows` as the next batch of the ledger, where there are any, with how far its sources
    /// were read: from `place` to `next`, which gets its numbers of round and batch here.
    pub(crate) async fn commit_rows(
        &self,
        place: &Place,
        next: &mut Place,
        rows: Option<&RecordBatch>,
    ) -> Result<Outcome, LedgerError> {
        next.round = place.round + 1;
        let batch = match rows {
            None => None,
            Some(rows) => {
                next.batch = place.batch + 1;
                let id = BatchId {
                    node: self.config.node.clone(),
                    dataset: Dataset::CostLedger,
                    number: next.batch,
                };
                Some(Batch::seal(id, rows)?)
            }
        };
        self.pass("computed")?;
        let derived = Derived {
            batch: batch.as_ref(),
            expect: &place.expect(),
            then: &place.then(next),
        };
        let outcome = Box::pin(self.lake.derive(Dataset::CostLedger, &derived)).await?;
        if outcome != Outcome::Fenced {
            self.pass("committed")?;
            add(&self.status.rounds, 1);
        }
        Ok(outcome)
    }

    /// Brings the store to `next`, which was committed at `now_us`.
    pub(crate) fn apply(
        &mut self,
        change: Change,
        next: &Place,
        now_us: i64,
    ) -> Result<(), LedgerError> {
        self.store.apply(change, next.position(), now_us);
        self.pass("applied")?;
        self.store.keep(now_us)?;
        self.pass("kept")
    }
}

/// The store holds what it cannot have been given.
pub(crate) fn damaged() -> std::io::Error {
    std::io::Error::new(
        std::io::ErrorKind::InvalidData,
        "an entry of the store is damaged",
    )
}
