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

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os())
}
