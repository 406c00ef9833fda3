//! Reading from the lake what the store does not have: single traces that it has dropped, and all
//! that came since its position.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::TryStreamExt;
use weir_lake::{Bounds, LakeFile, Snapshot};
use weir_model::{Dataset, TenantId};
use weir_transforms::trace::Fact;

use crate::LedgerError;
use crate::booked;
use crate::ledger::Ledger;
use crate::place::{Place, cursors};
use crate::round::{Come, damaged};
use crate::status::add;
use crate::store::{Change, Entry, Store, TraceKey};
use crate::trace::{Known, Terms, push};
use crate::window::{Cursors, Reader, Window};

/// When rows were accepted, in microseconds, both included.
pub(crate) type Period = (i64, i64);

/// Any time.
pub(crate) const ALWAYS: Period = (i64::MIN, i64::MAX);

const DAY_US: i64 = 86_400_000_000;

/// Bytes that a row takes while it is on its way into the store, about.
const ROW_BYTES: usize = 4_096;

/// How many traces are searched for at once: each is asked of every filter of every file.
const TRACES_AT_ONCE: usize = 5_000;

/// When the rows of a file were accepted; always, where that is not known.
pub(crate) fn received(file: &LakeFile) -> Period {
    match file
        .stats
        .get("received_at")
        .and_then(|s| s.bounds.as_ref())
    {
        Some(Bounds::Time { min, max }) => (*min, *max),
        Some(Bounds::Int { .. } | Bounds::Text { .. }) | None => ALWAYS,
    }
}

/// Whom to look for, where.
struct Search {
    traces: Arc<BTreeSet<String>>,
    tenants: BTreeSet<TenantId>,
    periods: BTreeSet<Period>,
}

impl Search {
    fn may_be_in(&self, file: &LakeFile) -> bool {
        let (min, max) = received(file);
        let tenant = file
            .tenant
            .as_ref()
            .is_none_or(|t| self.tenants.contains(t));
        tenant
            && self
                .periods
                .iter()
                .any(|(from, to)| *from <= max && min <= *to)
    }
}

impl Ledger {
    /// What the lake has of `wanted` up to `place`, with what the store has. A trace whose facts do
    /// not lead to what is booked of it is marked: some of them are gone for good.
    pub(crate) async fn restore(
        &mut self,
        wanted: BTreeMap<TraceKey, Vec<Period>>,
        place: &Place,
        (spans, ledger): (&Snapshot, &Snapshot),
    ) -> Result<HashMap<TraceKey, Known>, LedgerError> {
        let mut restored = HashMap::new();
        let wanted: Vec<_> = wanted.into_iter().collect();
        for some in wanted.chunks(TRACES_AT_ONCE) {
            add(&self.status.reread, some.len());
            self.restore_some(some, place, (spans, ledger), &mut restored)
                .await?;
        }
        Ok(restored)
    }

    async fn restore_some(
        &mut self,
        wanted: &[(TraceKey, Vec<Period>)],
        place: &Place,
        (spans, ledger): (&Snapshot, &Snapshot),
        restored: &mut HashMap<TraceKey, Known>,
    ) -> Result<(), LedgerError> {
        let keys = || wanted.iter().map(|(key, _)| key);
        let mut search = Search {
            traces: Arc::new(keys().map(|k| k.trace.to_string()).collect()),
            tenants: keys().map(|k| k.tenant.clone()).collect(),
            periods: wanted
                .iter()
                .flat_map(|(_, periods)| periods.iter().copied())
                .collect(),
        };
        let mut known: HashMap<TraceKey, Known> = HashMap::new();
        for key in keys() {
            let entry = self.store.get_one(key)?;
            let of_store = Known::of(&entry, &mut self.shared).ok_or_else(damaged)?;
            known.insert(key.clone(), of_store);
        }
        let mut come = Come::default();
        let columns = self.spans.columns().to_vec();
        let before = Window::between(&Cursors::new(), &place.cursors);
        for file in spans.files().iter().filter(|f| search.may_be_in(f)) {
            for piece in self.pieces(Dataset::Spans, file, &columns, &search).await? {
                let (piece, _) = before.of(&piece)?;
                come.add(&piece, &mut self.shared, |key, _| known.contains_key(key))?;
            }
        }
        for (key, facts) in come.by_trace {
            known.entry(key).or_default().facts.extend(facts);
        }
        // What is booked was booked after its spans had been accepted.
        let first = search.periods.iter().map(|p| p.0).min().unwrap_or(i64::MIN);
        search.periods = [(first, i64::MAX)].into();
        for file in ledger.files().iter().filter(|f| search.may_be_in(f)) {
            for piece in self
                .pieces(Dataset::CostLedger, file, booked::COLUMNS, &search)
                .await?
            {
                for (key, row) in booked::from_rows(&piece).filter(|(_, r)| r.batch <= place.batch)
                {
                    if let Some(known) = known.get_mut(&key) {
                        known.booked.add(row);
                    }
                }
            }
        }
        for (key, mut known) in known {
            let prices = self.prices.of(&key.tenant);
            let terms = Terms {
                prices: prices.as_ref(),
                entries: self.order.entries(),
                now_us: 0,
            };
            known.additions_only = !known.explains_itself(&key, &terms);
            restored.insert(key, known);
        }
        Ok(())
    }

    async fn pieces(
        &self,
        dataset: Dataset,
        file: &LakeFile,
        columns: &[&str],
        search: &Search,
    ) -> Result<Vec<RecordBatch>, LedgerError> {
        let traces = Some(Arc::clone(&search.traces));
        let pieces = self.lake.read_file(dataset, file, columns, traces).await?;
        Ok(pieces.try_collect().await?)
    }

    /// Brings the store to `place` where it is elsewhere; says whether it was.
    pub(crate) async fn sync(
        &mut self,
        ledger: &Snapshot,
        place: &Place,
    ) -> Result<bool, LedgerError> {
        let wanted = place.position();
        if *self.store.position() == wanted {
            return Ok(false);
        }
        let from = self.store.position().clone();
        let ahead = from.round > place.round
            || from.batch > place.batch
            || cursors(&from)
                .iter()
                .any(|(n, b)| place.cursors.get(n).is_none_or(|to| b > to));
        if ahead {
            tracing::warn!(round = from.round, lake = place.round, "ledger.store.ahead");
            self.store.clear()?;
        }
        let from = self.store.position().clone();
        // An empty store need not hold all that ever was: older traces are read when they are wanted.
        let now_us = self.clock.now_us();
        let back = |d: std::time::Duration| {
            now_us.saturating_sub(i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
        };
        let since = if from.round == 0 {
            (back(self.config.facts_kept), back(self.config.lookback))
        } else {
            (i64::MIN, i64::MIN)
        };
        tracing::info!(from = from.round, to = place.round, "ledger.syncing");
        self.sync_facts(&cursors(&from), place, since).await?;
        self.sync_bookings(ledger, (from.batch, place.batch), since)
            .await?;
        self.store.apply(Change::default(), wanted, now_us);
        self.store.keep(now_us)?;
        self.tell_size();
        Ok(true)
    }

    /// Reads the facts between `from` and `place`: those accepted since the first time are kept, of
    /// those since the second it is remembered that there was the trace.
    async fn sync_facts(
        &mut self,
        from: &Cursors,
        place: &Place,
        (kept, known): (i64, i64),
    ) -> Result<(), LedgerError> {
        let spans = self.lake.snapshot(Dataset::Spans).await?;
        let window = Window::between(from, &place.cursors);
        let files = spans.files().iter();
        let files = files.filter(|f| window.may_hold(f) && received(f).1 >= known);
        let mut come = Come::default();
        let mut reader = Reader::new(Dataset::Spans, Fact::columns());
        let (rows_max, now_us) = (self.rows_max(), self.clock.now_us());
        for file in files {
            let mut old: BTreeSet<TraceKey> = BTreeSet::new();
            let mut period: Period = (i64::MAX, i64::MIN);
            let (shared, store) = (&mut self.shared, &mut self.store);
            let each = |piece: RecordBatch| {
                come.add(&piece, shared, |key, fact| {
                    if fact.received_us < kept {
                        old.insert(key.clone());
                        let at = fact.received_us;
                        period = (period.0.min(at), period.1.max(at));
                    }
                    fact.received_us >= kept
                })?;
                if come.facts >= rows_max {
                    keep_facts(store, std::mem::take(&mut come), now_us)?;
                }
                if old.len() >= rows_max {
                    remember(store, &mut old, period)?;
                }
                Ok::<(), LedgerError>(())
            };
            reader.each(&self.lake, file, &window, each).await?;
            remember(&mut self.store, &mut old, period)?;
        }
        keep_facts(&mut self.store, come, now_us)?;
        self.pass("syncing")
    }

    /// Reads the bookings of the batches after the first and up to the second: those made since the
    /// first time are kept, of those since the second it is remembered that there was the trace,
    /// also where its spans have left the lake.
    async fn sync_bookings(
        &mut self,
        ledger: &Snapshot,
        (after, to): (i64, i64),
        (kept, known): (i64, i64),
    ) -> Result<(), LedgerError> {
        let node = &self.config.node;
        let from = Cursors::from([(node.clone(), after)]);
        let window = Window::between(&from, &Cursors::from([(node.clone(), to)]));
        let files = ledger.files().iter();
        let files = files.filter(|f| window.may_hold(f) && received(f).1 >= known);
        let mut reader = Reader::new(Dataset::CostLedger, booked::COLUMNS.iter().copied());
        for file in files {
            let (first, last) = received(file);
            // What was booked came within a day before, but for what waited for its lake.
            let period = (first < kept).then(|| (first.saturating_sub(DAY_US), last));
            let (store, rows_max, now_us) = (
                &mut self.store,
                self.config.memory_bytes / ROW_BYTES,
                self.clock.now_us(),
            );
            let mut entries: HashMap<TraceKey, Entry> = HashMap::new();
            let mut rows = 0;
            let mut keep = |entries: HashMap<TraceKey, Entry>| {
                if let Some(period) = period {
                    let mut keys = entries.keys().cloned().collect();
                    remember(store, &mut keys, period)?;
                }
                if last < kept {
                    return Ok(());
                }
                let change = Change {
                    entries: entries.into_iter().collect(),
                    ..Change::default()
                };
                let position = store.position().clone();
                store.apply(change, position, now_us);
                store.keep(now_us)
            };
            let each = |piece: RecordBatch| {
                for (key, row) in booked::from_rows(&piece) {
                    booked::push(&row, &mut entries.entry(key).or_default().bookings);
                    rows += 1;
                }
                if rows >= rows_max {
                    rows = 0;
                    keep(std::mem::take(&mut entries))?;
                }
                Ok::<(), LedgerError>(())
            };
            reader.each(&self.lake, file, &window, each).await?;
            keep(entries)?;
        }
        self.pass("synced")
    }
}

/// Puts facts into the store that were booked before. Its position stays: what it is given twice
/// counts once.
fn keep_facts(store: &mut Store, come: Come, now_us: i64) -> std::io::Result<()> {
    let entries = come.by_trace.into_iter().map(|(key, facts)| {
        let mut entry = Entry::default();
        facts.iter().for_each(|fact| push(fact, &mut entry.facts));
        (key, entry)
    });
    let change = Change {
        entries: entries.collect(),
        facts: come.facts as u64,
        received: come.received,
    };
    let position = store.position().clone();
    store.apply(change, position, now_us);
    store.keep(now_us)
}

/// Remembers that there were these traces, of which the store has not all, and forgets the list.
fn remember(
    store: &mut Store,
    keys: &mut BTreeSet<TraceKey>,
    period: Period,
) -> std::io::Result<()> {
    let keys: Vec<TraceKey> = std::mem::take(keys).into_iter().collect();
    if keys.is_empty() {
        return Ok(());
    }
    store.remember(&keys, period)
}
