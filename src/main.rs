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

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

/// Requests come and go by the hundred kilobytes: the system's allocator spends a tenth of the accept
/// path on them and keeps twice the memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages keep whole 2 MiB where a few KiB are in use: 15 MiB more at rest, a tenth more under
    // load, and no time saved. A kernel without them has nothing to turn off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    keep_pages();
    cli::run(std::env::args_os())
}

/// The variable from which the allocator reads how long it keeps freed pages, in milliseconds.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// Makes a server keep freed pages for a tenth of a second instead of a hundredth: giving them back
/// between two requests took a third of its time at 100,000 spans/s (ADR 054). The allocator reads
/// its environment before `main`, so the program starts itself anew, as the same process; whoever
/// has set the variable is left alone.
fn keep_pages() {
    let serves = std::env::args_os().nth(1).is_some_and(|arg| arg == "serve");
    if !serves || std::env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    if let Ok(program) = std::env::current_exe() {
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1));
        // It returns only where it failed, and then all is as it was.
        let _ = again.env(PURGE_DELAY, "100").exec();
    }
}
