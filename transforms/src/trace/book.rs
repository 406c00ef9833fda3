//! From the facts of a trace to its bookings.

use super::attribute::Attributed;
use super::bill::{Bill, Bills};
use super::booking::{Booking, BookingFlags};
use super::charge::{Charge, charge};
use super::fact::{Fact, Inherited};
use super::shape::{At, Shape};
use crate::price::Prices;

/// The calls that are billed in the trace that `facts` tell of, by start and span id.
///
/// `facts` are those of one trace of one tenant, in any order, with copies or without; `prices` is
/// asked only about calls that a twin completed, under the list that the call was priced by before.
pub fn book(facts: &[Fact], prices: &dyn Prices) -> Vec<Booking> {
    let shape = Shape::of(facts);
    Trace::of(&shape, prices).bookings()
}

/// A trace with its rules applied.
pub(super) struct Trace<'s, 'a> {
    pub(super) shape: &'s Shape<'a>,
    pub(super) attributed: Attributed<'s, 'a>,
    pub(super) bills: Bills,
    prices: &'s dyn Prices,
    /// Whether a circle was cut at the span or above it.
    in_cycle: Vec<bool>,
}

impl<'s, 'a> Trace<'s, 'a> {
    pub(super) fn of(shape: &'s Shape<'a>, prices: &'s dyn Prices) -> Self {
        let is_cut = |at: At| shape.get(at).is_some_and(|span| span.cut);
        let mut in_cycle = shape.inherit(false, |_, parent, above| above || is_cut(parent));
        for (at, slot) in in_cycle.iter_mut().enumerate() {
            *slot |= is_cut(at);
        }
        Self {
            shape,
            attributed: Attributed::of(shape),
            bills: Bills::of(shape),
            prices,
            in_cycle,
        }
    }

    fn bookings(&self) -> Vec<Booking> {
        let places = self.bills.bills.iter().enumerate();
        let booked = places.filter(|(_, bill)| **bill == Bill::Booked);
        // Places are in the order of start and id, and so are bookings.
        booked
            .filter_map(|(at, _)| self.booking(at).map(|(booking, _)| booking))
            .collect()
    }

    /// The booking of the span at `at`, which is billed, and how its call was completed.
    pub(super) fn booking(&self, at: At) -> Option<(Booking, Charge)> {
        let span = self.shape.get(at)?;
        let fact = span.fact;
        let twins = self.bills.twins.get(&at).map_or(&[][..], Vec::as_slice);
        let with_facts = twins
            .iter()
            .filter_map(|at| Some((*at, self.shape.fact(*at)?)));
        let charge = charge(fact, with_facts, self.prices);
        let call = &charge.call;
        let skilled = self.attributed.skill(at);
        let context = |which| {
            self.attributed
                .context(at, which)
                .map(|(value, _)| value.clone())
        };
        let model = call.model_response.as_ref().or(call.model_request.as_ref());
        let duration = fact.end.and_then(|end| end.checked_sub(fact.start));
        let booking = Booking {
            start: fact.start,
            span: fact.span,
            content_key: fact.content_key,
            duration_nanos: duration.filter(|nanos| *nanos >= 0),
            kind: fact.kind,
            skill: skilled.skill.map(|skill| skill.name.clone()),
            skill_version: skilled.skill.and_then(|skill| skill.version.clone()),
            attribution: skilled.attribution,
            agent_name: context(Inherited::AgentName),
            agent_id: context(Inherited::AgentId),
            provider: call.provider.clone(),
            model: model.cloned(),
            session_id: context(Inherited::SessionId),
            user_id: context(Inherited::UserId),
            team_id: context(Inherited::TeamId),
            project: context(Inherited::Project),
            cost_center: context(Inherited::CostCenter),
            workflow_name: context(Inherited::WorkflowName),
            environment: fact.context.as_ref().and_then(|c| c.environment.clone()),
            usage: call.usage,
            reported: call.reported,
            computed: call.computed,
            cost: call.cost,
            status: call.status,
            disagrees: call.disagrees,
            price_ref: call.price_ref.clone(),
            error_type: fact.error.clone(),
            flags: BookingFlags {
                conflict: span.conflict,
                twin_merged: !twins.is_empty(),
                cycle: self.in_cycle.get(at).copied().unwrap_or_default(),
            },
        };
        Some((booking, charge))
    }
}
