//! The write-ahead log: segment files, frames, group commit and recovery.
