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
use std::time::Instant;

use serde_json::Value;
use weir_ocsf::{coerce, validate};

/// How long each figure is measured.
const SPAN_NANOS: u128 = 2_000_000_000;

/// How many rounds there are between two looks at the clock.
const BETWEEN: usize = 100;

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
    let now = || on_core_nanos().unwrap_or_else(|| start.elapsed().as_nanos());
    let (from, mut rounds) = (now(), 0_usize);
    while now() - from < SPAN_NANOS {
        // Asking for the time is not for free.
        for _ in 0..BETWEEN {
            round()?;
        }
        rounds += BETWEEN;
    }
    let nanos = (now() - from).max(1);
    let done = u128::try_from(rounds * events)?;
    let rate = done * 1_000_000_000 / nanos;
    println!("{name}: {rate} events/s, {} ns each", nanos / done.max(1));
    Ok(())
}

/// What this thread has spent on a core, where the system says so: other programs do not count.
fn on_core_nanos() -> Option<u128> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}
