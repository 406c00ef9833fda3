//! Events that carry their own cost: telemetry events, and log records of calls.
//!
//! ```text
//! telemetry_events --new batches, by node--.
//! log_events ------new batches, by node----+--> one booking a row --> cost_ledger + cursors,
//!                                                                     one commit for each table
//! ```
//!
//! # Invariants
//!
//! * A row is one booking, made of this row and the entries of the order alone: no other row
//!   changes it, so that sums are those of the rows in any order. The price that was put beside the
//!   row when it was accepted stays, unless an entry says otherwise; what its sender reported stays
//!   always.
//! * The bookings and how far each node's batches were read are one commit, under the same number
//!   that fences the bookings of spans: a row is booked once, wherever a process was stopped.

pub(crate) mod account;
mod price;
mod reprice;
mod rows;

use std::sync::Arc;

use arrow_array::RecordBatch;
use weir_lake::Outcome;
use weir_model::{Dataset, NodeId};

use crate::LedgerError;
use crate::ledger::Ledger;
use crate::place::Place;
use crate::status::add;
use crate::window::{Cursors, Reader};

pub(crate) use price::EventTerms;
pub(crate) use rows::{columns, to_bookings};

/// A table whose rows are booked one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventTable {
    /// The table.
    pub(crate) dataset: Dataset,
    /// What its bookings have as their source.
    pub(crate) source: &'static str,
}

/// All of them.
pub(crate) const TABLES: [EventTable; 2] = [
    EventTable {
        dataset: Dataset::TelemetryEvents,
        source: "telemetry_event",
    },
    EventTable {
        dataset: Dataset::LogEvents,
        source: "log_event",
    },
];

/// What a turn over one table came to.
enum Turn {
    Idle,
    Fenced,
    Booked {
        next: Place,
        bookings: usize,
        more: bool,
    },
}

/// What was booked of all tables.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EventsBooked {
    pub(crate) rounds: usize,
    pub(crate) bookings: usize,
    pub(crate) more: bool,
}

/// How far each node's batches of each table have been read.
pub(crate) type EventCursors = [Cursors; TABLES.len()];

/// Finds new rows of each table.
pub(crate) fn readers() -> Vec<Reader> {
    let reader = |table: EventTable| Reader::new(table.dataset, columns(table.dataset).into_iter());
    TABLES.into_iter().map(reader).collect()
}

impl Ledger {
    /// Books what is new of each table since `place`, and gives the place after that; `None` where
    /// another node was faster.
    pub(crate) async fn book_events(
        &mut self,
        mut place: Place,
    ) -> Result<Option<(Place, EventsBooked)>, LedgerError> {
        let mut booked = EventsBooked::default();
        for at in 0..TABLES.len() {
            match Box::pin(self.turn_of(at, &place)).await? {
                Turn::Idle => {}
                Turn::Fenced => return Ok(None),
                Turn::Booked {
                    next,
                    bookings,
                    more,
                } => {
                    place = next;
                    booked.rounds += 1;
                    booked.bookings += bookings;
                    booked.more |= more;
                }
            }
        }
        Ok(Some((place, booked)))
    }

    async fn turn_of(&mut self, at: usize, place: &Place) -> Result<Turn, LedgerError> {
        let (Some(table), Some(cursors)) = (TABLES.get(at), place.events.get(at)) else {
            return Ok(Turn::Idle);
        };
        let snapshot = self.lake.snapshot(table.dataset).await?;
        let rows_max = self.rows_max() as u64;
        let lake = Arc::clone(&self.lake);
        let Some(reader) = self.events.get_mut(at) else {
            return Ok(Turn::Idle);
        };
        let Some(plan) = reader.plan(&snapshot, cursors, rows_max) else {
            return Ok(Turn::Idle);
        };
        let mut pieces: Vec<RecordBatch> = Vec::new();
        for file in &plan.files {
            let each = |piece: RecordBatch| {
                pieces.push(piece);
                Ok::<(), LedgerError>(())
            };
            reader.each(&lake, file, &plan.window, each).await?;
        }
        self.pass("events_read")?;
        let mut next = place.clone();
        if let Some(cursors) = next.events.get_mut(at) {
            let ends = plan.window.ends();
            cursors.extend(ends.map(|(node, batch): (&NodeId, i64)| (node.clone(), batch)));
        }
        let now_us = self.clock.now_us();
        let terms = EventTerms {
            prices: self.prices.as_ref(),
            entries: self.order.entries(),
        };
        let rows = to_bookings(*table, &pieces, &terms, (now_us, place.batch + 1))?;
        let bookings = rows.as_ref().map_or(0, RecordBatch::num_rows);
        let outcome = self.commit_rows(place, &mut next, rows.as_ref()).await?;
        if outcome == Outcome::Fenced {
            return Ok(Turn::Fenced);
        }
        add(&self.status.bookings, bookings);
        self.apply(crate::store::Change::default(), &next, now_us)?;
        Ok(Turn::Booked {
            next,
            bookings,
            more: plan.more,
        })
    }
}
