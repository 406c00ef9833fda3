//! A disk that lies, and a world of sinks and senders around a log on it.

#![allow(
    clippy::cast_possible_truncation,
    reason = "files of the simulation are a few kilobytes"
)]

pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod medium;
mod threads;
pub(crate) mod world;
