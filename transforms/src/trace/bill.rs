//! Which spans are billed (rules B1 to B4).

use std::collections::HashMap;

use super::names::OpKind;
use super::shape::{At, Shape};

/// Shorter response ids are counters that other calls share.
const RESPONSE_ID_CHARS_MIN: usize = 8;

/// What becomes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bill {
    /// It is no model call (rule B1; B4 for fetched answers).
    NoCall,
    /// It is booked.
    Booked,
    /// It reports the call of an ancestor (rule B2).
    Nested { of: At },
    /// It reports the call of another span with the same response id (rule B3).
    SameResponse { of: At },
}

/// Who pays for what.
#[derive(Debug)]
pub(super) struct Bills {
    /// By place.
    pub(super) bills: Vec<Bill>,
    /// By place: the span that is booked for this call; none for what is no call.
    pub(super) booked: Vec<Option<At>>,
    /// By the place of a booked span that has any: its twins, by start and id.
    pub(super) twins: HashMap<At, Vec<At>>,
}

impl Bills {
    pub(super) fn of(shape: &Shape<'_>) -> Self {
        let mut bills = Self::nested(shape);
        bills.same_response(shape);
        bills
    }

    /// Applies B1 and B2: a call directly below a call of its kind is that one's transport.
    fn nested(shape: &Shape<'_>) -> Self {
        // The nearest ancestor that is not `other`.
        let above = shape.inherit(None, |fact, parent, above| {
            if fact.kind == OpKind::Other {
                above
            } else {
                Some(parent)
            }
        });
        let mut bills = vec![Bill::NoCall; shape.spans.len()];
        let mut booked: Vec<Option<At>> = vec![None; shape.spans.len()];
        let mut twins: HashMap<At, Vec<At>> = HashMap::new();
        for at in shape.downward.iter().copied() {
            let Some(fact) = shape.fact(at).filter(|fact| fact.kind.is_model_call()) else {
                continue;
            };
            let outer = above.get(at).copied().flatten();
            let outer = outer.filter(|of| shape.fact(*of).is_some_and(|o| o.kind == fact.kind));
            // An ancestor's turn was before, so that its own outermost call is known.
            let outermost = outer.and_then(|of| booked.get(of).copied().flatten());
            let bill = outer.map_or(Bill::Booked, |of| Bill::Nested { of });
            if let Some(outermost) = outermost {
                twins.entry(outermost).or_default().push(at);
            }
            if let (Some(slot), Some(payer)) = (bills.get_mut(at), booked.get_mut(at)) {
                *slot = bill;
                *payer = Some(outermost.unwrap_or(at));
            }
        }
        Self {
            bills,
            booked,
            twins,
        }
    }

    /// Applies B3 to the calls that B2 left, each with the response ids of all spans that report it.
    fn same_response(&mut self, shape: &Shape<'_>) {
        // Sorted by start, a call overlaps of all earlier ones at most the last that was booked
        // under an id, since those before it had ended.
        let mut last: HashMap<&str, At> = HashMap::new();
        let calls: Vec<At> = (0..shape.spans.len())
            .filter(|at| self.bills.get(*at) == Some(&Bill::Booked))
            .collect();
        for at in calls {
            let Some(fact) = shape.fact(at) else {
                continue;
            };
            let twins = self.twins.get(&at).map_or(&[][..], Vec::as_slice);
            let ids: Vec<&str> = std::iter::once(&at)
                .chain(twins)
                .filter_map(|of| shape.fact(*of)?.response_id())
                .filter(|id| id.chars().count() >= RESPONSE_ID_CHARS_MIN)
                .collect();
            let overlaps = |of: At| {
                let earlier = shape.fact(of);
                earlier.is_some_and(|e| {
                    e.start <= fact.end_or_start() && fact.start <= e.end_or_start()
                })
            };
            let same = ids.iter().filter_map(|id| last.get(id).copied());
            let of = same.filter(|of| overlaps(*of)).min();
            let payer = of.unwrap_or(at);
            for id in ids {
                let known = last.entry(id).or_insert(payer);
                if !overlaps(*known) {
                    *known = payer;
                }
            }
            if let Some(of) = of {
                self.merge(at, of);
            }
        }
        self.twins.values_mut().for_each(|all| all.sort_unstable());
    }

    /// Lets `of` pay for the call at `at` and for what `at` paid for.
    fn merge(&mut self, at: At, of: At) {
        if let Some(bill) = self.bills.get_mut(at) {
            *bill = Bill::SameResponse { of };
        }
        let mut moved = self.twins.remove(&at).unwrap_or_default();
        moved.push(at);
        for twin in &moved {
            if let Some(payer) = self.booked.get_mut(*twin) {
                *payer = Some(of);
            }
        }
        self.twins.entry(of).or_default().extend(moved);
    }
}
