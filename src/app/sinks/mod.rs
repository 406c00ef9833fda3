//! The sinks besides the lake: made from the configuration, and delivered to.

mod build;
mod fanout;

pub(crate) use build::{build, told};
pub(crate) use fanout::Fanout;
