//! What an operator adds to the list: prices, discounts and commitments, each for a tenant or for all.

use super::commitment::Commitment;
use super::overrides::Override;

/// What an operator adds to the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Prices and discounts; the first that fits a call holds.
    pub prices: Vec<Override>,
    /// What was committed to spend.
    pub commitments: Vec<Commitment>,
}

impl From<Vec<Override>> for Own {
    fn from(prices: Vec<Override>) -> Self {
        Self {
            prices,
            commitments: Vec::new(),
        }
    }
}

impl Own {
    /// What is for `tenant`; without one, what is for everybody.
    pub fn of_tenant(&self, tenant: Option<&str>) -> Self {
        let theirs = |whose: Option<&str>| whose.is_some() && whose == tenant;
        let prices = self.prices.iter();
        let prices = prices.filter(|p| p.tenant.is_none() || theirs(p.tenant.as_deref()));
        let commitments = self.commitments.iter();
        let commitments = commitments.filter(|c| theirs(c.tenant.as_deref()));
        Self {
            prices: prices.cloned().collect(),
            commitments: commitments.cloned().collect(),
        }
    }

    /// The tenants that something is for, each at least once.
    pub fn tenants(&self) -> impl Iterator<Item = &str> {
        let prices = self.prices.iter().map(|p| &p.tenant);
        let all = prices.chain(self.commitments.iter().map(|c| &c.tenant));
        all.filter_map(Option::as_deref)
    }
}
