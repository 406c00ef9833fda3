//! Stand-ins for the log and for sinks that misbehave, for the tests of this and other crates.

mod faults;
mod source;

pub use faults::{Fault, FaultySink};
pub use source::{ListSource, MemoryCursors};
