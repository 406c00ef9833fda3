use std::str::FromStr;

use arrow_select::concat::concat_batches;
use weir_model::clock::FixedClock;

use super::*;
use crate::contract::sample_batch;

const SPANS: Dataset = Dataset::Spans;

fn open(folder: &Path) -> DeadLetters {
    DeadLetters::open(folder, Arc::new(FixedClock::at(77))).unwrap()
}

fn part(number: i64, rows: std::ops::Range<i32>) -> Part {
    let node = NodeId::from_bits(1);
    Part::piece(sample_batch(SPANS, &node, number), rows).unwrap()
}

#[test]
fn rows_that_are_set_aside_are_there_after_a_restart_with_their_reason() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data/dead");
    let rows = part(3, 4..6);
    let letter = open(&folder)
        .put("clickhouse", &rows, "no such type")
        .unwrap();
    assert_eq!((letter.rows, letter.at_us), (2, 77));
    assert_eq!(
        letter.id.to_string(),
        "clickhouse/0000000000000001-spans-3-4-6"
    );

    let reopened = open(&folder);
    assert_eq!(reopened.list().unwrap(), std::slice::from_ref(&letter));
    let id = LetterId::from_str(&letter.id.to_string()).unwrap();
    let (shown, batches) = reopened.show(&id).unwrap();
    assert_eq!(shown.reason, "no such type");
    let found = concat_batches(&SPANS.schema(), &batches).unwrap();
    assert_eq!(found, rows.rows());
    assert!(reopened.holds("clickhouse", &rows).unwrap());
    assert!(!reopened.holds("clickhouse", &part(3, 4..5)).unwrap());
    let again = reopened.put("clickhouse", &rows, "other words").unwrap();
    assert_eq!(again, letter, "a second time changes nothing");
}

#[test]
fn dropping_a_letter_deletes_the_rows_and_keeps_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let dead = open(dir.path());
    let letter = dead.put("lake", &part(1, 0..5), "bad").unwrap();
    dead.put("lake", &part(2, 9..10), "bad").unwrap();
    let dropped = dead.drop_rows(&letter.id).unwrap();
    assert_eq!(dropped.dropped_us, Some(77));
    assert!(matches!(
        dead.show(&letter.id),
        Err(DeadError::Missing { .. })
    ));
    assert_eq!(dead.drop_rows(&letter.id).unwrap(), dropped);
    let node = NodeId::from_bits(1);
    assert_eq!(dead.count("lake", SPANS, &node).unwrap(), 6);
    assert_eq!(dead.count("other", SPANS, &node).unwrap(), 0);
    assert_eq!(dead.count("lake", Dataset::ProxyAudit, &node).unwrap(), 0);
}

#[test]
fn rows_without_their_note_are_no_letter() {
    let dir = tempfile::tempdir().unwrap();
    let dead = open(dir.path());
    let letter = dead.put("lake", &part(1, 0..1), "bad").unwrap();
    let note = dir.path().join("lake").join(letter.id.note_file());
    std::fs::remove_file(&note).unwrap();
    assert_eq!(dead.list().unwrap(), []);
    dead.put("lake", &part(1, 0..1), "bad").unwrap();
    std::fs::write(&note, "{").unwrap();
    assert!(matches!(dead.list(), Err(DeadError::Damaged { .. })));
}

#[test]
fn how_a_batch_is_cut_is_remembered_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let dead = open(dir.path());
    let batch = part(1, 0..1).batch().clone();
    let splits = dead.splits("lake", &batch).unwrap();
    assert_eq!(splits.load().unwrap(), None);
    splits.save(&[0, 30, 45]).unwrap();
    let again = open(dir.path()).splits("lake", &batch).unwrap();
    assert_eq!(again.load().unwrap(), Some(vec![0, 30, 45]));
    splits.save(&[1, 30]).unwrap();
    assert!(matches!(splits.load(), Err(DeadError::Damaged { .. })));
    splits.clear().unwrap();
    assert_eq!(splits.load().unwrap(), None);
}

#[test]
fn lost_batches_are_remembered_apart_from_letters() {
    let dir = tempfile::tempdir().unwrap();
    let dead = open(dir.path());
    let node = NodeId::from_bits(1);
    for number in [12, 9] {
        dead.put_lost("lake", SPANS, &node, number).unwrap();
    }
    assert_eq!(dead.lost("lake", SPANS, &node).unwrap(), [9, 12]);
    assert_eq!(
        dead.lost("lake", Dataset::ProxyAudit, &node).unwrap().len(),
        0
    );
    assert_eq!(dead.list().unwrap(), []);
}

#[test]
fn a_sink_that_cannot_name_a_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dead = open(dir.path());
    for odd in ["", "..", "a/b", "A", "a b"] {
        let refused = dead.put(odd, &part(1, 0..1), "bad");
        assert!(matches!(refused, Err(DeadError::Name { .. })), "{odd:?}");
    }
    for odd in ["lake", "lake/x", "lake/0000000000000001-spans-1-0", "/"] {
        assert!(LetterId::from_str(odd).is_err(), "{odd:?}");
    }
}
