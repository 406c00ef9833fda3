//! Ten thousand changed events, held against the slow reference that lies outside of the
//! repository: same codes, same paths.

#![cfg(test)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use weir_ocsf::{Checks, FINDINGS_MAX, validate_with};

#[expect(dead_code, reason = "shared with the quick tests")]
#[path = "ocsf/events.rs"]
mod made;

#[path = "../../tests/support/heavy.rs"]
mod support;

/// The tables that the reference reads, by the version that events name.
const FACTS: &[(&str, &str)] = &[
    ("1.1.0", "ocsf-1.1.0.facts.json.gz"),
    ("1.5.0", "ocsf-1.5.0.facts.json.gz"),
    ("1.7.0", "ocsf-1.7.0.facts.json.gz"),
    ("1.8.0", "ocsf-1.8.0.facts.json.gz"),
    ("1.9.0", "ocsf-1.9.0-dev.facts.json.gz"),
];

/// Runs the reference over a file of events and prints the findings of each; what our tables
/// mend (a lost attribute, the name of a version) is mended there too.
const SCRIPT: &str = r"
import json, sys
root, events = sys.argv[1], sys.argv[2]
sys.path.insert(0, root + '/reference')
import ocsf_ref_validate as ref
tables = {}
for pair in sys.argv[3:]:
    label, name = pair.split('=')
    schema = ref.load_schema(root + '/data/' + name)
    schema['version'] = label
    for name in ['advisory', 'cve', 'osint', 'remediation', 'vulnerability']:
        if name in schema['objects']:
            schema['objects'][name]['attributes']['references'] = {'type': 'string_t', 'is_array': True}
    tables[label] = schema
for number, line in enumerate(open(events)):
    event = json.loads(line)
    meta = event.get('metadata')
    version = meta.get('version') if isinstance(meta, dict) else None
    schema = tables.get(version) if isinstance(version, str) else None
    found = ref.validate(schema or tables['1.8.0'], event, number % 4 == 0)
    print(json.dumps(sorted([x['error'], x['attribute_path']] for x in found['errors'])
        + sorted([x['warning'], x['attribute_path']] for x in found['warnings'])))
";

/// The folder that holds samples, reference and tables, where a variable says so.
fn outside() -> Option<PathBuf> {
    let samples = PathBuf::from(std::env::var_os("WEIR_SHARED_SAMPLES")?);
    let folder = samples.parent()?.to_owned();
    folder
        .join("reference/ocsf_ref_validate.py")
        .is_file()
        .then_some(folder)
}

/// Events whose version has a table of its own or that nobody knows: the reference knows of no
/// release between two.
fn events(outside: &Path, count: usize) -> Vec<Value> {
    let mut bases: Vec<Value> = Vec::new();
    for folder in ["valid", "invalid"] {
        for entry in fs::read_dir(outside.join("samples/ocsf").join(folder)).unwrap() {
            let event: Value =
                serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            bases.extend(event.is_object().then_some(event));
        }
    }
    bases.sort_by_key(Value::to_string);
    let document = made::document();
    for case in document["cases"].as_array().unwrap() {
        bases.push(made::event_of(&document["bases"], case));
    }
    bases.retain(Value::is_object);
    let versions = [
        "1.1.0", "1.5.0", "1.7.0", "1.8.0", "1.9.0", "9.0.0", "0.1.0", "x",
    ];
    for (index, base) in bases.iter_mut().enumerate() {
        if base["metadata"].is_object() {
            base["metadata"]["version"] = versions[index % versions.len()].into();
        }
    }
    let changed = made::changed(bases);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[6; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let known = |event: &Value| {
        let version = event["metadata"]["version"].as_str();
        version.is_none_or(|version| versions.contains(&version))
    };
    let mut events = Vec::new();
    while events.len() < count {
        let event = changed.new_tree(&mut runner).unwrap().current();
        // Written and read again, so that both readers see the same numbers.
        let event: Value = serde_json::from_str(&event.to_string()).unwrap();
        if known(&event) && !holds_a_longer_number(&event) {
            events.push(event);
        }
    }
    events
}

/// Whether it holds a number that only a reader without bounds tells from a double: ours takes it
/// for a long, the reference by how it is written.
fn holds_a_longer_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            let is_double = !number.is_i64() && !number.is_u64();
            let size = number.as_f64().unwrap().abs();
            is_double && (9.2e18..1.8e38).contains(&size)
        }
        Value::Array(items) => items.iter().any(holds_a_longer_number),
        Value::Object(members) => members.values().any(holds_a_longer_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Ours; none where there are more than are kept. Every fourth event is asked for more.
fn ours(number: usize, event: &Value) -> Option<Vec<[String; 2]>> {
    let recommended = number.is_multiple_of(4);
    let report = validate_with(event, Checks { recommended }).unwrap();
    let findings = report.findings.iter();
    let all = findings.map(|found| [found.code.to_string(), found.path.clone()]);
    (report.findings.len() < FINDINGS_MAX).then(|| all.collect())
}

/// Names of the sender are shown to people without what draws on a terminal, and cut.
fn shown([code, path]: [String; 2]) -> [String; 2] {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    [code, path.chars().map(plain).take(60).collect()]
}

#[test]
fn ten_thousand_changed_events_are_found_as_the_reference_finds_them() {
    if support::skip_unless_heavy() {
        return;
    }
    let Some(outside) = outside() else {
        return;
    };
    let events = events(&outside, 12_000);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("differential.ndjson");
    let mut text = String::new();
    for event in &events {
        writeln!(text, "{event}").unwrap();
    }
    fs::write(&file, text).unwrap();
    let tables = FACTS.iter().map(|(label, name)| format!("{label}={name}"));
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(&outside)
        .arg(&file)
        .args(tables)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let theirs = String::from_utf8(output.stdout).unwrap();
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(theirs.len(), events.len());
    let (mut wrong, mut found, mut compared) = (Vec::new(), 0, 0);
    for (number, (event, line)) in events.iter().zip(theirs).enumerate() {
        let Some(ours) = ours(number, event) else {
            continue;
        };
        let theirs: Vec<[String; 2]> = serde_json::from_str(line).unwrap();
        let mut theirs: Vec<_> = theirs.into_iter().map(shown).collect();
        let mut ours: Vec<_> = ours.into_iter().map(shown).collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        (found, compared) = (found + ours.len(), compared + 1);
        if ours != theirs {
            let only = |a: &[[String; 2]], b: &[[String; 2]]| {
                json!(a.iter().filter(|x| !b.contains(x)).collect::<Vec<_>>())
            };
            wrong.push(format!(
                "{}\n  ours {} theirs {}",
                event,
                only(&ours, &theirs),
                only(&theirs, &ours)
            ));
        }
    }
    assert!(compared > 10_000, "{compared}");
    assert!(
        found > events.len(),
        "the changes hardly break anything: {found}"
    );
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        events.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
}
