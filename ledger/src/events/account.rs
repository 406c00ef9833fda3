//! The account of events: each row that is a call against its booking.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use weir_lake::{Lake, Snapshot};
use weir_model::{Dataset, NodeId};

use super::reprice::key_of;
use super::{EventTable, EventTerms, TABLES, columns, to_bookings};
use crate::LedgerError;
use crate::cells::Cells;
use crate::place::Place;
use crate::window::{Cursors, Reader, Window};

/// Events that are looked at in one pass over the files; a larger lake takes several.
const ROWS_AT_ONCE: u64 = 2_000_000;

/// Columns of the ledger that are read.
const BOOKED: [&str; 5] = ["tenant_id", "source", "event_id", "sign", "cost_usd"];

/// What the bookings of events come to; amounts are in 10^-12 US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventAccount {
    pub(crate) bookings: u64,
    pub(crate) booked: i128,
    pub(crate) gone: u64,
    pub(crate) wrong: u64,
    pub(crate) pending_batches: u64,
}

/// What is known of the events of one id.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    rows: i64,
    row_cost: i128,
    booked: i64,
    booked_cost: i128,
}

/// Recounts all tables of events up to the ledger's cursors.
pub(crate) async fn account(
    lake: &Lake,
    (ledger, node, place): (&Snapshot, &NodeId, &Place),
    terms: EventTerms<'_>,
) -> Result<EventAccount, LedgerError> {
    let mut account = EventAccount::default();
    for (table, cursors) in TABLES.into_iter().zip(&place.events) {
        let events = lake.snapshot(table.dataset).await?;
        let latest: Cursors = events.nodes().map(|(n, b)| (n.clone(), b)).collect();
        account.pending_batches += Window::between(cursors, &latest).batches();
        let passes = events.rows().div_ceil(ROWS_AT_ONCE).max(1);
        for pass in 0..passes {
            let mut recount = Recount {
                lake,
                table,
                terms,
                ours: (pass, passes),
                known: HashMap::new(),
            };
            recount.rows(&events, cursors).await?;
            recount.bookings(ledger, (node, place.batch)).await?;
            recount.add_to(&mut account);
        }
    }
    Ok(account)
}

struct Recount<'a> {
    lake: &'a Lake,
    table: EventTable,
    terms: EventTerms<'a>,
    /// The pass, and how many there are.
    ours: (u64, u64),
    known: HashMap<u128, Known>,
}

impl Recount<'_> {
    async fn rows(&mut self, events: &Snapshot, cursors: &Cursors) -> Result<(), LedgerError> {
        let window = Window::between(&Cursors::new(), cursors);
        let names = columns(self.table.dataset);
        let mut reader = Reader::new(self.table.dataset, names.into_iter());
        let lake = self.lake;
        for file in events.files().iter().filter(|f| window.may_hold(f)) {
            let each = |piece: RecordBatch| {
                // As they are booked: what is no call is left out.
                let made = to_bookings(self.table, &[piece], &self.terms, (0, 0))?;
                for (key, _, cost) in made.iter().flat_map(read) {
                    if let Some(known) = self.known(key) {
                        known.rows += 1;
                        known.row_cost += cost;
                    }
                }
                Ok::<(), LedgerError>(())
            };
            reader.each(lake, file, &window, each).await?;
        }
        Ok(())
    }

    async fn bookings(
        &mut self,
        ledger: &Snapshot,
        (node, batch): (&NodeId, i64),
    ) -> Result<(), LedgerError> {
        let to = Cursors::from([(node.clone(), batch)]);
        let window = Window::between(&Cursors::new(), &to);
        let mut reader = Reader::new(Dataset::CostLedger, BOOKED.into_iter());
        let lake = self.lake;
        for file in ledger.files().iter().filter(|f| window.may_hold(f)) {
            let each = |piece: RecordBatch| {
                let cells = Cells(&piece);
                let mine = |at: usize| cells.text("source", at) == Some(self.table.source);
                let mine: Vec<bool> = (0..piece.num_rows()).map(mine).collect();
                let booked = read(&piece).zip(mine).filter(|(_, mine)| *mine);
                for ((key, sign, cost), _) in booked {
                    if let Some(known) = self.known(key) {
                        known.booked += sign;
                        known.booked_cost += i128::from(sign) * cost;
                    }
                }
                Ok::<(), LedgerError>(())
            };
            reader.each(lake, file, &window, each).await?;
        }
        Ok(())
    }

    fn known(&mut self, key: u128) -> Option<&mut Known> {
        let (pass, passes) = self.ours;
        let ours = key % u128::from(passes) == u128::from(pass);
        ours.then(|| self.known.entry(key).or_default())
    }

    fn add_to(&self, account: &mut EventAccount) {
        for known in self.known.values() {
            account.bookings += u64::try_from(known.booked).unwrap_or(0);
            account.booked += known.booked_cost;
            if known.rows < known.booked {
                // Retention or erasure took events whose bookings stay.
                account.gone += known.booked.abs_diff(known.rows);
                continue;
            }
            let same = known.rows == known.booked && known.row_cost == known.booked_cost;
            account.wrong += u64::from(!same);
        }
    }
}

/// Which event a row of the ledger books, with which sign, and its cost; 0 where it has none.
fn read(rows: &RecordBatch) -> impl Iterator<Item = (u128, i64, i128)> + '_ {
    let cells = Cells(rows);
    (0..rows.num_rows()).map(move |at| {
        let sign = cells.int("sign", at).unwrap_or(0);
        let cost = cells.money("cost_usd", at).unwrap_or(0);
        (key_of(rows, at), i64::from(sign), cost)
    })
}
