//! Request bodies decompressed, within a limit.
