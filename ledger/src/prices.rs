//! Who prices what, and entries that say otherwise.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_model::TenantId;
use weir_transforms::Prices;
use weir_transforms::trace::Fact;

/// The price lists of each tenant. Lists never change: one that changed is another, of another name.
pub trait PriceLists: Send + Sync + fmt::Debug {
    /// The lists by which the tenant's calls are and were priced.
    fn of(&self, tenant: &TenantId) -> Arc<dyn Prices>;
}

/// An entry in the ledger's order: calls of a time are priced by other lists than before.
///
/// It is an object beside the table, `_weir/ledger/entries/<number>.json`, made once; all nodes apply
/// it alike, since whom it concerns follows from the span alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reprice {
    /// Calls that began at or after this are concerned, in microseconds.
    pub from_us: i64,
    /// Calls that began before this are concerned.
    pub to_us: i64,
    /// When the entry was made: spans that were accepted later were priced by newer lists already.
    pub made_us: i64,
    /// The list for each tenant that is concerned.
    pub lists: BTreeMap<String, String>,
}

impl Reprice {
    /// Whether a call of `tenant` is concerned that began at `start_us`.
    pub(crate) fn concerns(&self, tenant: &str, start_us: i64) -> bool {
        self.lists.contains_key(tenant) && self.from_us <= start_us && start_us < self.to_us
    }
}

/// Prices the facts of a trace of `tenant` by the last entry that concerns each.
pub(crate) fn apply(
    entries: &[Reprice],
    tenant: &TenantId,
    facts: &mut [Fact],
    prices: &dyn Prices,
) {
    if !entries
        .iter()
        .any(|e| e.lists.contains_key(tenant.as_str()))
    {
        return;
    }
    for fact in facts.iter_mut().filter(|f| f.call.is_some()) {
        let start_us = fact.start.div_euclid(1000);
        let concerned =
            |e: &&Reprice| e.concerns(tenant.as_str(), start_us) && fact.received_us < e.made_us;
        let last = entries.iter().rev().find(concerned);
        if let Some(list) = last.and_then(|e| e.lists.get(tenant.as_str())) {
            fact.reprice(prices.under(Some(list)));
        }
    }
}
