//! The routes as a whole, against a real node.

mod access;
mod api;
mod contract;
mod edge;
pub(crate) mod events;
mod http2;
mod lake;
mod limits;
mod raw;
mod rollups;
mod secured;
mod security_events;
mod seed_product;
mod settings;
mod signals;
mod sinks;
mod tags;
mod transport;
mod unread;
mod walls;
