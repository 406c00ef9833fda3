//! Cost by skill and by whatever else a booking knows: fast from sums, fresh from the ledger.
//!
//! Three tables that only views and rollups see have one shape, that of `cost_hourly`:
//!
//! ```text
//! cost_sums_daily    cost_daily up to its last batch  + bookings of later batches of cost_ledger
//! cost_sums_hourly   cost_hourly up to its last batch + bookings of later batches of cost_ledger
//! cost_bookings      all bookings, each with its own time
//! ```
//!
//! # Invariants
//!
//! * The snapshot of a table of sums is taken before that of the ledger, and the sums of a batch
//!   are written after the batch: what the sums hold, the ledger holds, and no booking is missing
//!   or counted twice, however far the sums lag.
//! * A rollup takes whole days from daily sums, whole hours beside them from hourly ones, and what
//!   is left at its two ends from bookings.

mod answer;
mod question;

use std::fmt::Write as _;

use weir_lake::Snapshot;
use weir_model::Dataset;

pub use answer::{Rollup, RollupSums};
pub use question::{Dimension, RollupQuestion};

/// A table that only views and rollups see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SumsTable {
    pub(crate) name: &'static str,
    /// The table of sums that it begins with, if any.
    pub(crate) sums: Option<Dataset>,
    /// The period of a booking, in SQL.
    period: &'static str,
}

/// All of them.
pub(crate) const TABLES: [SumsTable; 3] = [
    SumsTable {
        name: "cost_sums_daily",
        sums: Some(Dataset::CostDaily),
        period: "date_trunc('day', event_time)",
    },
    SumsTable {
        name: "cost_sums_hourly",
        sums: Some(Dataset::CostHourly),
        period: "date_trunc('hour', event_time)",
    },
    SumsTable {
        name: "cost_bookings",
        sums: None,
        period: "event_time",
    },
];

/// The shape of a booking as a sum.
const BOOKINGS: &str = include_str!("bookings.sql");

/// The columns that tables of sums and bookings have in common, in the order of `bookings.sql`.
fn columns() -> Vec<&'static str> {
    let outer = ["tenant_id", "part_date", "received_at"];
    let columns = Dataset::CostHourly.columns().iter().map(|c| c.name);
    columns
        .filter(|name| !outer.contains(name) && !name.starts_with('_'))
        .collect()
}

impl SumsTable {
    /// What stands behind its name, where `sums` is the state of its table of sums.
    pub(crate) fn sql<'a>(&self, sums: impl Iterator<Item = &'a Snapshot>) -> String {
        let mut sql = BOOKINGS.replace("{period}", self.period);
        let Some(dataset) = self.sums else {
            return sql;
        };
        let mut joined = " WHERE ";
        for (node, last) in sums.flat_map(Snapshot::nodes) {
            // A node's name is of hex digits. Writing to a text cannot fail.
            let _ = write!(sql, "{joined}(_node <> '{node}' OR _batch > {last})");
            joined = " AND ";
        }
        let columns = columns().join(", ");
        format!("SELECT {columns} FROM {dataset} UNION ALL {sql}")
    }
}
