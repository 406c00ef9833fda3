//! The checks against events of our own, and against samples and a reference where they are.

#![cfg(test)]

#[path = "ocsf/cases.rs"]
mod cases;
#[path = "ocsf/events.rs"]
mod events;
#[path = "ocsf/laws.rs"]
mod laws;
#[path = "ocsf/samples.rs"]
mod samples;
#[path = "ocsf/tables.rs"]
mod tables;
