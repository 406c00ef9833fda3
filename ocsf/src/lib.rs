//! The schema of OCSF, and what an event must hold to by it.
//!
//! ```text
//!  data/schema.zst --lazily--> Schema (one a version)
//!                                  |
//!  event (JSON) ---- validate -----+----> Report: codes, findings by path, ok | warn | invalid
//!        \---------- coerce -------------> the same event with the types that its schema wants
//! ```
//!
//! The checks and their codes are those of the schema server of the OCSF project (its second
//! validator). Codes that are ours begin with `weir_`. An event is held against the version that
//! it names; see [`Edition`] for versions that have no table of their own.
//!
//! # Invariants
//!
//! * Pure: no clock, no file, no socket. The tables are part of the program and are read once.
//! * A finding names a code and a path, never a value.
//! * Checking is linear in the event, goes [`DEPTH_MAX`] levels deep and keeps [`FINDINGS_MAX`]
//!   findings; it allocates nothing where nothing is found.

mod code;
mod coerce;
pub mod compile;
mod edition;
mod path;
mod schema;
mod tables;
mod validate;
mod version;

pub use code::{Code, Codes, Level};
pub use coerce::coerce;
pub use edition::{DEFAULT_VERSION, Edition, versions};
pub use path::PATH_BYTES_MAX;
pub use tables::TablesError;
pub use validate::{
    Checks, DEPTH_MAX, FINDINGS_MAX, Finding, Report, Status, validate, validate_with,
};

#[cfg(test)]
mod tests;
