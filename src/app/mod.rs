//! The running node: its parts, how a request passes through them, and how they start and stop.
//!
//! ```text
//! http/, grpc/ --> Intake: fold resends -> decode -> enrich -> log.append --> answer
//!                    |                                   |
//!                 Arrivals (tail)                     Delivery --> lake --> Booking --> lake
//! ```

pub(crate) mod access;
pub(crate) mod account;
pub(crate) mod arrivals;
pub(crate) mod budgets;
pub(crate) mod counters;
pub(crate) mod duplicates;
pub(crate) mod histogram;
pub(crate) mod intake;
pub(crate) mod layouts;
pub(crate) mod ledger;
pub(crate) mod metered;
pub(crate) mod node;
pub(crate) mod parts;
pub(crate) mod prepare;
pub(crate) mod prices;
pub(crate) mod quota;
pub(crate) mod reach;
pub(crate) mod resends;
pub(crate) mod rollups;
pub(crate) mod running;
pub(crate) mod sinks;
pub(crate) mod start_error;
pub(crate) mod together;

pub(crate) use node::Node;
pub(crate) use running::{Addresses, App, StartError};

#[cfg(test)]
pub(crate) mod rig;
