//! The routes as a whole, against a real node.

mod access;
mod api;
mod contract;
mod edge;
mod seed_product;
mod transport;
