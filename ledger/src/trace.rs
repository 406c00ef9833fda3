//! One trace: what is known of it, what has come, and what that changes in the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_transforms::Prices;
use weir_transforms::trace::{Booking, Fact, Shared, Sign, SpanId, book, difference};

use crate::booked::{Booked, Signed, in_columns};
use crate::prices::{self, Reprice};
use crate::store::TraceKey;
use crate::store::entry::{ADDITIONS_ONLY, Entry};

/// How far before its booking a call may have begun to lie under its own day.
const DAYS_BACK: i32 = 30;
/// How far ahead.
const DAYS_AHEAD: i32 = 1;
const DAY_US: i64 = 86_400_000_000;

/// What is known of a trace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) facts: Vec<Fact>,
    pub(crate) booked: Booked,
    pub(crate) additions_only: bool,
}

/// By what a trace is priced, and when it is booked.
pub(crate) struct Terms<'a> {
    pub(crate) prices: &'a dyn Prices,
    pub(crate) entries: &'a [Reprice],
    pub(crate) now_us: i64,
}

impl Known {
    /// Reads what the store has; `None` where it is damaged.
    pub(crate) fn of(entry: &Entry, shared: &mut Shared) -> Option<Self> {
        let facts = Entry::pieces(&entry.facts).map(|piece| Fact::decode(piece?, shared).ok());
        Some(Self {
            facts: facts.collect::<Option<_>>()?,
            booked: Booked::of(entry)?,
            additions_only: entry.flags & ADDITIONS_ONLY != 0,
        })
    }

    /// As the store keeps it.
    pub(crate) fn entry(&self, flags: u8) -> Entry {
        let mut entry = Entry {
            flags,
            ..Entry::default()
        };
        if self.additions_only {
            entry.flags |= ADDITIONS_ONLY;
        }
        self.facts
            .iter()
            .for_each(|fact| push(fact, &mut entry.facts));
        self.booked.write(&mut entry.bookings);
        entry
    }

    /// Whether the facts lead to what is booked: else some are gone, and what would follow from the
    /// rest says nothing about what was booked.
    pub(crate) fn explains_itself(&self, key: &TraceKey, terms: &Terms<'_>) -> bool {
        let after = self.after(key, &[], terms);
        let standing = self.booked.standing();
        after
            .iter()
            .eq(standing.into_iter().map(|(_, booking)| booking))
    }

    /// The bookings that follow from all facts, as the ledger's columns have them, in their order.
    pub(crate) fn after(&self, key: &TraceKey, come: &[Fact], terms: &Terms<'_>) -> Vec<Booking> {
        let mut facts: Vec<Fact> = self.facts.iter().chain(come).cloned().collect();
        self.under_their_lists(&mut facts);
        prices::apply(terms.entries, &key.tenant, &mut facts, terms.prices);
        let mut bookings: Vec<Booking> = book(&facts, terms.prices)
            .into_iter()
            .map(in_columns)
            .collect();
        bookings.sort();
        bookings
    }

    /// Calls whose own span names no list are priced by the one that they were booked under.
    fn under_their_lists(&self, facts: &mut [Fact]) {
        let mut lists: BTreeMap<SpanId, Arc<str>> = BTreeMap::new();
        for (_, booking) in self.booked.standing() {
            let list = booking.price_ref.as_deref().and_then(|r| r.split_once(':'));
            if let Some((list, _)) = list {
                lists.insert(booking.span, list.into());
            }
        }
        for fact in facts {
            if let Some(call) = fact.call.as_deref_mut().filter(|call| call.list.is_none()) {
                call.list = lists.get(&fact.span).cloned();
            }
        }
    }

    /// What the ledger has to add once `come` has come.
    pub(crate) fn changes(&self, key: &TraceKey, come: &[Fact], terms: &Terms<'_>) -> Vec<Signed> {
        let standing = self.booked.standing();
        let days: BTreeMap<&Booking, i32> = standing.iter().map(|(day, b)| (*b, *day)).collect();
        let before: Vec<Booking> = standing.iter().map(|(_, b)| (*b).clone()).collect();
        let after = self.after(key, come, terms);
        let spans: BTreeSet<SpanId> = before.iter().map(|b| b.span).collect();
        let changes = difference(&before, &after).into_iter();
        // What was booked stays where it cannot be judged any more.
        let allowed = changes.filter(|(sign, booking)| {
            !self.additions_only || (*sign == Sign::Plus && !spans.contains(&booking.span))
        });
        let signed = allowed.map(|(sign, booking)| Signed {
            key: key.clone(),
            sign,
            part_date: match sign {
                Sign::Plus => part_date(booking.start, terms.now_us),
                Sign::Minus => days
                    .get(&booking)
                    .copied()
                    .unwrap_or_else(|| part_date(booking.start, terms.now_us)),
            },
            booking,
        });
        signed.collect()
    }
}

/// Appends a fact to an entry's.
pub(crate) fn push(fact: &Fact, to: &mut Vec<u8>) {
    Entry::push(to, |out| fact.encode(out));
}

/// The day of the call, unless it lies so far from the booking's that a partition of its own would
/// be a forgery's work.
pub(crate) fn part_date(start: i64, now_us: i64) -> i32 {
    let day = |us: i64| i32::try_from(us.div_euclid(DAY_US)).unwrap_or(0);
    let (event, now) = (day(start.div_euclid(1000)), day(now_us));
    let near = (now - DAYS_BACK..=now + DAYS_AHEAD).contains(&event);
    if near { event } else { now }
}
