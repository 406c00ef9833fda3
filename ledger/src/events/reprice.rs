//! What an entry of the order changes of events that are booked: the difference, as rows of the
//! ledger. An estimate that was reported stays; what the list says beside it is computed anew.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use weir_lake::{Outcome, Snapshot};
use weir_model::Dataset;
use xxhash_rust::xxh3::xxh3_128;

use super::{EventTable, EventTerms, TABLES, columns, to_bookings};
use crate::LedgerError;
use crate::cells::Cells;
use crate::ledger::Ledger;
use crate::place::Place;
use crate::prices::Reprice;
use crate::reprice::{began, may_concern};
use crate::status::add;
use crate::store::Change;
use crate::window::{Cursors, Reader, Window};

/// Events that are looked at for one commit.
const ROWS_AT_ONCE: u64 = 200_000;

/// What stands for a booking's cost.
type Cost = (Option<i128>, Option<i128>, Option<String>, String);

/// Rows of the ledger, as they should be or as they stand, and where each event's are.
#[derive(Debug, Default)]
struct Gathered {
    pieces: Vec<RecordBatch>,
    rows: u64,
    /// By event: the places in all pieces one after the other, with batch, row and sign.
    at: HashMap<u128, Vec<(i64, i32, i32, u64)>>,
}

impl Gathered {
    fn add(&mut self, piece: RecordBatch, mut keep: impl FnMut(u128, usize) -> bool) {
        let cells = Cells(&piece);
        let mut place = self.rows;
        for at in 0..piece.num_rows() {
            let key = key_of(&piece, at);
            if keep(key, at) {
                let order = (
                    cells.long("_batch", at).unwrap_or(0),
                    cells.int("_row", at).unwrap_or(0),
                    cells.int("sign", at).unwrap_or(1),
                    place,
                );
                self.at.entry(key).or_default().push(order);
            }
            place += 1;
        }
        self.rows = place;
        self.pieces.push(piece);
    }

    fn whole(&self) -> Result<Option<RecordBatch>, LedgerError> {
        let Some(first) = self.pieces.first() else {
            return Ok(None);
        };
        Ok(Some(concat_batches(&first.schema(), &self.pieces)?))
    }
}

/// Tells the event of a row from all others.
pub(super) fn key_of(rows: &RecordBatch, at: usize) -> u128 {
    let tenant = Cells(rows).text("tenant_id", at).unwrap_or_default();
    let event = Cells(rows).text("event_id", at).unwrap_or_default();
    xxh3_128(format!("{tenant}/{event}").as_bytes())
}

fn cost_of(rows: &RecordBatch, at: usize) -> Cost {
    let cells = Cells(rows);
    (
        cells.money("cost_computed_usd", at),
        cells.money("cost_usd", at),
        cells.text("price_ref", at).map(str::to_owned),
        cells.text("cost_status", at).unwrap_or_default().to_owned(),
    )
}

impl Ledger {
    /// Books what `entry`, which is among the entries that are known, changes of events; gives the
    /// place after that and how many rows were booked, `None` where another node was faster.
    pub(crate) async fn reprice_events(
        &mut self,
        mut place: Place,
        entry: &Reprice,
    ) -> Result<Option<(Place, usize)>, LedgerError> {
        let mut booked = 0;
        for at in 0..TABLES.len() {
            let passes = self.passes(at).await?;
            for pass in 0..passes {
                let ledger = self.lake.snapshot(Dataset::CostLedger).await?;
                let changes = self.event_changes((&ledger, &place), entry, (at, pass, passes));
                let Some(rows) = Box::pin(changes).await? else {
                    continue;
                };
                let mut next = place.clone();
                let outcome = self.commit_rows(&place, &mut next, Some(&rows)).await?;
                if outcome == Outcome::Fenced {
                    return Ok(None);
                }
                booked += rows.num_rows();
                add(&self.status.bookings, rows.num_rows());
                self.apply(Change::default(), &next, self.clock.now_us())?;
                place = next;
            }
        }
        Ok(Some((place, booked)))
    }

    /// All that `entry` would change of events. Nothing is booked.
    pub(crate) async fn preview_events(
        &self,
        (ledger, place): (&Snapshot, &Place),
        entry: &Reprice,
        mut each: impl FnMut(&RecordBatch),
    ) -> Result<(), LedgerError> {
        for at in 0..TABLES.len() {
            let passes = self.passes(at).await?;
            for pass in 0..passes {
                let changes = self.event_changes((ledger, place), entry, (at, pass, passes));
                if let Some(rows) = Box::pin(changes).await? {
                    each(&rows);
                }
            }
        }
        Ok(())
    }

    async fn passes(&self, at: usize) -> Result<u64, LedgerError> {
        let Some(table) = TABLES.get(at) else {
            return Ok(0);
        };
        let events = self.lake.snapshot(table.dataset).await?;
        Ok(events.rows().div_ceil(ROWS_AT_ONCE))
    }

    /// The difference that `entry` makes to the events of one pass over one table.
    async fn event_changes(
        &self,
        (ledger, place): (&Snapshot, &Place),
        entry: &Reprice,
        (at, pass, passes): (usize, u64, u64),
    ) -> Result<Option<RecordBatch>, LedgerError> {
        let (Some(table), Some(cursors)) = (TABLES.get(at), place.events.get(at)) else {
            return Ok(None);
        };
        let ours = |key: u128| key % u128::from(passes) == u128::from(pass);
        let wanted = self.wanted(*table, cursors, entry, ours).await?;
        if wanted.at.is_empty() {
            return Ok(None);
        }
        let standing = self
            .standing(*table, (ledger, place), entry, &wanted)
            .await?;
        let (Some(new), Some(old)) = (wanted.whole()?, standing.whole()?) else {
            return Ok(None);
        };
        let (mut taken_back, mut booked) = (Vec::new(), Vec::new());
        let mut keys: Vec<&u128> = standing.at.keys().collect();
        keys.sort_unstable();
        for key in keys {
            let Some((.., place)) = wanted.at.get(key).and_then(|all| all.first()) else {
                continue;
            };
            let cost = cost_of(&new, usize::try_from(*place).unwrap_or(usize::MAX));
            for old_place in stands(&old, standing.at.get(key).cloned().unwrap_or_default()) {
                if cost_of(&old, usize::try_from(old_place).unwrap_or(usize::MAX)) != cost {
                    taken_back.push(old_place);
                    booked.push(*place);
                }
            }
        }
        if booked.is_empty() {
            return Ok(None);
        }
        let old = take_record_batch(&old, &UInt64Array::from(taken_back))?;
        let new = take_record_batch(&new, &UInt64Array::from(booked))?;
        let turn = place.batch + 1;
        let now_us = self.clock.now_us();
        let both = [
            signed(&old, -1, (now_us, turn))?,
            signed(&new, 1, (now_us, turn))?,
        ];
        let schema = Dataset::CostLedger.accepted_schema();
        Ok(Some(concat_batches(&schema, &both)?))
    }

    /// The bookings that events should have by all entries, of those that `entry` concerns.
    async fn wanted(
        &self,
        table: EventTable,
        cursors: &Cursors,
        entry: &Reprice,
        ours: impl Fn(u128) -> bool,
    ) -> Result<Gathered, LedgerError> {
        let events = self.lake.snapshot(table.dataset).await?;
        let window = Window::between(&Cursors::new(), cursors);
        let mut reader = Reader::new(table.dataset, columns(table.dataset).into_iter());
        let terms = EventTerms {
            prices: self.prices.as_ref(),
            entries: self.order.entries(),
        };
        let now_us = self.clock.now_us();
        let mut wanted = Gathered::default();
        // An event without a time of its own began about when it was received.
        let concerned = |file: &weir_lake::LakeFile| {
            let received = crate::restore::received(file);
            let by_receipt = received.1 >= entry.from_us && received.0 < entry.to_us;
            began(file, entry.from_us, entry.to_us) || by_receipt
        };
        let files = events.files().iter();
        for file in files.filter(|f| window.may_hold(f) && concerned(f)) {
            let each = |piece: RecordBatch| {
                let made = to_bookings(table, &[piece], &terms, (now_us, 0))?;
                if let Some(made) = made {
                    let kept = keeps(&made, entry);
                    wanted.add(made, |key, at| ours(key) && kept.get(at) == Some(&true));
                }
                Ok::<(), LedgerError>(())
            };
            reader.each(&self.lake, file, &window, each).await?;
        }
        Ok(wanted)
    }

    /// The bookings of those events, as they are in the ledger.
    async fn standing(
        &self,
        table: EventTable,
        (ledger, place): (&Snapshot, &Place),
        entry: &Reprice,
        wanted: &Gathered,
    ) -> Result<Gathered, LedgerError> {
        let to = Cursors::from([(self.config.node.clone(), place.batch)]);
        let window = Window::between(&Cursors::new(), &to);
        let names = Dataset::CostLedger.columns().iter().map(|c| c.name);
        let mut reader = Reader::new(Dataset::CostLedger, names);
        let mut standing = Gathered::default();
        let files = ledger.files().iter();
        for file in files.filter(|f| window.may_hold(f) && may_concern(entry, f)) {
            let each = |piece: RecordBatch| {
                let source = |at: usize| Cells(&piece).text("source", at) == Some(table.source);
                let of_table: Vec<bool> = (0..piece.num_rows()).map(source).collect();
                if of_table.iter().any(|mine| *mine) {
                    standing.add(piece, |key, at| {
                        of_table.get(at) == Some(&true) && wanted.at.contains_key(&key)
                    });
                }
                Ok::<(), LedgerError>(())
            };
            reader.each(&self.lake, file, &window, each).await?;
        }
        Ok(standing)
    }
}

/// Which bookings the entry concerns.
fn keeps(rows: &RecordBatch, entry: &Reprice) -> Vec<bool> {
    let keep = |at| {
        let tenant = Cells(rows).text("tenant_id", at).unwrap_or_default();
        Cells(rows)
            .time("event_time", at)
            .is_some_and(|start_us| entry.concerns(tenant, start_us))
    };
    (0..rows.num_rows()).map(keep).collect()
}

/// The places of the bookings that stand, of all rows of an event: a row takes back an equal one
/// that was booked before it.
fn stands(rows: &RecordBatch, mut all: Vec<(i64, i32, i32, u64)>) -> Vec<u64> {
    all.sort_unstable();
    let mut standing: Vec<u64> = Vec::new();
    let cost = |place: u64| cost_of(rows, usize::try_from(place).unwrap_or(usize::MAX));
    for (_, _, sign, place) in all {
        if sign > 0 {
            standing.push(place);
            continue;
        }
        let taken = cost(place);
        if let Some(at) = standing.iter().position(|before| cost(*before) == taken) {
            standing.remove(at);
        }
    }
    standing
}

/// Rows as they are booked now, with a sign.
fn signed(
    rows: &RecordBatch,
    sign: i32,
    (now_us, turn): (i64, i64),
) -> Result<RecordBatch, LedgerError> {
    let schema = Dataset::CostLedger.accepted_schema();
    let count = rows.num_rows();
    let column = |name: &str| -> Option<ArrayRef> {
        Some(match name {
            "sign" => Arc::new(Int32Array::from(vec![sign; count])),
            "booked_at" | "received_at" => {
                let times = TimestampMicrosecondArray::from(vec![now_us; count]);
                Arc::new(times.with_timezone("UTC"))
            }
            "booking_id" => {
                let id = |at| {
                    let source = Cells(rows).text("source", at).unwrap_or_default();
                    let key = key_of(rows, at);
                    let text = format!("{source}/{key:032x}/{turn}/{at}/{sign}");
                    format!("{:032x}", xxh3_128(text.as_bytes()))
                };
                Arc::new(StringArray::from_iter_values((0..count).map(id)))
            }
            name => Arc::clone(rows.column_by_name(name)?),
        })
    };
    let made = schema.fields().iter().map(|field| {
        column(field.name())
            .unwrap_or_else(|| arrow_array::new_null_array(field.data_type(), count))
    });
    let made: Vec<ArrayRef> = made.collect();
    Ok(RecordBatch::try_new(schema, made)?)
}
