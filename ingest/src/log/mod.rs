//! The log: requests in, durable; sealed batches out, as often as asked; recent rows for queries.
//!
//! ```text
//! append --> queue --> core: one frame for all that wait --> fdatasync --> visible --> answered
//!                        |                                                  |
//!                        +-- seals that are due ride in the same frame      +-- recent rows (pin)
//!                                                                           +-- batches (next)
//! ```
//!
//! # Invariants
//!
//! * A row's batch number is written in its own frame: it is fixed when the row is accepted.
//! * A frame's rows of a dataset are all in one batch; the rows of a batch are those of its frames,
//!   in the order of the frames. So a batch is the same after every restart.
//! * A seal is durable before a sink sees the batch; after it no row joins.
//! * What a crash left open is sealed at the next start under the number that it had, and new
//!   rows begin the next one.
//! * Rows are visible to queries before their request is answered, and leave only when the lake's
//!   cursor has passed their batch.
//! * Nothing is deleted that a required sink has not settled or that a reader has pinned.

mod config;
mod core;
mod cursors;
mod entry;
mod group;
mod handle;
mod node_file;
mod queue;
mod recover;
mod report;
mod restore;
mod rows;
mod shared;
mod small_files;
mod truncate;

pub use config::LogConfig;
#[doc(hidden)]
pub use core::Core;
pub use entry::{AppendError, Committed, Entry, Joined, Route, Submission};
pub use handle::Log;
pub use report::{DatasetStatus, LogStatus, OpenError, OpenReport, RecentRequest};
#[doc(hidden)]
pub use shared::Shared;

pub(crate) use cursors::CURSOR_DIR;
pub(crate) use node_file::NODE_FILE;
pub(crate) use small_files::{LAYOUT as SMALL_LAYOUT, decode as decode_small};
