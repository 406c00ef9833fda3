//! Pure functions of rows: the attribute mapping, the price, and sums of bookings.
//!
//! A span arrives with whatever names its instrumentation chose. [`Enricher`] reads them once,
//! right after decoding, and fills the columns that mean the same for every sender:
//!
//! ```text
//! attributes ----.                 .--> op_kind, provider, model, agent, tool, skill, ...
//! resource -------+--> mapping ---+--> usage_* (inclusive, checked) --> price --> cost_*
//! events, scope --'    (data)      '--> dialect, usage_flags, skill_source
//! ```
//!
//! Which attribute feeds which column is data, `mapping.json`; what cannot be said as "the first
//! that is present" is a named rule in [`derive`](self). Rules that need the other spans of a trace
//! (twins, inheritance, the last skill loaded) are in [`trace`]: a trace is never whole when its spans
//! arrive, so they are applied to what is there, again whenever more has come.
//!
//! # Invariants
//!
//! * The same rows give the same rows again, in any process: no clock, no network, no state that a
//!   result depends on. What is cached is only what would be computed again alike.
//! * Only columns that the mapping owns are replaced; all that was sent stays as it was.
//! * Unknown is NULL. A model without a price has no cost, not a cost of zero.
//! * Money is never a binary float: amounts are integers of 10^-12 US dollars, rounded half to even
//!   once.

mod addition;
mod columns;
mod derive;
mod enrich;
mod field;
mod json;
mod keys;
mod mapping;
mod money;
mod price;
pub mod rollup;
mod row;
mod scalar;
mod shape;
mod source;
pub mod trace;
mod usage;

pub use addition::{Addition, AdditionFault};
pub use enrich::{ColumnSource, Enricher, Explained};
pub use mapping::MappingError;
pub use price::{
    Call, Commitment, Committed, KeptError, ListError, Override, OverrideFault, OverrideRate, Own,
    Prefer, PriceList, Priced, Pricer, Prices, Quote, QuotedRate, Tariff, Tokens,
    check_commitments, check_overrides,
};
