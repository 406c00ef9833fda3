//! The price of a call: which model, which list entry, what amount.
//!
//! The list is Pydantic's `genai-prices`, embedded as it is published. Its own crate says which
//! entry a provider and a model name mean; that search takes microseconds and is kept. The amount
//! is worked out here in integers, since the crate counts in binary floats; on first use of an
//! entry the two are compared, and where they differ the crate's amount is used.

mod list;
mod pricer;
mod rates;

pub use list::{Call, ListError, PriceList, Priced};
pub use pricer::{Prefer, Pricer, Prices};
pub use rates::Tokens;
