//! The sinks that keep rows in SQL databases, on the real engines: SQLite, and Postgres where it is
//! installed.

#![cfg(test)]

#[path = "sql/back.rs"]
mod back;
#[path = "sql/place.rs"]
mod place;
#[path = "sql/postgres.rs"]
mod postgres;
#[path = "../../store/tests/server/mod.rs"]
mod server;
#[path = "sql/sqlite.rs"]
mod sqlite;
#[path = "sql/timescale.rs"]
mod timescale;
