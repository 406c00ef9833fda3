//! How far each sink has settled: one small file a sink, replaced whole and durably.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::watch;
use weir_model::{CursorError, Cursors, Dataset};

use super::small_files;
use crate::wal::{
    Bug, Planted, ReplaceError, Spare, Storage, WalError, is_full, read_small, replace_small,
};

/// The folder of the cursors.
pub(crate) const CURSOR_DIR: &str = "cursors";

type Numbers = BTreeMap<Dataset, i64>;

/// The cursors of all sinks.
#[derive(Debug)]
pub(crate) struct CursorFiles {
    storage: Arc<dyn Storage>,
    spare: Arc<Spare>,
    broken: watch::Sender<bool>,
    planted: Planted,
    numbers: Mutex<BTreeMap<String, Numbers>>,
    /// What the log cannot give any more counts as settled for a sink that is new.
    floor: Mutex<Numbers>,
    /// Held while a file is written, so that a reader of `numbers` never waits for a disk.
    writing: Mutex<()>,
    /// Counts advances, for whoever wants to delete segments.
    moved: watch::Sender<u64>,
}

impl CursorFiles {
    /// Reads the cursors; names the sinks whose file is damaged, which then begin at the floor.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        spare: Arc<Spare>,
        broken: watch::Sender<bool>,
        planted: Planted,
    ) -> Result<(Self, Vec<String>), WalError> {
        let about = |source| WalError::Io {
            path: CURSOR_DIR.to_owned(),
            source,
        };
        let mut numbers = BTreeMap::new();
        let mut lost = Vec::new();
        for name in storage.list(CURSOR_DIR).map_err(about)? {
            let Some(stem) = name.strip_suffix(".json") else {
                continue;
            };
            let path = format!("{CURSOR_DIR}/{name}");
            let bytes = read_small(&*storage, &path)
                .map_err(about)?
                .unwrap_or_default();
            match parse(&bytes) {
                Some((sink, read)) => {
                    numbers.insert(sink, read);
                }
                None => lost.push(stem.to_owned()),
            }
        }
        let cursors = Self {
            storage,
            spare,
            broken,
            planted,
            numbers: Mutex::new(numbers),
            floor: Mutex::default(),
            writing: Mutex::default(),
            moved: watch::Sender::new(0),
        };
        Ok((cursors, lost))
    }

    /// Says below which number nothing is left in the log.
    pub(crate) fn set_floor(&self, dataset: Dataset, number: i64) {
        self.floor.lock().insert(dataset, number);
    }

    /// The highest number that any sink has settled.
    pub(crate) fn highest(&self, dataset: Dataset) -> i64 {
        let numbers = self.numbers.lock();
        numbers
            .values()
            .filter_map(|n| n.get(&dataset))
            .copied()
            .max()
            .unwrap_or(0)
    }

    /// Told after each advance.
    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// What a sink has settled by its own file.
    fn stored(&self, sink: &str, dataset: Dataset) -> i64 {
        let numbers = self.numbers.lock();
        let stored = numbers.get(sink).and_then(|n| n.get(&dataset)).copied();
        stored.unwrap_or(0)
    }

    fn save(&self, sink: &str, numbers: &Numbers) -> Result<(), ReplaceError> {
        let mut body = Map::new();
        body.insert("layout".to_owned(), small_files::LAYOUT.into());
        body.insert("sink".to_owned(), sink.into());
        for (dataset, number) in numbers {
            body.insert(dataset.name().to_owned(), (*number).into());
        }
        let bytes = small_files::encode(body);
        let name = file_name(sink);
        let write = || replace_small(&*self.storage, CURSOR_DIR, &name, &bytes);
        match write() {
            // The cursor lets segments go, so it must find room even on a full disk.
            Err(ReplaceError::Refused(e))
                if is_full(&e) && self.spare.release_reserve(&*self.storage) =>
            {
                write()
            }
            other => other,
        }
    }
}

impl Cursors for CursorFiles {
    fn get(&self, sink: &str, dataset: Dataset) -> i64 {
        let floor = self.floor.lock().get(&dataset).copied().unwrap_or(0);
        self.stored(sink, dataset).max(floor)
    }

    fn advance(&self, sink: &str, dataset: Dataset, number: i64) -> Result<(), CursorError> {
        let _writing = self.writing.lock();
        if self.get(sink, dataset) >= number {
            return Ok(());
        }
        self.move_to(sink, dataset, number)
    }
}

/// The same cursors, of sinks that begin with the first batch ever, not with the first that the log
/// still has.
#[derive(Debug)]
pub(crate) struct FromFirst(pub(crate) Arc<CursorFiles>);

impl Cursors for FromFirst {
    fn get(&self, sink: &str, dataset: Dataset) -> i64 {
        self.0.stored(sink, dataset)
    }

    fn advance(&self, sink: &str, dataset: Dataset, number: i64) -> Result<(), CursorError> {
        let _writing = self.0.writing.lock();
        if self.0.stored(sink, dataset) >= number {
            return Ok(());
        }
        self.0.move_to(sink, dataset, number)
    }
}

impl CursorFiles {
    /// Moves a cursor up; `writing` is held.
    fn move_to(&self, sink: &str, dataset: Dataset, number: i64) -> Result<(), CursorError> {
        let mut moved = self.numbers.lock().get(sink).cloned().unwrap_or_default();
        moved.insert(dataset, number);
        if self.planted.has(Bug::UnlinkBeforeCursor) {
            // The file is written some other time.
            self.numbers.lock().insert(sink.to_owned(), moved);
            self.moved.send_modify(|n| *n += 1);
            return Ok(());
        }
        if let Err(e) = self.save(sink, &moved) {
            if matches!(e, ReplaceError::Unsynced(_)) {
                self.broken.send_replace(true);
            }
            return Err(CursorError {
                sink: sink.to_owned(),
                source: e.into_source(),
            });
        }
        self.numbers.lock().insert(sink.to_owned(), moved);
        self.moved.send_modify(|n| *n += 1);
        Ok(())
    }
}

/// A file name that any sink name can have.
fn file_name(sink: &str) -> String {
    let mut out = String::new();
    for byte in sink.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out.push_str(".json");
    out
}

fn parse(bytes: &[u8]) -> Option<(String, Numbers)> {
    let body = small_files::decode(bytes)?;
    let sink = body.get("sink")?.as_str()?.to_owned();
    let numbers = body
        .iter()
        .filter_map(|(name, number)| Some((Dataset::from_name(name)?, Value::as_i64(number)?)));
    Some((sink, numbers.collect()))
}
