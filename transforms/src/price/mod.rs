//! The price of a call: which model, which entry, what amount.
//!
//! ```text
//! Call --names--> own prices of the tenant, then the list's entry --rates in force--> exact sum
//!                                                                 --one rounding--> 10^-12 dollars
//! ```
//!
//! The list is Pydantic's `genai-prices`, embedded as it is published; the search and the arithmetic
//! are ours, in integers from the digits of the file to the amount. Tests hold both against the
//! publisher's own crate, which counts in binary floats.

mod call;
mod clause;
mod commitment;
mod date;
mod list;
mod overrides;
mod own;
mod pricer;
mod rates;
mod tariff;
mod which;

pub use call::{Call, Priced, Tokens};
pub use commitment::{Commitment, Committed, check_commitments};
pub use list::{ListError, PriceList};
pub use overrides::{Override, OverrideRate, check_overrides};
pub use own::Own;
pub use pricer::{Prefer, Pricer, Prices};
pub(crate) use tariff::Meaning;
pub use tariff::{KeptError, Quote, QuotedRate, Tariff};
pub use which::OverrideFault;

#[cfg(test)]
mod exact_tests;
#[cfg(test)]
mod terms_tests;
#[cfg(test)]
mod tests;
