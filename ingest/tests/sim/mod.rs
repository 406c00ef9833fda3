//! A disk that lies, and a world of sinks and senders around a log on it.

pub mod dice;
pub mod disk;
pub mod world;
