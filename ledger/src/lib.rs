//! The ledger: follows the lake's new spans, attributes cost to skills per trace, and appends the
//! difference to what is booked as signed rows of `cost_ledger`.
//!
//! ```text
//! spans (Delta) --new batches, by node--> facts by trace --book--> bookings --difference--> rows
//!                                           |   ^                                            |
//!                                         [ store: facts and bookings of recent traces ]     v
//!                                                              cost_ledger (Delta) + cursors, one commit
//! ```
//!
//! Beside it, rows of `telemetry_events` and `log_events` are booked one by one, under sources of
//! their own (`events.rs`).
//!
//! What a trace costs is a pure function of its facts ([`weir_transforms::trace`]); here is what
//! makes it exact while spans come late, twice, over several nodes, and while processes die.
//!
//! # Invariants
//!
//! * Sums over the ledger are those of the computation once over all spans, whatever the order and
//!   the batches in which they came, and wherever a process was stopped.
//! * It is fed by rows (`_node`, `_batch`), never by table versions: compaction, retention and
//!   erasure of spans book nothing.
//! * One writer at a time is a matter of speed (the lease); that two do no harm is a matter of the
//!   commit, which is made onto the very state that it was computed from.

mod account;
mod booked;
mod cells;
mod error;
mod events;
mod follow;
mod ledger;
mod order;
mod place;
mod prices;
mod reprice;
mod restore;
mod round;
mod run;
mod status;
pub mod store;
mod trace;
mod window;

pub use account::{Account, account};
pub use error::LedgerError;
pub use follow::{Derivation, Follower};
pub use ledger::{Ledger, LedgerConfig, Step, StopHere};
pub use place::{LEDGER_NODE, OWN_LEDGER_NODE};
pub use prices::{PriceLists, Reprice};
pub use reprice::{Preview, tenants};
pub use run::{followers, keep_lease, open, run};
pub use status::{Shown, Status};
