//! Request bodies in, Arrow rows out.
//!
//! Each receiver's body is read once and becomes rows of its dataset's accepted schema: spans from
//! OTLP ([`otlp`]), which also has logs, audit events of proxies ([`proxy_audit`]), security events
//! ([`ocsf`]) and telemetry events with their own cost ([`telemetry`]).
//!
//! # Invariants
//!
//! * The tenant and the time of receipt come from the [`Acceptance`], never from the body.
//! * What was sent can be found again: attributes of every kind, exact 64-bit times, counts. What
//!   a limit cuts is flagged on the row.
//! * A body is decoded whole or not at all; only single spans with unusable ids are refused on
//!   their own, and those become rows of `rejected_events`.
//! * No input makes this code panic, recurse without bound, or take memory beyond the limits.
//! * No error text repeats what a body contained.

mod acceptance;
pub mod attributes;
mod columns;
mod error;
mod instant;
mod json;
mod money;
pub mod ocsf;
pub mod otlp;
pub mod proxy_audit;
mod rejected;
mod table;
pub mod telemetry;
mod wire;

pub use acceptance::{Acceptance, Limits};
pub use error::{DecodeError, RefusalKind};
