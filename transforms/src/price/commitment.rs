//! What was committed to spend with a provider, so that it can be said how much of it is used.
//!
//! A commitment changes no price: what it was given for is written as prices or discounts. It is
//! part of the tariff all the same, so that each booking names the terms that held.

use serde::{Deserialize, Serialize};

use super::which::{Calls, OverrideFault, Reader, Which, compile_each};
use crate::money;

/// One commitment as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Commitment {
    /// What answers call it; it must be said, as tenant, times and amount must.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it is: what is left of it is shown to that tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only calls to this provider use it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Only calls of this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Only calls of models whose names start so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_prefix: Option<String>,
    /// Only calls of models in whose names this pattern is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_regex: Option<String>,
    /// Its first moment: a date (its midnight in UTC) or an RFC 3339 time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Its end, excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How many US dollars, as decimal text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_usd: Option<String>,
}

/// A commitment in force.
#[derive(Debug)]
pub struct Committed {
    name: Box<str>,
    which: Which,
    period_us: (i64, i64),
    amount: i128,
}

impl Committed {
    /// What answers call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much, in 10^-12 US dollars; above 0.
    pub fn amount(&self) -> i128 {
        self.amount
    }

    /// Its first moment and its end, in microseconds since 1970 UTC.
    pub fn period_us(&self) -> (i64, i64) {
        self.period_us
    }

    /// Whether calls of that model by that provider, as the ledger names them, use it up.
    pub fn is_used_by(&self, provider: &str, model: &str) -> bool {
        let provider = provider.to_lowercase();
        self.which.names([Some(&provider), None], model)
    }
}

/// Compiles commitments.
///
/// # Errors
///
/// All faults of all of them.
pub(super) fn compile(written: &[Commitment]) -> Result<Vec<Committed>, Vec<OverrideFault>> {
    compile_each(written, |reader, one| reader.committed(one))
}

/// Looks for the faults of commitments without using them.
///
/// # Errors
///
/// All of them.
pub fn check_commitments(written: &[Commitment]) -> Result<(), Vec<OverrideFault>> {
    compile(written).map(|_| ())
}

impl Reader<'_> {
    fn committed(&mut self, written: &Commitment) -> Option<Committed> {
        let before = self.faults();
        let name = self.name(written.name.as_deref());
        let which = self.which(&Calls {
            provider: written.provider.as_deref(),
            model: written.model.as_deref(),
            model_prefix: written.model_prefix.as_deref(),
            model_regex: written.model_regex.as_deref(),
            from: written.from.as_deref(),
            until: written.until.as_deref(),
        });
        for (field, given) in [
            ("name", &written.name),
            ("tenant", &written.tenant),
            ("from", &written.from),
            ("until", &written.until),
            ("amount_usd", &written.amount_usd),
        ] {
            if given.is_none() {
                self.fault(
                    field,
                    "it is wanted: a commitment has a name, a tenant, its times and an amount",
                );
            }
        }
        let amount = written.amount_usd.as_deref().and_then(money::parse);
        let amount = amount.filter(|amount| *amount > 0);
        if amount.is_none() && written.amount_usd.is_some() {
            self.fault("amount_usd", "dollars above 0 are wanted, as `500000`");
        }
        (self.faults() == before).then_some(Committed {
            name,
            period_us: (which.from_us?, which.until_us?),
            which,
            amount: amount?,
        })
    }
}
