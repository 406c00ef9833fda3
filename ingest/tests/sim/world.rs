//! A log on a lying disk, with senders who remember what they were promised and a sink that
//! remembers what it was shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use weir_ingest::log::{AppendError, Core, Joined, LogConfig, OpenReport, Shared, Submission};
use weir_ingest::wal::Planted;
use weir_model::clock::FixedClock;
use weir_model::{Dataset, SourceError};

use super::dice::Dice;
use super::disk::{Faults, SimDisk};
use crate::rows::{entry, numbers, rows};

const SINK: &str = "lake";
const DATASETS: [Dataset; 2] = [Dataset::RejectedEvents, Dataset::OcsfEvents];
const SEGMENT_BYTES: u64 = 4096;
const CAPACITY: usize = 512 * 1024;

/// What was promised about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// It is durable: it must be found once.
    Kept,
    /// Nobody knows: it may be found once.
    Open,
    /// It was refused for certain: it must never be found.
    Refused,
}

/// What outlives the program: senders and sinks are other machines.
#[derive(Debug, Default)]
struct Outside {
    promises: BTreeMap<i64, Promise>,
    /// Batches that the sink was shown, by number, as they were.
    shown: BTreeMap<(Dataset, i64), (String, RecordBatch)>,
    /// Cursors whose move was confirmed.
    cursors: BTreeMap<Dataset, i64>,
}

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    dice: Dice,
    planted: Planted,
    outside: Outside,
    next_number: i64,
    now: Duration,
}

fn config(planted: Planted) -> LogConfig {
    LogConfig {
        segment_bytes: SEGMENT_BYTES,
        reserve_bytes: 4096,
        budget_bytes: 1024 * 1024,
        frame_bytes_max: 64 * 1024,
        batch_rows_max: 24,
        batch_age: Duration::from_millis(50),
        retain: Duration::ZERO,
        retry_after: Duration::from_millis(5),
        recent_bytes_max: 64 * 1024,
        planted,
        ..LogConfig::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64, planted: Planted) -> Self {
        Self {
            disk: SimDisk::new(seed, CAPACITY),
            dice: Dice::new(seed.wrapping_mul(31)),
            planted,
            outside: Outside::default(),
            next_number: 0,
            now: Duration::ZERO,
        }
    }

    /// One life of the program: start, work, stop at some moment. The error says what was lost,
    /// doubled or changed.
    pub(crate) fn live_and_crash(&mut self) -> Result<(), String> {
        self.disk.set_faults(Faults::default());
        self.disk.set_capacity(CAPACITY);
        if self.dice.one_in(4) {
            // The start itself is cut short.
            let fuse = self.dice.below(16);
            self.disk.set_fuse(Some(fuse));
            let opened = self.open();
            if !self.disk.is_stopped() {
                opened?;
            }
            let power_cut = self.dice.one_in(2);
            self.disk.restart(power_cut);
        }
        let (mut core, report) = self.open()?;
        self.check(&core, &report)?;
        if self.dice.one_in(8) {
            core = self.drain(core)?;
        }
        let fuse = self.dice.below(90) + 1;
        let quiet = self.dice.one_in(2);
        if !quiet {
            let write_error = self.dice.below(3) * 12;
            let sync_error = self.dice.below(3) * 25;
            self.disk.set_faults(Faults {
                write_error,
                sync_error,
            });
        }
        self.disk.set_fuse(Some(fuse));
        for _ in 0..200 {
            if self.disk.is_stopped() || core.shared().status().broken {
                break;
            }
            self.act(&mut core)?;
        }
        drop(core);
        let power_cut = self.dice.below(3) < 2;
        self.disk.restart(power_cut);
        Ok(())
    }

    /// A calm hour: everything is sealed, delivered, settled and deleted, and the program is
    /// stopped and started in between. Nothing of the past is left but the small files.
    fn drain(&mut self, mut core: Core) -> Result<Core, String> {
        drop(core.seal(self.now, true));
        let shared = core.shared();
        for _ in 0..1_000 {
            self.deliver(&shared)?;
            self.settle(&shared);
            let at = |dataset| shared.cursors().get(SINK, dataset);
            if DATASETS.into_iter().all(|d| at(d) >= shared.last_sealed(d)) {
                break;
            }
        }
        drop(core.close(self.now));
        drop(core);
        let (mut core, _) = self.open()?;
        core.truncate();
        drop(core);
        Ok(self.open()?.0)
    }

    fn open(&mut self) -> Result<(Core, OpenReport), String> {
        let clock = Arc::new(FixedClock::at(1_000_000));
        let opened = Core::open(Arc::new(self.disk.clone()), config(self.planted), clock);
        let (core, report, _) = opened.map_err(|e| format!("the log does not open: {e:?}"))?;
        Ok((core, report))
    }

    fn act(&mut self, core: &mut Core) -> Result<(), String> {
        self.now += Duration::from_millis(self.dice.below(20));
        match self.dice.below(12) {
            0..=5 => self.commit(core),
            6 => drop(core.seal(self.now, self.dice.one_in(2))),
            7 => core.prepare(),
            8 => self.deliver(&core.shared())?,
            9 => self.settle(&core.shared()),
            10 => {
                core.truncate();
            }
            _ => {
                let full = self.dice.one_in(3);
                self.disk
                    .set_capacity(if full { 24 * 1024 } else { CAPACITY });
            }
        }
        Ok(())
    }

    /// Requests whose rows are in one batch.
    fn joined(&mut self) -> (Submission, Vec<i64>) {
        let dataset = DATASETS[usize::from(self.dice.one_in(2))];
        let counts: Vec<u32> = (0..=self.dice.below(3))
            .map(|_| u32::try_from(self.dice.below(3)).unwrap() + 1)
            .collect();
        let to = self.next_number + counts.iter().map(|n| i64::from(*n)).sum::<i64>();
        let mine: Vec<i64> = (self.next_number..to).collect();
        self.next_number = to;
        let joined = Joined {
            dataset,
            rows: rows(dataset, &mine),
            counts: counts.clone(),
        };
        let submission = Submission {
            entries: counts.iter().map(|_| entry(Vec::new())).collect(),
            joined: Some(joined),
        };
        (submission, mine)
    }

    fn commit(&mut self, core: &mut Core) {
        let mut entries = Vec::new();
        let mut held = Vec::new();
        if self.dice.one_in(4) {
            let (submission, mine) = self.joined();
            entries.push(submission);
            held.push(mine);
        }
        for _ in 0..=self.dice.below(3) {
            let mut parts = Vec::new();
            let mut mine = Vec::new();
            for dataset in DATASETS {
                if self.dice.one_in(2) || (parts.is_empty() && dataset == DATASETS[1]) {
                    let count = i64::try_from(self.dice.below(4)).unwrap() + 1;
                    let these: Vec<i64> = (self.next_number..self.next_number + count).collect();
                    self.next_number += count;
                    parts.push((dataset, rows(dataset, &these)));
                    mine.extend(these);
                }
            }
            entries.push(entry(parts).into());
            held.push(mine);
        }
        let answers = core.commit(&entries, self.now);
        for (answer, mine) in answers.into_iter().zip(held) {
            let promise = match answer {
                Ok(_) => Promise::Kept,
                // A full disk takes a part of a frame at most.
                Err(AppendError::Full { .. } | AppendError::TooLarge { .. }) => Promise::Refused,
                Err(_) => Promise::Open,
            };
            for number in mine {
                self.outside.promises.insert(number, promise);
            }
        }
    }

    /// Shows the sink what is sealed.
    fn deliver(&mut self, shared: &Arc<Shared>) -> Result<(), String> {
        for dataset in DATASETS {
            let after = shared.cursors().get(SINK, dataset);
            let batches = match shared.take(dataset, after, 40, usize::MAX) {
                Ok(batches) => batches,
                Err(SourceError::Read { .. }) if self.disk.is_stopped() => return Ok(()),
                Err(e) => return Err(format!("batches behind {after} of {dataset}: {e:?}")),
            };
            for batch in batches {
                let key = (dataset, batch.id().number);
                let node = batch.id().node.to_string();
                match self.outside.shown.get(&key) {
                    Some(before) if *before != (node.clone(), batch.rows().clone()) => {
                        return Err(format!("batch {key:?} changed after a sink had seen it"));
                    }
                    Some(_) => {}
                    None => {
                        self.outside.shown.insert(key, (node, batch.rows().clone()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Moves the cursor over what the sink has.
    fn settle(&mut self, shared: &Arc<Shared>) {
        for dataset in DATASETS {
            let shown = self.outside.shown.range((dataset, 0)..=(dataset, i64::MAX));
            let Some(((_, last), _)) = shown.last() else {
                continue;
            };
            if shared.cursors().advance(SINK, dataset, *last).is_ok() {
                self.outside.cursors.insert(dataset, *last);
            }
        }
    }

    /// Everything that was promised, against everything that is there.
    fn check(&mut self, core: &Core, report: &OpenReport) -> Result<(), String> {
        if !report.lost.is_empty() || !report.quarantined.is_empty() || report.lost_rows > 0 {
            return Err(format!("damage on a disk that damages nothing: {report:?}"));
        }
        if report.node_file_lost || !report.cursors_lost.is_empty() {
            return Err(format!("a small file was lost: {report:?}"));
        }
        let shared = core.shared();
        let mut found: BTreeMap<i64, usize> = BTreeMap::new();
        for dataset in DATASETS {
            let cursor = shared.cursors().get(SINK, dataset);
            let confirmed = self.outside.cursors.get(&dataset).copied().unwrap_or(0);
            if cursor < confirmed {
                return Err(format!(
                    "the cursor of {dataset} is {cursor}, was {confirmed}"
                ));
            }
            self.check_log(&shared, dataset, cursor, &mut found)?;
        }
        let seen = self.outside.shown.keys().copied().collect::<BTreeSet<_>>();
        for key in seen {
            let (_, rows) = &self.outside.shown[&key];
            for number in numbers(key.0, rows) {
                *found.entry(number).or_default() += 1;
            }
        }
        for (number, promise) in &self.outside.promises {
            let times = found.remove(number).unwrap_or(0);
            match (promise, times) {
                (Promise::Kept, 1) | (Promise::Open, 0 | 1) | (Promise::Refused, 0) => {}
                _ => return Err(format!("row {number}, {promise:?}, is there {times} times")),
            }
        }
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("rows out of nowhere: {found:?}"))
        }
    }

    /// What the log gives must be what the sink was shown, and counts once where it was not.
    fn check_log(
        &self,
        shared: &Arc<Shared>,
        dataset: Dataset,
        cursor: i64,
        found: &mut BTreeMap<i64, usize>,
    ) -> Result<(), String> {
        let batches = shared.take(dataset, cursor, usize::MAX, usize::MAX);
        let batches = batches.map_err(|e| format!("batches of {dataset}: {e:?}"))?;
        let pinned = shared.pin(dataset);
        let mut after = cursor;
        for batch in &batches {
            let number = batch.id().number;
            if number != after + 1 {
                return Err(format!("batch {number} of {dataset} follows {after}"));
            }
            after = number;
            let places = batch.rows().column_by_name("_row").unwrap();
            let places = places.as_primitive::<Int32Type>().values();
            if !places
                .iter()
                .copied()
                .eq(0..i32::try_from(batch.rows().num_rows()).unwrap())
            {
                return Err(format!(
                    "rows of batch {number} of {dataset} are not in place"
                ));
            }
            let node = batch.id().node.to_string();
            match self.outside.shown.get(&(dataset, number)) {
                Some(shown) if *shown != (node, batch.rows().clone()) => {
                    return Err(format!(
                        "batch {number} of {dataset} changed over a restart"
                    ));
                }
                Some(_) => {}
                None => {
                    for row in numbers(dataset, batch.rows()) {
                        *found.entry(row).or_default() += 1;
                    }
                }
            }
        }
        let sealed: usize = batches.iter().map(|b| b.rows().num_rows()).sum();
        let recent: usize = pinned.blocks.iter().map(|b| b.rows()).sum();
        if sealed != recent {
            return Err(format!(
                "{dataset}: {recent} recent rows, {sealed} sealed after a start"
            ));
        }
        Ok(())
    }
}
