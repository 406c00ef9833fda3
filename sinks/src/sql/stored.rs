//! Which batches a destination holds, as it says itself: written in the transaction that writes
//! their rows, so that both are there or neither is.
//!
//! For each node and dataset the record has the ranges of batch numbers that were stored, usually
//! one, and, of batches that came in pieces, which rows did. Ranges rather than a last number,
//! since batches may come out of order: what was set aside and is offered again after its mend,
//! what is backfilled while newer batches arrive. A batch that came in pieces is in the ranges
//! too; its pieces say what of it is there.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Part;

/// What the record says about the batches of a run, and their neighbours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Ranges of batch numbers, first and last, apart from one another.
    pub(crate) ranges: Vec<(i64, i64)>,
    /// Pieces: the batch, the first row and the row after the last.
    pub(crate) pieces: Vec<(i64, i32, i32)>,
}

/// Rows of a part that are not stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Which part of the run.
    pub(crate) part: usize,
    /// Which rows of its batch, by `_row`.
    pub(crate) rows: Range<i32>,
}

/// What is to change in the record once the missing rows are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Ranges that go, by their first batch.
    pub(crate) gone: Vec<i64>,
    /// Ranges that come, or get a new last batch.
    pub(crate) ranges: Vec<(i64, i64)>,
    /// Pieces that come.
    pub(crate) pieces: Vec<(i64, i32, i32)>,
}

/// The least and the greatest batch number of a run; `None` where it is empty.
pub(crate) fn bounds(run: &[Part]) -> Option<(i64, i64)> {
    let numbers = || run.iter().map(|part| part.batch().id().number);
    Some((numbers().min()?, numbers().max()?))
}

impl Stored {
    /// What of `run` is to be written, and how the record changes with it. Nothing is missing only
    /// where nothing changes.
    pub(crate) fn plan(&self, run: &[Part]) -> (Vec<Missing>, Change) {
        let mut missing = Vec::new();
        let mut change = Change::default();
        let mut numbers = Vec::new();
        for (at, part) in run.iter().enumerate() {
            let number = part.batch().id().number;
            let pieces = self.pieces_of(number);
            if pieces.is_empty() && self.holds(number) {
                continue;
            }
            let gaps = gaps(part.range(), &pieces);
            // A batch that came whole needs no pieces to say so.
            if !(part.is_whole() && pieces.is_empty()) {
                let added = gaps.iter().map(|rows| (number, rows.start, rows.end));
                change.pieces.extend(added);
            }
            if !gaps.is_empty() {
                numbers.push(number);
            }
            missing.extend(gaps.into_iter().map(|rows| Missing { part: at, rows }));
        }
        self.widen(&numbers, &mut change);
        (missing, change)
    }

    fn holds(&self, number: i64) -> bool {
        let mut ranges = self.ranges.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&number))
    }

    fn pieces_of(&self, number: i64) -> Vec<Range<i32>> {
        let pieces = self.pieces.iter().filter(|(batch, ..)| *batch == number);
        let mut pieces: Vec<_> = pieces.map(|(_, start, end)| *start..*end).collect();
        pieces.sort_unstable_by_key(|rows| rows.start);
        pieces
    }

    /// Puts `numbers` into the ranges, which grow together where they touch.
    fn widen(&self, numbers: &[i64], change: &mut Change) {
        let old: BTreeMap<i64, i64> = self.ranges.iter().copied().collect();
        let mut new: BTreeMap<i64, i64> = BTreeMap::new();
        let single = numbers.iter().map(|number| (*number, *number));
        let mut all: Vec<(i64, i64)> = self.ranges.iter().copied().chain(single).collect();
        all.sort_unstable();
        for (first, last) in all {
            match new.last_entry() {
                Some(mut open) if first <= open.get().saturating_add(1) => {
                    let last = last.max(*open.get());
                    open.insert(last);
                }
                _ => {
                    new.insert(first, last);
                }
            }
        }
        change.gone = old
            .keys()
            .filter(|k| !new.contains_key(k))
            .copied()
            .collect();
        change.ranges = new
            .into_iter()
            .filter(|(first, last)| old.get(first) != Some(last))
            .collect();
    }
}

/// What of `wanted` lies in none of `pieces`, which are in order.
fn gaps(wanted: Range<i32>, pieces: &[Range<i32>]) -> Vec<Range<i32>> {
    let mut gaps = Vec::new();
    let mut at = wanted.start;
    for piece in pieces {
        if piece.start > at {
            let end = piece.start.min(wanted.end);
            if at < end {
                gaps.push(at..end);
            }
        }
        at = at.max(piece.end);
    }
    if at < wanted.end {
        gaps.push(at..wanted.end);
    }
    gaps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use weir_model::{Dataset, NodeId};

    use super::*;
    use crate::contract::sample_batch;

    const ROWS: i32 = 60;

    /// The record as a database would keep it.
    fn apply(record: &mut Stored, change: Change) {
        record.ranges.retain(|(first, _)| {
            let replaced = change.ranges.iter().any(|(f, _)| f == first);
            !replaced && !change.gone.contains(first)
        });
        record.ranges.extend(change.ranges);
        record.pieces.extend(change.pieces);
        record.ranges.sort_unstable();
    }

    fn part(number: i64, rows: Range<i32>) -> Part {
        let batch = sample_batch(Dataset::RejectedEvents, &NodeId::from_bits(1), number);
        Part::piece(batch, rows).unwrap()
    }

    #[test]
    fn one_range_grows_while_batches_come_in_order() {
        let mut record = Stored::default();
        for number in 1..50 {
            let (missing, change) = record.plan(&[part(number, 0..ROWS)]);
            assert_eq!(missing.len(), 1);
            apply(&mut record, change);
            assert_eq!(record.ranges, [(1, number)]);
        }
        assert!(record.pieces.is_empty());
    }

    proptest! {
        /// Whatever comes in whichever order and cut in whichever way, each row is stored once.
        #[test]
        fn every_row_is_stored_once(
            steps in prop::collection::vec((1_i64..12, 0..ROWS, 1..=ROWS, 0..3_u8), 1..40)
        ) {
            let mut record = Stored::default();
            let mut held: BTreeSet<(i64, i32)> = BTreeSet::new();
            for (number, start, length, kind) in steps {
                let run = match kind {
                    0 => vec![part(number, start..(start + length).min(ROWS))],
                    1 => vec![part(number, 0..ROWS)],
                    _ => vec![part(number, 0..ROWS), part(number + 1, 0..ROWS)],
                };
                let (missing, change) = record.plan(&run);
                prop_assert_eq!(missing.is_empty(), change == Change::default());
                for one in missing {
                    let number = run[one.part].batch().id().number;
                    for row in one.rows {
                        prop_assert!(held.insert((number, row)), "{number}/{row} twice");
                    }
                }
                apply(&mut record, change);
                for part in &run {
                    let number = part.batch().id().number;
                    for row in part.range() {
                        prop_assert!(held.contains(&(number, row)), "{number}/{row} lost");
                    }
                }
                let apart = record.ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0);
                prop_assert!(apart, "{:?}", record.ranges);
            }
        }
    }
}
