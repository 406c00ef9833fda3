//! How many events one core holds against the schema in a second:
//!
//! ```text
//! cargo run --profile release -p weir-ocsf --example speed -- FILE...
//! ```
//!
//! Each file is one event; without files, the events of `testdata/ocsf/cases.json` are taken.

#![expect(
    clippy::print_stdout,
    reason = "a program that talks to the person who started it"
)]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_ocsf::{coerce, validate};

/// How long each figure is measured.
const SPAN: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn Error>> {
    let mut texts = Vec::new();
    for file in std::env::args().skip(1) {
        texts.push(std::fs::read_to_string(file)?);
    }
    if texts.is_empty() {
        let cases = include_str!("../../testdata/ocsf/cases.json");
        let cases: Value = serde_json::from_str(cases)?;
        let bases = cases.get("bases").and_then(Value::as_object);
        texts.extend(
            bases
                .into_iter()
                .flat_map(|bases| bases.values().map(Value::to_string)),
        );
    }
    let mut events = Vec::new();
    for text in &texts {
        events.push(serde_json::from_str::<Value>(text)?);
        black_box(validate(&serde_json::from_str(text)?)?);
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    println!(
        "{} events of {} bytes on average",
        events.len(),
        bytes / texts.len().max(1)
    );
    measure("validate", events.len(), || {
        for event in &events {
            black_box(validate(event)?);
        }
        Ok(())
    })?;
    measure("parse", events.len(), || {
        for text in &texts {
            black_box(serde_json::from_str::<Value>(text)?);
        }
        Ok(())
    })?;
    measure("parse, validate, coerce", events.len(), || {
        for text in &texts {
            let mut event: Value = serde_json::from_str(text)?;
            let report = validate(&event)?;
            if !report.codes.is_empty() {
                black_box(coerce(&mut event)?);
            }
        }
        Ok(())
    })
}

fn measure(
    name: &str,
    events: usize,
    mut round: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut rounds = 0_usize;
    while start.elapsed() < SPAN {
        round()?;
        rounds += 1;
    }
    let micros = start.elapsed().as_micros().max(1);
    let done = u128::try_from(rounds * events)?;
    let rate = done * 1_000_000 / micros;
    println!(
        "{name}: {rate} events/s, {} ns each",
        micros * 1000 / done.max(1)
    );
    Ok(())
}
