//! Settings of sinks from every source, put together, with all their faults at once.

use std::collections::BTreeMap;

use super::{KINDS, Kind, SinkConfig, Sinks};
use crate::config::file::Place;
use crate::config::setting::{Given, Setting};
use crate::config::table::nearest;
use crate::config::tree::{Node, Tree, Wrong, unknown};

/// The section of the file.
pub(crate) const SECTION: &str = "sinks";

/// What the variables of sinks begin with.
pub(crate) const VARIABLES: &str = "WEIR_SINKS_";

/// What no sink may be called: the lake is one, and commands take `all`.
const TAKEN: [&str; 2] = ["lake", "all"];

/// One setting of one sink, as a source gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkEntry {
    /// Where it stands, for messages.
    origin: String,
    sink: String,
    name: String,
    given: Given,
}

impl SinkEntry {
    /// What `--set sinks.NAME.SETTING=TEXT` gives; `None` for other settings.
    pub(crate) fn of_flag(path: &str, text: &str) -> Option<Self> {
        let (sink, name) = path.strip_prefix("sinks.")?.split_once('.')?;
        Some(Self {
            origin: format!("flag {path}"),
            sink: sink.to_owned(),
            name: name.to_owned(),
            given: Given::Text(text.to_owned()),
        })
    }

    /// The same, said to stand at `origin`.
    pub(crate) fn at(self, origin: String) -> Self {
        Self { origin, ..self }
    }
}

/// The settings below `sinks:` in a file, with their places.
pub(crate) fn entries(section: &Tree, wrong: &mut Wrong) -> Vec<(Place, SinkEntry)> {
    let mut entries = Vec::new();
    for (sink, place, body) in section.names(wrong) {
        if matches!(body.node, Node::Empty) {
            wrong.at(
                *place,
                format!("sink `{sink}` has no settings; `kind` is the first"),
            );
        }
        for (name, place, value) in body.names(wrong) {
            if let Some(given) = given(value, wrong) {
                let entry = SinkEntry {
                    origin: String::new(),
                    sink: sink.clone(),
                    name: name.clone(),
                    given,
                };
                entries.push((*place, entry));
            }
        }
    }
    entries
}

fn given(value: &Tree, wrong: &mut Wrong) -> Option<Given> {
    match &value.node {
        Node::Empty => {
            wrong.at(
                value.place,
                "there is no value; give one or take the line out",
            );
            None
        }
        Node::Text(text) => Some(Given::Text(text.clone())),
        Node::List(items) => {
            let items = items
                .iter()
                .filter_map(|item| item.text(wrong).map(str::to_owned));
            Some(Given::List(items.collect()))
        }
        Node::Map(pairs) => {
            let mut map = BTreeMap::new();
            for (name, _, value) in pairs {
                if let Some(text) = value.text(wrong) {
                    map.insert(name.clone(), text.to_owned());
                }
            }
            Some(Given::Map(map))
        }
    }
}

/// The settings of sinks among the variables. A sink is known by `known`, or by a variable
/// `WEIR_SINKS_<NAME>_KIND` of its own.
pub(crate) fn of_variables(
    variables: &[(String, String)],
    known: &[SinkEntry],
    faults: &mut Vec<String>,
) -> Vec<SinkEntry> {
    let ours = variables
        .iter()
        .filter_map(|(name, text)| Some((name, name.strip_prefix(VARIABLES)?, text)));
    let ours: Vec<_> = ours.collect();
    let mut sinks: Vec<String> = known.iter().map(|entry| entry.sink.clone()).collect();
    let declared = ours
        .iter()
        .filter_map(|(_, rest, _)| rest.strip_suffix("_KIND"));
    sinks.extend(declared.map(str::to_lowercase));
    sinks.sort();
    sinks.dedup_by(|a, b| in_variable(a) == in_variable(b));
    // The longest name first: of `a` and `a_b` the latter is meant by `A_B_URL`.
    sinks.sort_by_key(|sink| std::cmp::Reverse(sink.len()));
    let mut entries = Vec::new();
    for (variable, rest, text) in ours {
        let found = sinks.iter().find_map(|sink| {
            let setting = rest.strip_prefix(&in_variable(sink))?.strip_prefix('_')?;
            Some((sink, setting.to_lowercase()))
        });
        let Some((sink, name)) = found else {
            faults.push(format!(
                "environment {variable}: there is no such sink; name it in the file, or set \
                 {VARIABLES}<NAME>_KIND"
            ));
            continue;
        };
        entries.push(SinkEntry {
            origin: format!("environment {variable}"),
            sink: sink.clone(),
            name,
            given: Given::Text(text.clone()),
        });
    }
    entries
}

fn in_variable(sink: &str) -> String {
    sink.replace('-', "_").to_uppercase()
}

/// The sinks that `entries` come to, the later over the earlier; those with faults are left out.
pub(crate) fn assemble(entries: Vec<SinkEntry>, faults: &mut Vec<String>) -> Sinks {
    let mut by_sink: BTreeMap<String, Vec<SinkEntry>> = BTreeMap::new();
    for entry in entries {
        by_sink.entry(entry.sink.clone()).or_default().push(entry);
    }
    let mut sinks = Sinks::new();
    for (name, entries) in by_sink {
        let before = faults.len();
        let built = one(&name, entries, faults);
        if let (Some(sink), true) = (built, faults.len() == before) {
            sinks.insert(name, sink);
        }
    }
    sinks
}

fn one(name: &str, entries: Vec<SinkEntry>, faults: &mut Vec<String>) -> Option<SinkConfig> {
    let first = entries.first().map(|entry| entry.origin.clone());
    let first = first.as_deref().unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || !name.chars().all(plain) || name.len() > 64 || TAKEN.contains(&name) {
        faults.push(format!(
            "{first}: `{name}` cannot name a sink: a letter, then at most 63 of a-z, 0-9, `_` and \
             `-`; `lake` and `all` are taken"
        ));
        return None;
    }
    let kind = kind_of(name, &entries, first, faults)?;
    let mut sink = (kind.start)();
    let mut set = Vec::new();
    for entry in entries.into_iter().filter(|entry| entry.name != "kind") {
        let path = format!("{SECTION}.{name}.{}", entry.name);
        let Some(setting) = find(kind, &entry.name) else {
            let hint = nearest(&entry.name, kind.all_settings().map(|s| s.path));
            let hint = hint.map_or_else(
                || format!("; `weir config docs` lists what a {} sink takes", kind.name),
                |near| format!("; did you mean `{near}`?"),
            );
            faults.push(format!("{}: unknown setting `{path}`{hint}", entry.origin));
            continue;
        };
        match setting.kind.take(entry.given) {
            Ok(value) => (setting.set)(&mut sink, value),
            Err(why) => faults.push(format!("{}: `{path}`: {why}", entry.origin)),
        }
        set.push(setting.path);
    }
    for need in kind.needs.iter().filter(|need| !set.contains(need)) {
        faults.push(format!(
            "{first}: `{SECTION}.{name}` needs `{need}`, as every {} sink does",
            kind.name
        ));
    }
    for (setting, why) in sink.shared.faults(kind) {
        faults.push(format!("{first}: `{SECTION}.{name}.{setting}`: {why}"));
    }
    Some(sink)
}

fn kind_of(
    name: &str,
    entries: &[SinkEntry],
    first: &str,
    faults: &mut Vec<String>,
) -> Option<&'static Kind> {
    let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let Some(entry) = entries.iter().rev().find(|entry| entry.name == "kind") else {
        let kinds = known.join(", ");
        faults.push(format!(
            "{first}: `{SECTION}.{name}` has no `kind`; one of {kinds} is wanted"
        ));
        return None;
    };
    let word = match &entry.given {
        Given::Text(text) => text.trim(),
        Given::List(_) | Given::Map(_) => "",
    };
    let found = KINDS.iter().find(|kind| kind.name == word).copied();
    if found.is_none() {
        let why = unknown(word, &known);
        faults.push(format!("{}: `{SECTION}.{name}.kind`: {why}", entry.origin));
    }
    found
}

fn find(kind: &'static Kind, name: &str) -> Option<&'static Setting<SinkConfig>> {
    kind.all_settings().find(|setting| setting.path == name)
}
