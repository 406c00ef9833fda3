//! Whatever the order of arrival, the sums are those of the whole computed once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_transforms::trace::{Booking, Fact, Sign, book, difference, explain};

use super::world::{PRICES, any_trace};

/// What is booked, after all that was booked and taken back.
#[derive(Debug, Default, PartialEq)]
struct Ledger {
    rows: BTreeMap<Booking, i64>,
    sums: [i128; 4],
}

impl Ledger {
    fn add(&mut self, sign: Sign, booking: &Booking) {
        let sign = i64::from(sign.number());
        let kept = self.rows.entry(booking.clone()).or_default();
        *kept += sign;
        assert!(
            (0..=1).contains(kept),
            "taken back before it was booked, or booked twice"
        );
        if *kept == 0 {
            self.rows.remove(booking);
        }
        let tokens = weir_transforms::trace::UsageCount::ALL;
        let tokens = tokens
            .into_iter()
            .filter_map(|which| booking.usage.get(which));
        let values = [
            1,
            booking.cost.unwrap_or_default(),
            booking.computed.unwrap_or_default(),
            tokens.map(i128::from).sum(),
        ];
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum += i128::from(sign) * value;
        }
    }

    fn of(bookings: &[Booking]) -> Self {
        let mut ledger = Self::default();
        bookings.iter().for_each(|b| ledger.add(Sign::Plus, b));
        ledger
    }
}

/// A trace, the same facts in another order, and where to cut that into arrivals.
fn arrivals() -> impl Strategy<Value = (Vec<Fact>, Vec<Fact>, Vec<usize>)> {
    any_trace(24).prop_flat_map(|facts| {
        let cuts = proptest::collection::vec(0..=facts.len(), 0..6);
        (Just(facts.clone()), Just(facts).prop_shuffle(), cuts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn any_order_in_any_portions_sums_up_to_the_whole((facts, shuffled, mut cuts) in arrivals()) {
        let once = book(&facts, &*PRICES);
        prop_assert_eq!(&book(&shuffled, &*PRICES), &once);
        cuts.push(shuffled.len());
        cuts.sort_unstable();
        let mut ledger = Ledger::default();
        let mut before = Vec::new();
        for cut in cuts {
            let after = book(&shuffled[..cut], &*PRICES);
            for (sign, booking) in difference(&before, &after) {
                ledger.add(sign, &booking);
            }
            before = after;
        }
        prop_assert_eq!(ledger, Ledger::of(&once));
    }

    #[test]
    fn a_copy_of_any_span_changes_nothing((facts, more, _) in arrivals()) {
        let once = book(&facts, &*PRICES);
        let mut twice = facts.clone();
        twice.extend(more);
        prop_assert_eq!(book(&twice, &*PRICES), once);
    }

    #[test]
    fn bookings_are_sorted_one_a_span_and_explained(facts in any_trace(24)) {
        let bookings = book(&facts, &*PRICES);
        prop_assert!(bookings.is_sorted_by_key(|b| (b.start, b.span)));
        let mut spans: Vec<_> = bookings.iter().map(|b| b.span).collect();
        spans.sort_unstable();
        spans.dedup();
        prop_assert_eq!(spans.len(), bookings.len());
        let explanation = explain(&facts, &*PRICES);
        prop_assert!(explanation.bookings().eq(&bookings));
        prop_assert!(difference(&bookings, &bookings).is_empty());
    }

    #[test]
    fn a_trace_with_a_call_is_never_free(facts in any_trace(12)) {
        // Of copies that conflict the winner may be no call.
        let winners = explain(&facts, &*PRICES);
        let calls = winners.spans.iter().any(|w| w.kind.is_model_call());
        prop_assert_eq!(calls, winners.bookings().next().is_some());
    }
}
