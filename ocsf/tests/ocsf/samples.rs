//! Published and made events that lie outside of the repository: every valid one holds, every
//! invalid one is found with the codes and paths that its manifest names.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use weir_ocsf::{Level, Report, validate};

/// The folder of samples, where a variable says so.
fn folder() -> Option<PathBuf> {
    let samples = PathBuf::from(std::env::var_os("WEIR_SHARED_SAMPLES")?);
    Some(samples.join("ocsf"))
}

fn pairs(report: &Report, level: Level) -> Vec<(String, String)> {
    let findings = report.findings.iter();
    let mut pairs: Vec<_> = findings
        .filter(|found| found.code.level() == level)
        .map(|found| (found.code.to_string(), found.path.clone()))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn every_sample_has_the_verdict_and_the_codes_of_its_manifest() {
    let Some(folder) = folder() else {
        return;
    };
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    let manifest: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for sample in &manifest {
        let file = sample["file"].as_str().unwrap();
        let event: Value = serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap();
        if !event.is_object() {
            continue;
        }
        checked += 1;
        let report = validate(&event).unwrap();
        let errors = pairs(&report, Level::Error);
        let listed = sample["errors"].as_array().into_iter().flatten();
        let wanted: Vec<(String, String)> = listed
            .map(|pair| {
                (
                    pair[0].as_str().unwrap().to_owned(),
                    pair[1].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        // Some manifests list the first errors only, and count the rest.
        let count = sample["error_count"]
            .as_u64()
            .map_or(wanted.len(), |n| usize::try_from(n).unwrap());
        if !wanted.iter().all(|pair| errors.contains(pair)) || errors.len() != count {
            wrong.push(format!("{file}: {errors:?}\n  not {wanted:?} of {count}"));
        }
        if let Some(listed) = sample["warnings"].as_array() {
            let mut wanted: Vec<&str> = listed.iter().map(|code| code.as_str().unwrap()).collect();
            wanted.sort_unstable();
            wanted.dedup();
            let mut found: Vec<String> = pairs(&report, Level::Warning)
                .into_iter()
                .map(|(code, _)| code)
                .collect();
            found.dedup();
            if found != wanted {
                wrong.push(format!("{file}: {found:?}\n  not {wanted:?}"));
            }
        }
    }
    assert!(checked > 80, "{checked}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
