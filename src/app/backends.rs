//! Which backends this build was proven on: the note that the contract suite leaves in the
//! repository, held against what is implemented.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};
use weir_sinks::contract::CAPABILITIES;

use crate::config::sinks::KINDS;

/// The note, as `weir_sinks::contract::record` writes it.
const NOTED: &str = include_str!("../../docs/backends.json");

/// Backends that are no kind of sink.
const OWN: [&str; 5] = [
    "memory",
    "lake (memory)",
    "lake (local disk)",
    "lake (S3)",
    "lake (Azure)",
];

/// What a sink without a memory of its own can do.
const FORWARDS: &[&str] = &["at_least_once"];

#[derive(Debug, Deserialize)]
struct Noted {
    engine: String,
    version: String,
    proven: BTreeSet<String>,
}

/// How a capability of a backend stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The suite has seen it, on this engine.
    Proven(String),
    /// It is built, and no run of the suite had an engine at hand.
    NotRun,
    /// It is not there.
    Absent,
}

/// A backend, and how each capability stands, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Its name.
    pub(crate) name: String,
    /// One for each of the capabilities.
    pub(crate) standing: Vec<(&'static str, Standing)>,
}

/// What a sink of that name was built to do.
fn claimed(name: &str, capability: &str) -> bool {
    let forwards = matches!(name, "otlp" | "splunk_hec" | "webhook");
    FORWARDS.contains(&capability) == forwards
}

/// All backends.
pub(crate) fn all() -> Vec<Backend> {
    // A test holds that the note reads.
    let noted: BTreeMap<String, Noted> = serde_json::from_str(NOTED).unwrap_or_default();
    let names = OWN.into_iter().chain(KINDS.iter().map(|kind| kind.name));
    let backend = |name: &str| {
        let note = noted.get(name);
        let standing = CAPABILITIES.iter().map(|(capability, _)| {
            let proven = note.filter(|note| note.proven.contains(*capability));
            let standing = match proven {
                Some(note) => Standing::Proven(engine(note)),
                None if claimed(name, capability) => Standing::NotRun,
                None => Standing::Absent,
            };
            (*capability, standing)
        });
        Backend {
            name: name.to_owned(),
            standing: standing.collect(),
        }
    };
    names.map(backend).collect()
}

fn engine(note: &Noted) -> String {
    format!("{} {}", note.engine, note.version)
        .trim_end()
        .to_owned()
}

impl Standing {
    /// The word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Proven(_) => "proven",
            Self::NotRun => "not run",
            Self::Absent => "absent",
        }
    }
}

/// The matrix for programs.
pub(crate) fn json() -> Value {
    let capabilities = CAPABILITIES.iter();
    let capabilities = capabilities.map(|(name, what)| json!({ "name": name, "what": what }));
    let backends = all().into_iter().map(|backend| {
        let standing = backend.standing.iter().map(|(capability, standing)| {
            let engine = match standing {
                Standing::Proven(engine) => Some(engine.as_str()),
                Standing::NotRun | Standing::Absent => None,
            };
            let shown = json!({ "state": standing.word(), "engine": engine });
            ((*capability).to_owned(), shown)
        });
        let standing: serde_json::Map<String, Value> = standing.collect();
        json!({ "backend": backend.name, "capabilities": standing })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": capabilities.collect::<Vec<_>>(),
        "backends": backends.collect::<Vec<_>>(),
    })
}

/// The page `docs/backends.md`.
#[cfg(test)]
fn page() -> String {
    let mut out = String::from(
        "# Backends\n\n\
         <!-- Made from docs/backends.json, which the contract suite writes; a test compares it. -->\n\n\
         What each backend was proven to do, by the contract suite (`sinks/src/contract.rs`) and the \
         tests of\noutbound sinks, on the engine that is named. `not run` is built, and no engine was \
         at hand; `absent` is\nnot there. `weir backends` and `GET /v1/backends` say the same.\n\n",
    );
    let names: Vec<&str> = CAPABILITIES.iter().map(|(name, _)| *name).collect();
    out.push_str(&format!("| backend | {} | engine |\n", names.join(" | ")));
    out.push_str(&format!("|---|{}---|\n", "---|".repeat(names.len())));
    for backend in all() {
        let words: Vec<&str> = backend.standing.iter().map(|(_, s)| s.word()).collect();
        let engine = backend.standing.iter().find_map(|(_, s)| match s {
            Standing::Proven(engine) => Some(engine.as_str()),
            Standing::NotRun | Standing::Absent => None,
        });
        let engine = engine.unwrap_or("-");
        out.push_str(&format!(
            "| {} | {} | {engine} |\n",
            backend.name,
            words.join(" | ")
        ));
    }
    out.push('\n');
    for (name, what) in CAPABILITIES {
        out.push_str(&format!("- `{name}`: {what}.\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_made_from_the_note() {
        crate::document::compare("docs/backends.md", &page());
    }

    #[test]
    fn the_note_names_what_is_there() {
        let noted: BTreeMap<String, Noted> = serde_json::from_str(NOTED).unwrap();
        let known: Vec<String> = all().into_iter().map(|b| b.name).collect();
        for (name, note) in &noted {
            assert!(known.contains(name), "{name} is no backend");
            assert!(!note.proven.is_empty() && !note.engine.is_empty(), "{name}");
        }
        let memory = all().into_iter().find(|b| b.name == "memory").unwrap();
        let once = memory
            .standing
            .iter()
            .find(|(name, _)| *name == "exactly_once");
        assert!(matches!(once, Some((_, Standing::Proven(_)))), "{memory:?}");
    }
}
