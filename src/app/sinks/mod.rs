//! The sinks besides the lake: made from the configuration, and delivered to.
//!
//! ```text
//! log --+--> [Refill: what the log no longer has, from the lake] --+
//!       '--> lake: cost_ledger, by the node that books             |
//!                                                                  v
//!        for each sink: [Routed] --> delivery --> [Valve] --> [Metered] --> sink
//! ```
//!
//! # Invariants
//!
//! * Each sink has cursors, tasks and a breaker of its own; none waits for another.
//! * A sink that is away keeps the node neither from starting, nor from accepting, nor from
//!   stopping in time.
//! * What the log drops before a sink has it is in the lake: a sink that falls behind is filled
//!   from there by the same loop.

mod build;
mod counted;
mod fanout;
mod letters;
mod otlp;
mod outlet;
mod replay;
mod valve;

pub(crate) use build::{Built, build, build_all, told};
pub(crate) use counted::{Counted, stopped};
pub(crate) use fanout::{Fanout, Supply, keep};
pub(crate) use letters::{letter_json, rows_json};
pub(crate) use outlet::{Outlet, Progress};
pub(crate) use replay::{ReplayError, replay};

#[cfg(test)]
pub(crate) mod receivers;
