//! What was proven of a backend, kept in the repository: `docs/backends.json`.
//!
//! A test that has held a backend to the suite says so with [`record`]. With `WEIR_WRITE_DOCS=1` the
//! file is written, otherwise it is held to what was just proven. The binary carries the file, so
//! `weir backends` can only say what a test has seen.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::Engine;

/// What can be proven of a backend, each with what it means.
pub const CAPABILITIES: &[(&str, &str)] = &[
    (
        "every_column",
        "Every value of every column of every dataset reads back as it was",
    ),
    (
        "exactly_once",
        "A replay stores nothing: regrouped, of older batches, after a restart",
    ),
    (
        "pieces",
        "A batch that comes in pieces ends up whole but for rows that were left out",
    ),
    (
        "gaps",
        "A batch of which not every row goes there keeps the names of the others",
    ),
    (
        "several_writers",
        "Writers of several nodes, and two of one name, neither lose nor double rows",
    ),
    ("counted", "The rows that it holds can be counted there"),
    ("last_batch", "It tells the last batch that it holds"),
    (
        "at_least_once",
        "What may not have come is sent again, under the same name where it can be told",
    ),
];

/// What a run of the suite has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// What stands behind the destination.
    pub engine: Engine,
    /// Names of [`CAPABILITIES`].
    pub capabilities: BTreeSet<String>,
}

/// As it is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    engine: String,
    version: String,
    proven: BTreeSet<String>,
}

static WRITING: Mutex<()> = Mutex::new(());

/// Notes what was proven of `backend`, or holds the note to it.
///
/// # Panics
///
/// Where the note says otherwise, or cannot be read or written. The version of an engine may be
/// another than was noted: it is the one that the note was made with.
pub fn record(backend: &str, proven: &Proven) {
    let _writing = WRITING.lock();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/backends.json");
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| "{}".to_owned());
    let mut all: BTreeMap<String, Entry> = match serde_json::from_str(&text) {
        Ok(all) => all,
        Err(error) => panic!("{path}: {error}"),
    };
    for name in &proven.capabilities {
        let known = CAPABILITIES.iter().any(|(known, _)| known == name);
        assert!(known, "`{name}` is not a capability");
    }
    let entry = Entry {
        engine: proven.engine.name.clone(),
        version: proven.engine.version.clone(),
        proven: proven.capabilities.clone(),
    };
    if std::env::var("WEIR_WRITE_DOCS").is_ok_and(|value| value == "1") {
        all.insert(backend.to_owned(), entry.clone());
        let text = serde_json::to_string_pretty(&all).map(|text| text + "\n");
        let written = text.map(|text| std::fs::write(path, text));
        assert!(matches!(written, Ok(Ok(()))), "{path} cannot be written");
    }
    let noted = all.get(backend).map(|noted| (&noted.engine, &noted.proven));
    assert_eq!(
        noted,
        Some((&entry.engine, &entry.proven)),
        "docs/backends.json says otherwise of {backend}: run these tests with WEIR_WRITE_DOCS=1"
    );
}
