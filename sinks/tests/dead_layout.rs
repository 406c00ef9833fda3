//! Dead letters that released versions wrote are read for ever, and newer ones are refused.
//!
//! `testdata/dead/v1` has one letter of three rows of the sink `lake`. `WEIR_WRITE_FIXTURE=<folder>`
//! writes one of the present layout there.

#![cfg(test)]

#[path = "../../tests/support/folder.rs"]
mod folder;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use folder::copy;
use weir_model::clock::FixedClock;
use weir_model::{Dataset, NodeId};
use weir_sinks::{DeadError, DeadLetters, Part, contract, dead_layouts};

fn open(folder: &Path) -> DeadLetters {
    DeadLetters::open(folder, Arc::new(FixedClock::at(1_795_000_000_000_000))).unwrap()
}

fn write(folder: &Path) {
    let batch = contract::sample_batch(Dataset::RejectedEvents, &NodeId::from_bits(7), 4);
    let part = Part::piece(batch, 0..3).unwrap();
    open(folder)
        .put("lake", &part, "the column is too narrow")
        .unwrap();
}

fn assert_reads(folder: &Path) {
    let layouts = dead_layouts(folder).unwrap();
    assert_eq!((layouts.len(), layouts[0].found), (1, Some(1)));
    let dead = open(folder);
    let letters = dead.list().unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        (letters[0].rows, letters[0].reason.as_str()),
        (3, "the column is too narrow")
    );
    let (_, rows) = dead.show(&letters[0].id).unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
}

#[test]
fn a_letter_of_the_first_layout_is_read() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/dead/v1");
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture, dir.path());
    assert_reads(dir.path());
}

#[test]
fn what_is_written_today_reads_alike() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    assert_reads(dir.path());
    if let Some(target) = std::env::var_os("WEIR_WRITE_FIXTURE") {
        copy(dir.path(), Path::new(&target));
    }
}

#[test]
fn a_letter_of_a_newer_layout_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let folder = dir.path().join("lake");
    let note = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "json"))
        .unwrap();
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replace("\"layout\": 1", "\"layout\": 2")).unwrap();
    let refused = open(dir.path()).list().unwrap_err();
    assert!(
        matches!(refused, DeadError::Newer { found: 2, .. }),
        "{refused}"
    );
    assert!(
        refused.to_string().contains("start the newer weir again"),
        "{refused}"
    );
    let layouts = dead_layouts(dir.path()).unwrap();
    assert_eq!(layouts[0].found, Some(2));
    // A note from before there was a number is of the first layout.
    fs::write(&note, text.replace("\"layout\": 1", "\"at_all\": 1")).unwrap();
    assert_eq!(open(dir.path()).list().unwrap().len(), 1);
}
