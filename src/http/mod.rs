//! HTTP: the routes of each listener, and what surrounds every request.

pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod charge;
pub(crate) mod conn;
pub(crate) mod contract;
pub(crate) mod costs;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod listen;
pub(crate) mod metrics;
pub(crate) mod ocsf;
pub(crate) mod openapi;
pub(crate) mod otlp;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod rollups;
pub(crate) mod routes;
pub(crate) mod rpc_status;
pub(crate) mod settings;
pub(crate) mod surround;
pub(crate) mod tail;
pub(crate) mod tariffs;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod tls;
pub(crate) mod unstored;
