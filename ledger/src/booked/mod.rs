//! Bookings as rows of the ledger, and as bytes in the store.

mod bytes;
mod rows;

use std::collections::BTreeMap;

use weir_transforms::trace::{Booking, Sign, Usage, UsageCount};

use crate::store::{Entry, TraceKey};

pub(crate) use rows::{COLUMNS, from_rows, to_rows};

/// The counts that the ledger has columns for.
pub(crate) const COUNTS: [UsageCount; 6] = [
    UsageCount::Input,
    UsageCount::Output,
    UsageCount::CacheRead,
    UsageCount::CacheWrite,
    UsageCount::CacheWrite1h,
    UsageCount::Reasoning,
];

/// A row of the ledger: in which batch and at which place of it, with which sign, what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) batch: i64,
    pub(crate) row: u32,
    pub(crate) sign: Sign,
    /// Days since 1970-01-01: the partition, which a correction shares with what it corrects.
    pub(crate) part_date: i32,
    pub(crate) booking: Booking,
}

/// The booking as the ledger's columns can say it, so that what is read back equals what was
/// computed: times to the microsecond, and only the counts that have a column.
pub(crate) fn in_columns(mut booking: Booking) -> Booking {
    booking.start = booking.start.div_euclid(1000).saturating_mul(1000);
    booking.duration_nanos = booking.duration_nanos.map(|n| nanos(millis(n)));
    let mut usage = Usage::default();
    for count in COUNTS {
        usage.set(count, booking.usage.get(count));
    }
    booking.usage = usage;
    booking
}

/// Nanoseconds as the column `duration_ms` has them.
fn millis(nanos: i64) -> f64 {
    nanos as f64 / 1e6
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded; beyond the range it saturates"
)]
fn nanos(millis: f64) -> i64 {
    (millis * 1e6).round() as i64
}

/// What is booked of a trace: each row of the ledger once, however often it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Booked {
    rows: BTreeMap<(i64, u32), Row>,
}

impl Booked {
    /// Reads the bookings of an entry; `None` where they are damaged.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let mut booked = Self::default();
        for piece in Entry::pieces(&entry.bookings) {
            booked.add(bytes::read(piece?)?);
        }
        Some(booked)
    }

    pub(crate) fn add(&mut self, row: Row) {
        self.rows.insert((row.batch, row.row), row);
    }

    /// The bookings that stand, each with its partition, in their own order.
    pub(crate) fn standing(&self) -> Vec<(i32, &Booking)> {
        let mut standing: BTreeMap<&Booking, Vec<i32>> = BTreeMap::new();
        // A row takes back what an earlier one has booked, which has a lower number.
        for row in self.rows.values() {
            let same = standing.entry(&row.booking).or_default();
            match row.sign {
                Sign::Plus => same.push(row.part_date),
                Sign::Minus => {
                    same.pop();
                }
            }
        }
        let all = standing.into_iter();
        all.flat_map(|(booking, days)| days.into_iter().map(move |day| (day, booking)))
            .collect()
    }

    /// All rows, as bytes for the store.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        for row in self.rows.values() {
            push(row, to);
        }
    }
}

/// Appends a row to an entry's bookings.
pub(crate) fn push(row: &Row, to: &mut Vec<u8>) {
    Entry::push(to, |out| bytes::write(row, out));
}

/// A change of the ledger that is not stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) key: TraceKey,
    pub(crate) sign: Sign,
    pub(crate) part_date: i32,
    pub(crate) booking: Booking,
}

#[cfg(test)]
mod tests;
