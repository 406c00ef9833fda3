//! Sinks: where rows go, and the one loop that gets them there.
//!
//! ```text
//! BatchSource --run of batches--> delivery --write--> Sink --> receipt or classified error
//!  (log, lake)                       |
//!                                    |-- transient: again, later and later
//!                                    |-- permanent: smaller runs, down to the rows at fault,
//!                                    |              which go to the dead letters
//!                                    '-- settled:   the cursor moves
//! ```
//!
//! # Invariants
//!
//! * A row has one of two ends at each sink: stored once, or set aside with a reason. There is no
//!   third; what the log itself has lost is counted and said.
//! * The cursor of a sink moves only over batches whose every row has come to an end, and only
//!   after that end is durable.
//! * One sink, or one dataset in it, that is stuck delays no other.

pub mod clickhouse;
pub mod contract;
pub mod dead;
pub mod delivery;
mod derived;
pub mod lake;
pub mod memory;
pub mod outbound;
pub mod postgres;
mod refill;
pub mod route;
mod secret;
mod sink;
pub mod snowflake;
mod sql;
pub mod sqlite;
pub mod testing;

pub use dead::{
    DeadError, DeadLetter, DeadLetters, InvalidLetterId, LetterId, layouts as dead_layouts,
    replay_node, sink_layouts,
};
pub use delivery::{DatasetStatus, Delivery, DeliveryConfig, DeliveryStatus};
pub use derived::{ByDataset, Derived, Resumed};
pub use refill::Refill;
pub use route::{Route, RouteBook, Routed};
pub use secret::Secret;
pub use sink::{Engine, Part, PartId, Receipt, Sink, SinkError};
