//! The ledger's account: what stands in it, against what all spans up to its cursors come to when
//! they are computed once.

use std::collections::{BTreeMap, HashMap};

use arrow_array::RecordBatch;
use serde::Serialize;
use weir_lake::{Lake, Snapshot};
use weir_model::{Dataset, NodeId};
use weir_transforms::trace::{Booking, Fact, Shared};

use crate::LedgerError;
use crate::booked::{self, Booked};
use crate::events::{self, EventTerms};
use crate::order::Order;
use crate::place::Place;
use crate::prices::PriceLists;
use crate::round::Come;
use crate::store::TraceKey;
use crate::trace::{Known, Terms};
use crate::window::{Cursors, Reader, Window};

/// Spans that are looked at in one pass over the files; a larger lake takes several.
const ROWS_AT_ONCE: u64 = 1_000_000;

/// The account; amounts are in 10^-12 US dollars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Bookings that stand.
    pub bookings: u64,
    /// What they come to.
    pub booked: i128,
    /// Calls that are billed by all spans up to the ledger's cursors.
    pub calls: u64,
    /// What these come to, each under the list that it was booked by.
    pub computed: i128,
    /// Bookings of traces some of whose spans are no longer in the lake, which cannot be computed
    /// again; they are in `bookings`, and their amount in `booked`.
    pub gone: u64,
    /// What these come to.
    pub gone_amount: i128,
    /// Traces whose bookings are not what their spans come to, though these are all there.
    pub wrong_traces: u64,
    /// Bookings of events that stand: each is one row of `telemetry_events` or `log_events`. They
    /// are not in `bookings`.
    pub event_bookings: u64,
    /// What these come to; not in `booked`.
    pub events_booked: i128,
    /// Of these, bookings whose event is no longer in the lake.
    pub events_gone: u64,
    /// Events that are not booked as they are, though they are all there.
    pub wrong_events: u64,
    /// Batches of spans and events in the lake that the ledger has not booked yet.
    pub pending_batches: u64,
}

impl Account {
    /// Adds what another ledger came to.
    pub fn add(&mut self, other: &Self) {
        let Self {
            bookings,
            booked,
            calls,
            computed,
            gone,
            gone_amount,
            wrong_traces,
            event_bookings,
            events_booked,
            events_gone,
            wrong_events,
            pending_batches,
        } = other;
        self.bookings += bookings;
        self.booked += booked;
        self.calls += calls;
        self.computed += computed;
        self.gone += gone;
        self.gone_amount += gone_amount;
        self.wrong_traces += wrong_traces;
        self.event_bookings += event_bookings;
        self.events_booked += events_booked;
        self.events_gone += events_gone;
        self.wrong_events += wrong_events;
        self.pending_batches += pending_batches;
    }

    /// Whether every booking is as its spans, or its event, want it.
    pub fn closes(&self) -> bool {
        self.wrong_traces == 0
            && self.wrong_events == 0
            && self.booked - self.gone_amount == self.computed
    }
}

/// Computes the account of the ledger in `lake` whose bookings are under the name of `node`, by
/// reading all of spans and ledger.
///
/// # Errors
///
/// Where a table or an object beside it cannot be read.
pub async fn account(
    lake: &Lake,
    node: &NodeId,
    prices: &dyn PriceLists,
) -> Result<Account, LedgerError> {
    let ledger = lake.snapshot(Dataset::CostLedger).await?;
    let place = Place::in_lake(&ledger, node);
    let spans = lake.snapshot(Dataset::Spans).await?;
    let mut order = Order::new(lake);
    order.load(place.entries).await?;
    let latest: Cursors = spans.nodes().map(|(n, b)| (n.clone(), b)).collect();
    let terms = EventTerms {
        prices,
        entries: order.entries(),
    };
    let events = events::account::account(lake, (&ledger, node, &place), terms).await?;
    let pending = Window::between(&place.cursors, &latest).batches();
    let mut account = Account {
        event_bookings: events.bookings,
        events_booked: events.booked,
        events_gone: events.gone,
        wrong_events: events.wrong,
        pending_batches: pending + events.pending_batches,
        ..Account::default()
    };
    let passes = spans.rows().div_ceil(ROWS_AT_ONCE).max(1);
    for pass in 0..passes {
        let mut tables = Tables {
            lake,
            node,
            place: &place,
            ours: |key: &TraceKey| key.hash() % passes == pass,
            shared: Shared::default(),
        };
        let facts = tables.facts(&spans).await?;
        let booked = tables.booked(&ledger).await?;
        add(&mut account, facts, booked, prices, &order);
    }
    Ok(account)
}

struct Tables<'a, F> {
    lake: &'a Lake,
    node: &'a NodeId,
    place: &'a Place,
    ours: F,
    shared: Shared,
}

impl<F: Fn(&TraceKey) -> bool> Tables<'_, F> {
    async fn facts(
        &mut self,
        spans: &Snapshot,
    ) -> Result<HashMap<TraceKey, Vec<Fact>>, LedgerError> {
        let window = Window::between(&Cursors::new(), &self.place.cursors);
        let mut reader = Reader::new(Dataset::Spans, Fact::columns());
        let mut come = Come::default();
        for file in spans.files().iter().filter(|f| window.may_hold(f)) {
            let (ours, shared) = (&self.ours, &mut self.shared);
            let each = |piece: RecordBatch| come.add(&piece, shared, |key, _| ours(key));
            reader.each(self.lake, file, &window, each).await?;
        }
        Ok(come.by_trace)
    }

    async fn booked(&self, ledger: &Snapshot) -> Result<BTreeMap<TraceKey, Booked>, LedgerError> {
        let to = Cursors::from([(self.node.clone(), self.place.batch)]);
        let window = Window::between(&Cursors::new(), &to);
        let mut reader = Reader::new(Dataset::CostLedger, booked::COLUMNS.iter().copied());
        let mut all: BTreeMap<TraceKey, Booked> = BTreeMap::new();
        for file in ledger.files().iter().filter(|f| window.may_hold(f)) {
            let each = |piece: RecordBatch| {
                for (key, row) in booked::from_rows(&piece).filter(|(key, _)| (self.ours)(key)) {
                    all.entry(key).or_default().add(row);
                }
                Ok::<(), LedgerError>(())
            };
            reader.each(self.lake, file, &window, each).await?;
        }
        Ok(all)
    }
}

fn sum<'a>(bookings: impl Iterator<Item = &'a Booking>) -> i128 {
    bookings.filter_map(|b| b.cost).sum()
}

fn add(
    account: &mut Account,
    mut facts: HashMap<TraceKey, Vec<Fact>>,
    booked: BTreeMap<TraceKey, Booked>,
    prices: &dyn PriceLists,
    order: &Order,
) {
    let mut all: BTreeMap<TraceKey, Booked> = booked;
    for key in facts.keys() {
        all.entry(key.clone()).or_default();
    }
    for (key, booked) in all {
        let of = prices.of(&key.tenant);
        let terms = Terms {
            prices: of.as_ref(),
            entries: order.entries(),
            now_us: 0,
        };
        let known = Known {
            facts: facts.remove(&key).unwrap_or_default(),
            booked,
            additions_only: false,
        };
        let after = known.after(&key, &[], &terms);
        let standing = known.booked.standing();
        let bookings = standing.len() as u64;
        let amount = sum(standing.iter().map(|(_, b)| *b));
        account.bookings += bookings;
        account.booked += amount;
        let same = after.iter().eq(standing.iter().map(|(_, b)| *b));
        // A booked span that the lake does not have any more: the trace cannot be judged.
        let gone = standing
            .iter()
            .any(|(_, b)| !known.facts.iter().any(|f| f.span == b.span));
        if gone {
            account.gone += bookings;
            account.gone_amount += amount;
            continue;
        }
        account.calls += after.len() as u64;
        account.computed += sum(after.iter());
        account.wrong_traces += u64::from(!same);
    }
}
