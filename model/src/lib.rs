//! What every other part of weir agrees on: datasets and their one schema, tenants, nodes,
//! batches, faults and the clock.
//!
//! Nothing here does I/O or knows a runtime. The traits are those that one crate calls and another
//! implements ([`BatchSource`], [`RecentRows`]), so that neither has to know
//! the other.

pub mod batch;
pub mod clock;
pub mod dataset;
pub mod fault;
pub mod histogram;
pub mod layout;
pub mod node;
pub mod recent;
pub mod schema;
pub mod source;
pub mod tenant;

pub use batch::{Batch, BatchId};
pub use clock::{Clock, SystemClock};
pub use dataset::Dataset;
pub use fault::{Classify, Fault};
pub use histogram::Histogram;
pub use layout::FoundLayout;
pub use node::NodeId;
pub use recent::{PinnedRows, RecentBlock, RecentRows};
pub use source::{BatchSource, CursorError, Cursors, SourceError};
pub use tenant::TenantId;
