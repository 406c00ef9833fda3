//! What a call costs once its twins have filled its gaps.

use std::sync::Arc;

use super::booking::CostStatus;
use super::fact::{Fact, ModelCall, Usage, UsageCount};
use super::shape::At;
use crate::enrich::disagree;
use crate::price::{Call, Prefer, Priced, Pricer, Prices, Tokens};

/// Conventions that count cached tokens beside the input (rule U2).
const EXCLUSIVE_DIALECTS: [&str; 2] = ["claude_code", "langfuse"];

/// What a twin can fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// A count of tokens.
    Usage(UsageCount),
    /// The provider.
    Provider,
    /// The model asked for.
    ModelRequest,
    /// The model that answered.
    ModelResponse,
    /// The service tier.
    ServiceTier,
    /// Whether it was a batch call.
    Batch,
    /// The provider's id of the answer.
    ResponseId,
    /// What the sender says it cost.
    Reported,
}

impl Gap {
    /// The column that is filled.
    pub const fn column(self) -> &'static str {
        match self {
            Self::Usage(count) => count.name(),
            Self::Provider => "provider",
            Self::ModelRequest => "model_request",
            Self::ModelResponse => "model_response",
            Self::ServiceTier => "service_tier",
            Self::Batch => "is_batch",
            Self::ResponseId => "response_id",
            Self::Reported => "cost_reported_usd",
        }
    }

    /// Whether the computed cost depends on it.
    const fn is_priced(self) -> bool {
        match self {
            Self::Usage(_)
            | Self::Provider
            | Self::ModelRequest
            | Self::ModelResponse
            | Self::ServiceTier
            | Self::Batch => true,
            Self::ResponseId | Self::Reported => false,
        }
    }
}

/// A call with its gaps filled, and by whom.
#[derive(Debug)]
pub(super) struct Charge {
    pub(super) call: ModelCall,
    pub(super) filled: Vec<(Gap, At)>,
}

/// The call of `fact`, with what it lacks from `twins`, the first that has it, and priced again where
/// that changes anything.
pub(super) fn charge<'a>(
    fact: &Fact,
    twins: impl Iterator<Item = (At, &'a Fact)>,
    prices: &dyn Prices,
) -> Charge {
    let own = fact.call.as_deref().cloned().unwrap_or_default();
    let mut charge = Charge {
        call: own,
        filled: Vec::new(),
    };
    for (at, twin) in twins {
        if let Some(twin) = &twin.call {
            charge.fill(twin, at);
        }
    }
    if !charge.filled.is_empty() {
        charge.settle_usage(fact);
        charge.settle_cost(fact, prices);
    }
    charge
}

/// Fills `gap` from `with` where it is one.
fn take<T: Clone>(gap: &mut Option<T>, with: Option<&T>) -> bool {
    if gap.is_some() || with.is_none() {
        return false;
    }
    *gap = with.cloned();
    true
}

impl Charge {
    fn fill(&mut self, twin: &ModelCall, at: At) {
        let call = &mut self.call;
        let mut filled = Vec::new();
        for count in UsageCount::ALL {
            let mut own = call.usage.get(count);
            if take(&mut own, twin.usage.get(count).as_ref()) {
                call.usage.set(count, own);
                filled.push(Gap::Usage(count));
            }
        }
        let mut text = |gap, own: &mut Option<Arc<str>>, with: &Option<Arc<str>>| {
            if take(own, with.as_ref()) {
                filled.push(gap);
            }
        };
        text(Gap::Provider, &mut call.provider, &twin.provider);
        text(
            Gap::ModelRequest,
            &mut call.model_request,
            &twin.model_request,
        );
        text(
            Gap::ModelResponse,
            &mut call.model_response,
            &twin.model_response,
        );
        text(Gap::ServiceTier, &mut call.service_tier, &twin.service_tier);
        text(Gap::ResponseId, &mut call.response_id, &twin.response_id);
        if take(&mut call.batch, twin.batch.as_ref()) {
            filled.push(Gap::Batch);
        }
        // What a sender reports beside counts that cannot be is not trusted either.
        let reported = twin.reported.filter(|_| !twin.invalid);
        if take(&mut call.reported, reported.as_ref()) {
            filled.push(Gap::Reported);
        }
        if call.list.is_none() {
            call.list.clone_from(&twin.list);
        }
        self.filled.extend(filled.into_iter().map(|gap| (gap, at)));
    }

    fn is_filled(&self, count: UsageCount) -> bool {
        self.filled.iter().any(|(gap, _)| *gap == Gap::Usage(count))
    }

    /// Applies U2 and U4 to the counts as they are now. What the rules had added to the span's own
    /// counts before is taken off first; counts from a twin include what they must already.
    fn settle_usage(&mut self, fact: &Fact) {
        let own = fact
            .call
            .as_deref()
            .map(|call| call.usage)
            .unwrap_or_default();
        let input_is_own = !self.is_filled(UsageCount::Input);
        let output_is_own = !self.is_filled(UsageCount::Output);
        let dialect = fact.dialect.as_deref().unwrap_or_default();
        let exclusive = input_is_own && EXCLUSIVE_DIALECTS.contains(&dialect);
        let call = &mut self.call;
        let cached = |usage: &Usage| {
            let read = usage.or_zero(UsageCount::CacheRead);
            read.saturating_add(usage.or_zero(UsageCount::CacheWrite))
        };
        if let Some(input) = call.usage.get(UsageCount::Input) {
            let added = input_is_own && call.made_inclusive;
            let taken = if added { cached(&own) } else { 0 };
            let plain = input.saturating_sub(taken);
            let cached = cached(&call.usage);
            if cached > 0 && (exclusive || cached > plain) {
                call.usage
                    .set(UsageCount::Input, Some(plain.saturating_add(cached)));
                call.made_inclusive = true;
            }
        }
        if let Some(output) = call.usage.get(UsageCount::Output) {
            let added = output_is_own && call.reasoning_added;
            let before = own.or_zero(UsageCount::Reasoning);
            let plain = output.saturating_sub(if added { before } else { 0 });
            let reasoning = call.usage.or_zero(UsageCount::Reasoning);
            if reasoning > plain {
                call.usage
                    .set(UsageCount::Output, Some(plain.saturating_add(reasoning)));
                call.reasoning_added = true;
            }
        }
        if call.usage.is_used() {
            call.invalid = false;
        }
    }

    fn settle_cost(&mut self, fact: &Fact, prices: &dyn Prices) {
        let pricer = prices.under(self.call.list.as_deref());
        let again = self.filled.iter().any(|(gap, _)| gap.is_priced());
        self.call.settle(fact.priced_at_us(), again, pricer);
    }
}

impl ModelCall {
    /// Prices the call, which began at `start_us`, anew by `pricer`, whose name it takes over. What
    /// its sender reported stays.
    pub fn reprice(&mut self, start_us: i64, pricer: &dyn Pricer) {
        self.settle(start_us, true, pricer);
        self.list = Some(pricer.name().into());
    }

    /// Sets what the call costs by `pricer`: computed anew if `again`, and chosen by its preference.
    fn settle(&mut self, start_us: i64, again: bool, pricer: &dyn Pricer) {
        let mut status = self.status;
        if again {
            (self.computed, self.price_ref) = (None, None);
            status = if self.invalid {
                CostStatus::InvalidUsage
            } else {
                CostStatus::NoUsage
            };
            if self.usage.is_used() {
                match pricer.price(&self.priced(start_us)) {
                    Priced::Amount(amount, reference) => {
                        self.computed = Some(amount);
                        self.price_ref = Some(reference);
                    }
                    Priced::Unpriced => status = CostStatus::Unpriced,
                    Priced::InvalidUsage => status = CostStatus::InvalidUsage,
                }
            }
        }
        let reported = self.reported.filter(|_| !self.invalid);
        let chosen = match pricer.prefer() {
            Prefer::Reported => reported.or(self.computed),
            Prefer::Computed => self.computed.or(reported),
        };
        let computed_wins = pricer.prefer() == Prefer::Computed || reported.is_none();
        self.status = match (self.computed, reported) {
            (Some(_), _) if computed_wins => CostStatus::Computed,
            (_, Some(_)) => CostStatus::Reported,
            (_, None) => status,
        };
        self.cost = chosen;
        self.disagrees = reported.zip(self.computed).map(|(r, c)| disagree(r, c));
    }

    fn priced(&self, start_us: i64) -> Call<'_> {
        let count = |which| self.usage.or_zero(which);
        Call {
            provider: self.provider.as_deref(),
            server: self.server.as_deref(),
            models: [
                self.model_response.as_deref(),
                self.model_request.as_deref(),
            ],
            start_us,
            tier: self.service_tier.as_deref(),
            batch: self.batch == Some(true),
            tokens: Tokens {
                input: count(UsageCount::Input),
                output: count(UsageCount::Output),
                cache_read: count(UsageCount::CacheRead),
                cache_write: count(UsageCount::CacheWrite),
                cache_write_1h: count(UsageCount::CacheWrite1h),
                reasoning: count(UsageCount::Reasoning),
                audio_input: count(UsageCount::AudioInput),
                audio_output: count(UsageCount::AudioOutput),
                image_input: count(UsageCount::ImageInput),
                image_output: count(UsageCount::ImageOutput),
                web_searches: 0,
            },
        }
    }
}

impl Fact {
    /// Prices the call anew by `pricer`, whose name the fact takes over: what a change of prices for
    /// what was booked before does to the facts kept. Facts of spans that are no calls stay as they
    /// are.
    pub fn reprice(&mut self, pricer: &dyn Pricer) {
        let start_us = self.priced_at_us();
        if let Some(call) = &mut self.call {
            call.reprice(start_us, pricer);
        }
    }
}
