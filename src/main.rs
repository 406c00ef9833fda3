//! The `weir` binary: it reads the command line, runs one command, and exits with its code.

mod app;
mod bench;
mod cli;
mod client;
mod config;
mod demo;
#[cfg(test)]
mod document;
mod grpc;
mod http;
mod telemetry;
mod tls;
mod usd;

use std::process::ExitCode;

/// Requests come and go by the hundred kilobytes: the system's allocator spends a tenth of the accept
/// path on them and keeps twice the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages keep whole 2 MiB where a few KiB are in use: 15 MiB more at rest, a tenth more under
    // load, and no time saved. A kernel without them has nothing to turn off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    cli::run(std::env::args_os())
}
