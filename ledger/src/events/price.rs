//! Events that an entry of the order prices anew.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Decimal128Array, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use weir_model::TenantId;
use weir_model::schema::MONEY;
use weir_transforms::trace::{ModelCall, Usage, UsageCount};

use crate::booked::COUNTS;
use crate::cells::Cells;
use crate::prices::{PriceLists, Reprice};

/// By what events are priced where an entry says so; all others keep the price beside them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventTerms<'a> {
    pub(crate) prices: &'a dyn PriceLists,
    pub(crate) entries: &'a [Reprice],
}

/// The columns that an entry changes.
const COST: [&str; 5] = [
    "cost_computed_usd",
    "cost_usd",
    "cost_status",
    "cost_disagrees",
    "price_ref",
];

/// What rows cost by the entries that concern them.
#[derive(Debug)]
pub(super) struct Repriced(Vec<Option<ModelCall>>);

impl Repriced {
    /// Looks at each row, of which `began` says when the call began and `received` when it was
    /// accepted, in microseconds; `None` where no entry concerns any.
    pub(super) fn of(
        rows: &RecordBatch,
        terms: &EventTerms<'_>,
        (began, received): (impl Fn(usize) -> i64, impl Fn(usize) -> Option<i64>),
    ) -> Option<Self> {
        if terms.entries.is_empty() {
            return None;
        }
        let row = Cells(rows);
        let call = |at| {
            let tenant = row.text("tenant_id", at)?;
            let start_us = began(at);
            let received_us = received(at).unwrap_or(start_us);
            let concerned = |e: &&Reprice| e.concerns(tenant, start_us) && received_us < e.made_us;
            let entry = terms.entries.iter().rev().find(concerned)?;
            let list = entry.lists.get(tenant)?;
            let mut call = call_of(row, at);
            let prices = terms.prices.of(&TenantId::new(tenant).ok()?);
            call.reprice(start_us, prices.under(Some(list)));
            Some(call)
        };
        let calls: Vec<Option<ModelCall>> = (0..rows.num_rows()).map(call).collect();
        calls.iter().any(Option::is_some).then_some(Self(calls))
    }

    /// The column `name` of `rows` with what is priced anew; `None` where nothing changes it.
    pub(super) fn column(&self, name: &str, rows: &RecordBatch) -> Option<ArrayRef> {
        if !COST.contains(&name) {
            return None;
        }
        let row = Cells(rows);
        Some(match name {
            "cost_computed_usd" => self.money(name, row, |c| c.computed).ok()?,
            "cost_usd" => self.money(name, row, |c| c.cost).ok()?,
            "cost_disagrees" => {
                let all = self.0.iter().enumerate().map(|(at, call)| match call {
                    Some(call) => call.disagrees,
                    None => row.truth(name, at),
                });
                Arc::new(all.collect::<BooleanArray>())
            }
            name => {
                let all = self.0.iter().enumerate().map(|(at, call)| match call {
                    Some(call) if name == "cost_status" => Some(call.status.name()),
                    Some(call) => call.price_ref.as_deref(),
                    None => row.text(name, at),
                });
                Arc::new(all.collect::<StringArray>())
            }
        })
    }

    fn money(
        &self,
        name: &str,
        row: Cells<'_>,
        of: impl Fn(&ModelCall) -> Option<i128>,
    ) -> Result<ArrayRef, ArrowError> {
        let all = self.0.iter().enumerate().map(|(at, call)| match call {
            Some(call) => of(call),
            None => row.money(name, at),
        });
        let all: Decimal128Array = all.collect();
        Ok(Arc::new(all.with_precision_and_scale(MONEY.0, MONEY.1)?))
    }
}

/// The call that the row at `at` tells of.
fn call_of(row: Cells<'_>, at: usize) -> ModelCall {
    let text = |name| row.text(name, at).map(Arc::from);
    let mut usage = Usage::default();
    for count in COUNTS {
        usage.set(count, row.long(UsageCount::name(count), at));
    }
    ModelCall {
        provider: text("provider"),
        model_request: text("model_request").or_else(|| text("model")),
        model_response: text("model_response"),
        service_tier: text("service_tier"),
        usage,
        // Counts that cannot be were left out when the row was accepted, and leave no cost.
        invalid: row.text("cost_status", at) == Some("invalid_usage") && !usage.is_used(),
        reported: row.money("cost_reported_usd", at),
        ..ModelCall::default()
    }
}
