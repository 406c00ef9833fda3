//! The routes as a whole, against a real node.

mod access;
mod api;
mod contract;
mod edge;
mod http2;
mod lake;
mod limits;
mod rollups;
mod secured;
mod security_events;
mod seed_product;
mod transport;
mod unread;
mod walls;
