//! SQL over the lake and the recent rows as one table, one tenant at a time.
//!
//! ```text
//! SQL --guard--> statement --session--> plan --run--> rows --format--> JSON, CSV, Arrow, Parquet
//!                            |                  |
//!        tables of one tenant, pinned        memory, spill, time, rows, bytes
//! ```
//!
//! # Invariants
//!
//! * A query sees the rows of the tenant that it is run for, and no others: a session has no table
//!   that could give them, and the tenant filter lies below every operator and predicate.
//! * It sees each accepted row of this node once: in the lake's snapshot or among the recent rows.
//! * It changes nothing: no statement that could is planned.
//! * It ends: in time, memory, spill space, rows and bytes.
//!
//! The only crate that links DataFusion.

mod around;
mod engine;
mod error;
pub mod format;
mod functions;
mod growth;
mod guard;
mod lake_scan;
mod latency;
mod once;
mod pool;
mod prune;
mod recent;
mod reference;
mod rollup;
mod run;
mod stop;
mod store;
mod table;
mod views;

pub use engine::{Answer, Engine, EngineConfig, QueryLimits};
pub use error::{ErrorKind, QueryError};
pub use reference::reference;
pub use rollup::{Basis, Dimension, Reconciled, Rollup, RollupQuestion, RollupSums};
