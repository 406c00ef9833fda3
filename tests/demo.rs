//! The README's first command, as a stranger runs it.

#![cfg(test)]

mod support;

use support::server::run_cli;

#[test]
fn the_demo_accepts_stores_and_verifies_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("demo");
    let output = run_cli(&["demo", "--exit", "--data-dir", data_dir.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout);
    let faults = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}\n{faults}");
    for word in ["accepted", "stored", "verified", "skill", "curl", "SELECT"] {
        assert!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "no {word:?} in {said}"
        );
    }
}
