//! Queries over a real lake on disk and recent rows in memory; one binary, since each one links
//! DataFusion.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops at the first surprise"
)]

mod answers;
mod consistency;
mod duplicates;
mod fixture;
mod hostile;
mod isolation;
mod limits;
mod own_lakes;
mod plans;
mod ranges;
mod reference;
mod same_as_memory;
mod skipping;
mod tenants;
mod worlds;
