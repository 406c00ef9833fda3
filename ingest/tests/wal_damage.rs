//! Whatever happens to a file of the log: it is noticed, it costs no more than what it hit, and
//! nothing panics or hangs.

#![cfg(test)]

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;
use rows::{entry, numbers};
use weir_ingest::log::{Core, LogConfig, OpenReport};
use weir_ingest::wal::{self, Bug, Disk, Planted};
use weir_model::clock::FixedClock;
use weir_model::{Dataset, SourceError};

const DATASET: Dataset = Dataset::RejectedEvents;
const FRAMES: i64 = 40;

fn config(planted: Planted) -> LogConfig {
    LogConfig {
        segment_bytes: 4096,
        reserve_bytes: 0,
        budget_bytes: 1024 * 1024,
        batch_rows_max: 20,
        planted,
        ..LogConfig::default()
    }
}

fn open(dir: &Path, planted: Planted) -> Result<(Core, OpenReport), String> {
    let clock = Arc::new(FixedClock::at(5));
    let opened = Core::open(Arc::new(Disk::new(dir)), config(planted), clock);
    let (core, report, _) = opened.map_err(|e| format!("the log does not open: {e:?}"))?;
    Ok((core, report))
}

/// The row numbers of frame `i`: 1 to 7 rows.
fn frame_rows(i: i64) -> Vec<i64> {
    (0..=i % 7).map(|row| i * 100 + row).collect()
}

/// A closed log of several segments, by file.
static SOUND: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let (mut core, _) = open(dir.path(), Planted::default()).unwrap();
    for i in 0..FRAMES {
        let part = rows::rows(DATASET, &frame_rows(i));
        let now = Duration::from_millis(u64::try_from(i).unwrap() * 300);
        core.commit(&[entry(vec![(DATASET, part)]).into()], now)
            .pop()
            .unwrap()
            .unwrap();
        if i == FRAMES / 2 {
            core.shared().cursors().advance("lake", DATASET, 2).unwrap();
        }
    }
    core.close(Duration::from_secs(60)).unwrap();
    drop(core);
    let mut files = BTreeMap::new();
    for folder in ["", "wal", "cursors"] {
        for file in std::fs::read_dir(dir.path().join(folder)).unwrap() {
            let file = file.unwrap();
            if file.file_type().unwrap().is_file() {
                let name = Path::new(folder).join(file.file_name());
                files.insert(
                    name.to_str().unwrap().to_owned(),
                    std::fs::read(file.path()).unwrap(),
                );
            }
        }
    }
    files
});

fn lay_out(files: &BTreeMap<String, Vec<u8>>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["wal", "cursors"] {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
    }
    for (name, bytes) in files {
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// All rows that the log gives, each batch in order; lost batches are passed over as told.
fn delivered(core: &Core) -> Result<Vec<i64>, String> {
    let shared = core.shared();
    let mut out = Vec::new();
    let mut after = 0;
    while after < shared.last_sealed(DATASET) {
        match shared.take(DATASET, after, 1, 1) {
            Ok(batches) => {
                let Some(batch) = batches.last() else {
                    return Err("nothing is given".into());
                };
                after = batch.id().number;
                out.extend(numbers(DATASET, batch.rows()));
            }
            Err(SourceError::Lost { number, .. }) => after = number,
            Err(e) => return Err(format!("batches behind {after}: {e:?}")),
        }
    }
    Ok(out)
}

/// Which frames of a sound log lie in each of its files.
fn frames_of(file: &str) -> BTreeSet<i64> {
    let dir = lay_out(&SOUND);
    let all = wal::ShowOptions {
        frames_max: usize::MAX,
        ..wal::ShowOptions::default()
    };
    let frames = wal::show(dir.path(), &all).unwrap();
    // Frame i of ours is the i-th that holds a request.
    let ours = frames.iter().filter(|f| f.requests > 0).enumerate();
    let here = ours.filter(|(_, f)| format!("wal/{}", f.file) == file);
    here.map(|(i, _)| i64::try_from(i).unwrap()).collect()
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Flip(u8),
    Cut,
}

fn harm(bytes: &mut Vec<u8>, harm: Harm, place: usize) {
    match harm {
        Harm::Flip(bit) => bytes[place] ^= 1 << bit,
        Harm::Cut => bytes.truncate(place),
    }
}

/// The law, for one piece of harm to one file.
fn survives(file: &str, kind: Harm, place: usize, planted: Planted) -> Result<(), String> {
    let mut files = SOUND.clone();
    harm(files.get_mut(file).unwrap(), kind, place);
    let dir = lay_out(&files);
    let seen = wal::check(dir.path()).map_err(|e| format!("check fails: {e:?}"))?;
    if seen.is_spotless() {
        return Err("check notices nothing".to_owned());
    }
    let (core, report) = open(dir.path(), planted)?;
    let quiet = report.lost.is_empty()
        && report.torn_bytes == 0
        && report.short.is_empty()
        && report.quarantined.is_empty()
        && !report.node_file_lost
        && report.cursors_lost.is_empty();
    let got = delivered(&core)?;
    let unique: BTreeSet<i64> = got.iter().copied().collect();
    if unique.len() != got.len() {
        return Err("a row is there twice".to_owned());
    }
    let expected: BTreeSet<i64> = (0..FRAMES).flat_map(frame_rows).collect();
    if !unique.is_subset(&expected) {
        return Err("rows out of nowhere".to_owned());
    }
    let hit: BTreeSet<i64> = expected.difference(&unique).map(|row| row / 100).collect();
    if !hit.is_empty() && quiet {
        return Err(format!("frames {hit:?} are lost and nobody says so"));
    }
    if !hit.is_subset(&frames_of(file)) {
        return Err(format!("frames {hit:?} are lost, beyond the file"));
    }
    if matches!(kind, Harm::Flip(_)) && hit.len() > 1 {
        return Err(format!("one bit costs the frames {hit:?}"));
    }
    drop(core);
    wal::repair(dir.path()).map_err(|e| format!("repair fails: {e:?}"))?;
    let repaired = wal::check(dir.path()).map_err(|e| format!("check fails: {e:?}"))?;
    let clean = repaired
        .segments
        .iter()
        .all(|s| s.header && s.damage.is_empty() && !s.short);
    if clean {
        Ok(())
    } else {
        Err(format!("still damaged after repair: {repaired:?}"))
    }
}

/// The files that mean something; the lock and the spare do not.
fn targets() -> Vec<String> {
    let meant = |name: &&String| name.ends_with(".wal") || name.ends_with(".json");
    SOUND.keys().filter(meant).cloned().collect()
}

/// `WEIR_DAMAGE_CASES` sets the number; each case waits for a few syncs of the disk.
fn cases() -> u32 {
    let set = std::env::var("WEIR_DAMAGE_CASES")
        .ok()
        .and_then(|n| n.parse().ok());
    set.unwrap_or(32)
}

fn any_harm() -> impl Strategy<Value = (String, Harm, usize)> {
    let kind = prop_oneof![3 => (0_u8..8).prop_map(Harm::Flip), 1 => Just(Harm::Cut)];
    (
        prop::sample::select(targets()),
        kind,
        any::<prop::sample::Index>(),
    )
        .prop_map(|(file, kind, place)| {
            let place = place.index(SOUND[&file].len());
            (file, kind, place)
        })
}

#[test]
fn a_segment_cut_to_nothing_is_missed_whichever_it_is() {
    for file in targets().iter().filter(|name| name.ends_with(".wal")) {
        assert_eq!(
            survives(file, Harm::Cut, 0, Planted::default()),
            Ok(()),
            "{file}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_flip_or_cut_of_any_file_is_noticed_and_costs_no_more_than_it_hit(
        (file, kind, place) in any_harm()
    ) {
        let survived = survives(&file, kind, place, Planted::default());
        prop_assert_eq!(survived, Ok(()), "{} {:?} at {}", file, kind, place);
    }

    #[test]
    fn garbage_for_a_file_never_panics(
        file in prop::sample::select(targets()),
        garbage in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut files = SOUND.clone();
        files.insert(file, garbage);
        let dir = lay_out(&files);
        prop_assert!(!wal::check(dir.path()).unwrap().is_spotless());
        let (core, _) = open(dir.path(), Planted::default()).unwrap();
        prop_assert!(delivered(&core).is_ok());
    }
}

#[test]
fn a_sound_log_is_spotless_and_complete() {
    let dir = lay_out(&SOUND);
    let report = wal::check(dir.path()).unwrap();
    assert!(report.is_spotless(), "{report:?}");
    assert!(report.segments.len() > 3);
    let expected: Vec<i64> = (0..FRAMES).flat_map(frame_rows).collect();
    assert_eq!(report.rows, expected.len() as u64);
    assert_eq!(report.requests, FRAMES as u64);
    let (core, opened) = open(dir.path(), Planted::default()).unwrap();
    assert_eq!((opened.rows, opened.lost.len()), (report.rows, 0));
    assert_eq!(delivered(&core).unwrap(), expected);
}

#[test]
fn a_log_that_stops_reading_at_damage_would_be_caught() {
    let segment = targets()
        .into_iter()
        .find(|f| frames_of(f).len() > 3)
        .unwrap();
    // The first frame begins behind the header of 128 bytes.
    assert_eq!(
        survives(&segment, Harm::Flip(3), 200, Planted::default()),
        Ok(())
    );
    assert!(
        survives(
            &segment,
            Harm::Flip(3),
            200,
            Planted::new(Bug::StopAtDamage)
        )
        .is_err()
    );
}

#[test]
fn a_missing_segment_is_told_from_a_deleted_one() {
    let mut files = SOUND.clone();
    let segments: Vec<String> = files
        .keys()
        .filter(|n| n.ends_with(".wal"))
        .cloned()
        .collect();
    files.remove(&segments[1]);
    let dir = lay_out(&files);
    let (core, report) = open(dir.path(), Planted::default()).unwrap();
    assert_eq!(report.lost.len(), 1);
    let lost = frames_of(&segments[1]);
    let expected: Vec<i64> = (0..FRAMES)
        .filter(|i| !lost.contains(i))
        .flat_map(frame_rows)
        .collect();
    assert_eq!(delivered(&core).unwrap(), expected);
    let status = core.shared().status();
    let rows = status
        .datasets
        .iter()
        .find(|d| d.dataset == DATASET)
        .unwrap();
    assert!(rows.lost_rows > 0);
}
