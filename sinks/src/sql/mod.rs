//! What the sinks share that keep rows in tables of an SQL database.

mod digits;
pub(crate) mod json;
mod lookups;
mod stored;
mod tenants;

pub(crate) use digits::{days_text, decimal_text, time_text};
pub(crate) use lookups::{always_there, lookups};
pub(crate) use stored::{Change, Stored, bounds};
pub(crate) use tenants::by_tenant;
