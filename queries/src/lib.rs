//! SQL over the lake and the recent rows as one table, one tenant at a time.
