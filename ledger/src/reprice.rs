//! Applying an entry of the order: calls of a time are priced anew, and the difference is booked.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use weir_lake::{Bounds, Lake, LakeFile, Outcome, Snapshot};
use weir_model::{Dataset, TenantId};
use weir_transforms::trace::Sign;

use crate::LedgerError;
use crate::booked::{self, Signed};
use crate::cells::Cells;
use crate::ledger::{Ledger, Step};
use crate::place::Place;
use crate::prices::Reprice;
use crate::restore::ALWAYS;
use crate::round::{Draft, damaged};
use crate::status::add;
use crate::store::TraceKey;
use crate::store::entry::{Entry, WHOLE};
use crate::trace::{Known, Terms};

/// Traces that are computed for one commit.
const TRACES_AT_ONCE: usize = 2_000;

/// What an entry would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Traces with calls of the time.
    pub traces: usize,
    /// Calls whose booking would change.
    pub calls: usize,
    /// What these calls cost as they are booked, in 10^-12 US dollars.
    pub before: i128,
    /// What they would cost.
    pub after: i128,
}

impl Preview {
    /// Adds what the same entry would change in another ledger.
    pub fn add(&mut self, other: &Self) {
        self.traces += other.traces;
        self.calls += other.calls;
        self.before += other.before;
        self.after += other.after;
    }

    fn add_rows(&mut self, rows: &[Signed]) {
        for row in rows {
            let cost = row.booking.cost.unwrap_or(0);
            match row.sign {
                Sign::Minus => self.before += cost,
                Sign::Plus => {
                    self.after += cost;
                    self.calls += 1;
                }
            }
        }
    }

    /// Adds changes that are rows of the ledger already.
    fn add_booked(&mut self, rows: &RecordBatch) {
        let cells = Cells(rows);
        for at in 0..rows.num_rows() {
            let cost = cells.money("cost_usd", at).unwrap_or(0);
            if cells.int("sign", at).is_some_and(|sign| sign < 0) {
                self.before += cost;
            } else {
                self.after += cost;
                self.calls += 1;
            }
        }
    }
}

/// Whether the file may hold bookings that the entry concerns.
pub(crate) fn may_concern(entry: &Reprice, file: &LakeFile) -> bool {
    let tenant = file.tenant.as_ref();
    let tenant = tenant.is_none_or(|t| entry.lists.contains_key(t.as_str()));
    let time = began(file, entry.from_us, entry.to_us);
    tenant && time
}

/// The tenants that have bookings of calls that began from `from_us` up to `to_us`.
///
/// # Errors
///
/// Where the ledger cannot be read.
pub async fn tenants(
    lake: &Lake,
    (from_us, to_us): (i64, i64),
) -> Result<BTreeSet<TenantId>, LedgerError> {
    let ledger = lake.snapshot(Dataset::CostLedger).await?;
    let mut all = BTreeSet::new();
    for file in ledger.files().iter().filter(|f| began(f, from_us, to_us)) {
        if let Some(tenant) = &file.tenant {
            all.insert(tenant.clone());
            continue;
        }
        let columns = booked::COLUMNS;
        let mut pieces = lake
            .read_file(Dataset::CostLedger, file, columns, None)
            .await?;
        while let Some(piece) = pieces.try_next().await? {
            let rows = 0..piece.num_rows();
            let tenants = rows.filter_map(|at| Cells(&piece).text("tenant_id", at));
            all.extend(tenants.filter_map(|tenant| TenantId::new(tenant).ok()));
        }
    }
    Ok(all)
}

/// Whether the file may hold bookings of calls of that time.
pub(crate) fn began(file: &LakeFile, from_us: i64, to_us: i64) -> bool {
    match file.stats.get("event_time").and_then(|s| s.bounds.as_ref()) {
        Some(Bounds::Time { min, max }) => *max >= from_us && *min < to_us,
        Some(Bounds::Int { .. } | Bounds::Text { .. }) | None => true,
    }
}

impl Ledger {
    /// Books what `entry`, the next one of the order, changes.
    pub(crate) async fn apply_entry(
        &mut self,
        ledger: &Snapshot,
        mut place: Place,
        entry: Reprice,
    ) -> Result<Step, LedgerError> {
        tracing::info!(entry = place.entries + 1, "ledger.repricing");
        let keys = self.concerned(ledger, &entry).await?;
        let mut bookings = 0;
        for some in keys.chunks(TRACES_AT_ONCE) {
            let (ledger, now) = self.place().await?;
            if now != place {
                return Ok(Step::Fenced);
            }
            let mut draft = Draft::default();
            for (key, rows, entry) in self.reprice(&ledger, &place, some).await? {
                draft.add(key, rows, entry);
            }
            if draft.rows.is_empty() {
                continue;
            }
            bookings += draft.rows.len();
            if self.commit(&place, place.clone(), draft).await? == Outcome::Fenced {
                return Ok(Step::Fenced);
            }
            place = self.place().await?.1;
            self.pass("repriced")?;
        }
        let Some((place, events)) = Box::pin(self.reprice_events(place, &entry)).await? else {
            return Ok(Step::Fenced);
        };
        bookings += events;
        let mut next = place.clone();
        next.entries += 1;
        match self.commit(&place, next, Draft::default()).await? {
            Outcome::Fenced => Ok(Step::Fenced),
            Outcome::Committed { .. } => Ok(Step::Booked {
                spans: 0,
                bookings,
                more: true,
            }),
        }
    }

    /// What `entry` would change, if it were the next of the order. Nothing is booked.
    ///
    /// # Errors
    ///
    /// Where the lake or the store cannot be read.
    pub async fn preview(&mut self, entry: &Reprice) -> Result<Preview, LedgerError> {
        let (ledger, place) = self.place().await?;
        Box::pin(self.sync(&ledger, &place)).await?;
        let keys = self.concerned(&ledger, entry).await?;
        let mut preview = Preview {
            traces: keys.len(),
            ..Preview::default()
        };
        self.order.pretend(Some(entry.clone()));
        let mut fault = None;
        for some in keys.chunks(TRACES_AT_ONCE) {
            match self.reprice(&ledger, &place, some).await {
                Ok(traces) => traces
                    .iter()
                    .for_each(|(_, rows, _)| preview.add_rows(rows)),
                Err(error) => {
                    fault = Some(error);
                    break;
                }
            }
        }
        let events = self.preview_events((&ledger, &place), entry, |rows| preview.add_booked(rows));
        fault = fault.or(Box::pin(events).await.err());
        self.order.pretend(None);
        fault.map_or(Ok(preview), Err)
    }

    /// The traces with bookings that the entry concerns, in their order.
    async fn concerned(
        &self,
        ledger: &Snapshot,
        entry: &Reprice,
    ) -> Result<Vec<TraceKey>, LedgerError> {
        let mut keys = BTreeSet::new();
        for file in ledger.files().iter().filter(|f| may_concern(entry, f)) {
            let columns = booked::COLUMNS;
            let pieces = self
                .lake
                .read_file(Dataset::CostLedger, file, columns, None);
            let mut pieces = pieces.await?;
            while let Some(piece) = pieces.try_next().await? {
                for (key, row) in booked::from_rows(&piece) {
                    let start_us = row.booking.start.div_euclid(1000);
                    if entry.concerns(key.tenant.as_str(), start_us) {
                        keys.insert(key);
                    }
                }
            }
        }
        Ok(keys.into_iter().collect())
    }

    /// Computes traces again, with what the store is to have of each.
    async fn reprice(
        &mut self,
        ledger: &Snapshot,
        place: &Place,
        keys: &[TraceKey],
    ) -> Result<Vec<(TraceKey, Vec<Signed>, Entry)>, LedgerError> {
        let spans = self.lake.snapshot(Dataset::Spans).await?;
        let mut wanted = BTreeMap::new();
        for key in keys {
            // What is booked was there once: where the store has no facts, the lake is asked.
            let none = self.store.get_one(key)?.facts.is_empty();
            let dropped = self.store.dropped(key)?;
            if none || !dropped.is_empty() {
                wanted.insert(key.clone(), if none { vec![ALWAYS] } else { dropped });
            }
        }
        let mut restored = self.restore(wanted, place, (&spans, ledger)).await?;
        let now_us = self.clock.now_us();
        add(&self.status.traces, keys.len());
        let mut all = Vec::new();
        for key in keys {
            let prices = self.prices.of(&key.tenant);
            let terms = Terms {
                prices: prices.as_ref(),
                entries: self.order.entries(),
                now_us,
            };
            let (known, entry) = match restored.remove(key) {
                Some(known) => {
                    let entry = known.entry(WHOLE);
                    (known, entry)
                }
                None => {
                    let found = self.store.get_one(key)?;
                    let known = Known::of(&found, &mut self.shared);
                    (known.ok_or_else(damaged)?, Entry::default())
                }
            };
            let rows = known.changes(key, &[], &terms);
            all.push((key.clone(), rows, entry));
        }
        Ok(all)
    }
}
