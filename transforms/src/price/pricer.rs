//! What prices calls, and which pricer a call was priced by.

use super::{Call, PriceList, Priced};

/// Which cost a call is charged where its sender reported one and one was computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Prefer {
    /// What the sender reported.
    #[default]
    Reported,
    /// What the price list says.
    Computed,
}

/// Prices calls, always alike: the same call has the same price for ever.
///
/// Whatever a price depends on (rates, overrides, which cost is preferred) is part of the pricer,
/// and its name stands for all of it.
pub trait Pricer: Send + Sync {
    /// Prices `call`; an amount is in 10^-12 US dollars.
    fn price(&self, call: &Call<'_>) -> Priced;

    /// The list's name, as it stands in `price_ref` before the first colon.
    fn name(&self) -> &str;

    /// Which cost is charged where there are two.
    fn prefer(&self) -> Prefer;
}

/// The pricers that calls were priced by, by name.
pub trait Prices: Send + Sync {
    /// The pricer of that name; the one for new calls where `list` is none or not known here.
    fn under(&self, list: Option<&str>) -> &dyn Pricer;
}

/// One pricer for all calls.
impl<P: Pricer> Prices for P {
    fn under(&self, _list: Option<&str>) -> &dyn Pricer {
        self
    }
}

impl Pricer for PriceList {
    fn price(&self, call: &Call<'_>) -> Priced {
        Self::price(self, call)
    }

    fn name(&self) -> &str {
        Self::name(self)
    }

    fn prefer(&self) -> Prefer {
        Prefer::Reported
    }
}
