//! Node state that is not rows: tenants and keys, in SQLite.
