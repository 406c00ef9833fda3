//! Makes `ocsf/data/schema.zst` from compiled schemas:
//!
//! ```text
//! cargo run -p weir-ocsf --example compile_schema -- OUT VERSION=FILE...
//! ```
//!
//! `VERSION` is the version of OCSF that events name, in rising order; `FILE` is what
//! `ocsf-schema-compiler` wrote for it, plain or gzip. Equal inputs give equal bytes.

#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person who started it"
)]

use std::error::Error;
use std::fs;
use std::io::Read as _;

use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let out = args.next().ok_or("OUT VERSION=FILE...")?;
    let mut versions = Vec::new();
    for arg in args {
        let (version, file) = arg.split_once('=').ok_or("not of the form VERSION=FILE")?;
        versions.push((version.to_owned(), read(file)?));
    }
    let text = weir_ocsf::compile::compile(&versions)?;
    let packed = zstd::bulk::compress(text.as_bytes(), 22)?;
    fs::write(&out, &packed)?;
    println!(
        "{out}: {} bytes of text, {} packed",
        text.len(),
        packed.len()
    );
    Ok(())
}

fn read(file: &str) -> Result<Value, Box<dyn Error>> {
    let bytes = fs::read(file)?;
    let mut plain = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain)?;
    } else {
        plain = bytes;
    }
    Ok(serde_json::from_slice(&plain)?)
}
