//! The sinks that keep rows in SQL databases, on the real engines: SQLite, and Postgres where it is
//! installed.

#![cfg(test)]

#[path = "sql/back.rs"]
mod back;
#[path = "sql/sqlite.rs"]
mod sqlite;
