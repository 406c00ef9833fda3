//! Bodies in, durable batches out: decoding, admission, the write-ahead log and the batcher.

pub mod admission;
pub mod compression;
pub mod decode;
mod layouts;
pub mod log;
pub mod quota;
pub mod wal;

pub use layouts::layouts;
