//! Stand-ins for the log, for sinks and networks that misbehave, and the drill that puts a sink
//! through them; for the tests of this and other crates.

mod drill;
mod faults;
mod proxy;
mod source;

pub use drill::Drill;
pub use faults::{Fault, FaultySink};
pub use proxy::{FaultProxy, LinkFault};
pub use source::{ListSource, MemoryCursors};
