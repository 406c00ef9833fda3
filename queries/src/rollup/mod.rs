//! Cost by skill and by whatever else a booking knows: fast from sums, fresh from the ledger.
//!
//! Three tables that only views and rollups see have one shape, that of `cost_hourly` and the rank
//! of their source:
//!
//! ```text
//! cost_sums_daily    cost_daily up to its last batch  + bookings of later batches of cost_ledger
//! cost_sums_hourly   cost_hourly up to its last batch + bookings of later batches of cost_ledger
//! cost_bookings      all bookings, each with its own time
//! ```
//!
//! A fourth, `cost_preferred`, says for each day which source counts: the best that has any call of
//! the tenant on that day, whatever part of the day or of the calls is asked for. Spans, telemetry
//! events and log records tell of the same calls, so that their sums must never be added up.
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
mod reconciled;

use std::fmt::Write as _;

use weir_lake::Snapshot;
use weir_model::Dataset;
use weir_model::schema::ledger::SOURCES;

pub use answer::{Basis, Rollup, RollupSums};
pub use question::{Dimension, RollupQuestion};
pub use reconciled::Reconciled;

/// A table that only views and rollups see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SumsTable {
    pub(crate) name: &'static str,
    /// The table of sums that it begins with, if any.
    pub(crate) sums: Option<Dataset>,
    /// The period of a booking, in SQL; `None` for the table of preferred sources.
    period: Option<&'static str>,
}

/// All of them.
pub(crate) const TABLES: [SumsTable; 4] = [
    SumsTable {
        name: "cost_sums_daily",
        sums: Some(Dataset::CostDaily),
        period: Some("date_trunc('day', event_time)"),
    },
    SumsTable {
        name: "cost_sums_hourly",
        sums: Some(Dataset::CostHourly),
        period: Some("date_trunc('hour', event_time)"),
    },
    SumsTable {
        name: "cost_bookings",
        sums: None,
        period: Some("event_time"),
    },
    SumsTable {
        name: "cost_preferred",
        sums: None,
        period: None,
    },
];

/// Which source counts on which day; written over the first table.
fn preferred(conditions: &str) -> String {
    format!(
        "SELECT preferred_day, min(source_rank) AS preferred_rank FROM (\
         SELECT {DAY} AS preferred_day, source_rank FROM cost_sums_daily{conditions} \
         GROUP BY 1, 2 HAVING sum(calls) <> 0) GROUP BY preferred_day"
    )
}

/// The number of the day that a period lies in, in SQL. Times have a zone, which makes `date_trunc`
/// ask a calendar for each row; the summand keeps the division from rounding up before 1970.
const DAY: &str = "(CAST(period_start AS BIGINT) + 86400000000000000) / 86400000000";

/// The place of `source` in the order of preference, in SQL.
fn rank() -> String {
    let mut sql = "CASE source".to_owned();
    for (rank, source) in SOURCES.into_iter().enumerate() {
        // Writing to a text cannot fail.
        let _ = write!(sql, " WHEN '{source}' THEN {rank}");
    }
    let _ = write!(sql, " ELSE {} END", SOURCES.len());
    sql
}

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
        let Some(period) = self.period else {
            return preferred("");
        };
        let rank = rank();
        let mut sql = BOOKINGS.replace("{period}", period);
        let Some(dataset) = self.sums else {
            return format!("SELECT *, {rank} AS source_rank FROM ({sql})");
        };
        let mut joined = " WHERE ";
        for (node, last) in sums.flat_map(Snapshot::nodes) {
            // A node's name is of hex digits. Writing to a text cannot fail.
            let _ = write!(sql, "{joined}(_node <> '{node}' OR _batch > {last})");
            joined = " AND ";
        }
        let columns = columns().join(", ");
        format!(
            "SELECT *, {rank} AS source_rank FROM (SELECT {columns} FROM {dataset} UNION ALL {sql})"
        )
    }
}
