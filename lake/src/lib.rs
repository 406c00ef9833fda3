//! The Delta Lake tables: append once, snapshot, count; and the local store that fsyncs.
