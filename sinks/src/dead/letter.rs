//! A letter: its name, its note and its rows.

use std::fmt;
use std::fs::File;
use std::path::Path;
use std::str::FromStr;

use arrow_array::RecordBatch;
use arrow_ipc::CompressionType;
use arrow_ipc::reader::FileReader;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::ArrowError;
use serde::{Deserialize, Serialize};
use weir_model::{Dataset, NodeId};

use super::{DeadError, disk};
use crate::PartId;

/// Names a letter: `<sink>/<node>-<dataset>-<batch>-<start>-<end>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The sink that refused the rows.
    pub sink: String,
    /// Which rows.
    pub part: PartId,
}

/// The text is not a letter's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a dead letter is named `<sink>/<node>-<dataset>-<batch>-<start>-<end>`")]
pub struct InvalidLetterId;

impl LetterId {
    fn stem(&self) -> String {
        let p = &self.part;
        let (node, dataset) = (&p.node, p.dataset);
        format!("{node}-{dataset}-{}-{}-{}", p.batch, p.start, p.end)
    }

    pub(super) fn rows_file(&self) -> String {
        format!("{}.arrow", self.stem())
    }

    pub(super) fn note_file(&self) -> String {
        format!("{}.json", self.stem())
    }

    fn from_stem(sink: &str, stem: &str) -> Option<Self> {
        let mut fields = stem.split('-');
        let part = PartId {
            node: NodeId::new(fields.next()?).ok()?,
            dataset: Dataset::from_name(fields.next()?)?,
            batch: fields.next()?.parse().ok()?,
            start: fields.next()?.parse().ok()?,
            end: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then(|| Self {
            sink: sink.to_owned(),
            part,
        })
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sink, self.stem())
    }
}

impl FromStr for LetterId {
    type Err = InvalidLetterId;

    fn from_str(text: &str) -> Result<Self, InvalidLetterId> {
        let (sink, stem) = text.split_once('/').ok_or(InvalidLetterId)?;
        Self::from_stem(sink, stem).ok_or(InvalidLetterId)
    }
}

/// Rows that were set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its name.
    pub id: LetterId,
    /// How many rows.
    pub rows: u64,
    /// Why the sink refused them; no row is quoted.
    pub reason: String,
    /// When, in microseconds since the epoch.
    pub at_us: i64,
    /// When an operator deleted the rows, if so.
    pub dropped_us: Option<i64>,
    /// The number of the batch under which the rows are given to the sink again, if so; see
    /// [`DeadLetters::replay`](super::DeadLetters::replay).
    pub replay: Option<i64>,
    /// When the sink took them, if so; the letter has no rows any more then.
    pub replayed_us: Option<i64>,
}

impl DeadLetter {
    /// Whether the sink has got the rows after all.
    pub fn is_replayed(&self) -> bool {
        self.replayed_us.is_some()
    }

    /// Whether the rows are still kept here.
    pub fn has_rows(&self) -> bool {
        self.dropped_us.is_none() && self.replayed_us.is_none()
    }
}

/// The note as it is on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) rows: u64,
    pub(super) reason: String,
    pub(super) at_us: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dropped_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replay: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replayed_us: Option<i64>,
}

impl Note {
    pub(super) fn letter(self, id: LetterId) -> DeadLetter {
        DeadLetter {
            id,
            rows: self.rows,
            reason: self.reason,
            at_us: self.at_us,
            dropped_us: self.dropped_us,
            replay: self.replay,
            replayed_us: self.replayed_us,
        }
    }

    pub(super) fn of(letter: &DeadLetter) -> Self {
        Self {
            rows: letter.rows,
            reason: letter.reason.clone(),
            at_us: letter.at_us,
            dropped_us: letter.dropped_us,
            replay: letter.replay,
            replayed_us: letter.replayed_us,
        }
    }
}

/// The letter `id`, where there is one.
pub(super) fn find(folder: &Path, id: &LetterId) -> Result<Option<DeadLetter>, DeadError> {
    let note: Option<Note> = disk::read_json(&folder.join(id.note_file()))?;
    Ok(note.map(|n| n.letter(id.clone())))
}

/// Every letter in the folder of `sink`.
pub(super) fn all(sink: &str, folder: &Path) -> Result<Vec<DeadLetter>, DeadError> {
    let names = disk::files(folder)?;
    let ids = names.iter().filter_map(|name| name.strip_suffix(".json"));
    let ids = ids.filter_map(|stem| LetterId::from_stem(sink, stem));
    let letters = ids.map(|id| find(folder, &id));
    let found: Vec<Option<DeadLetter>> = letters.collect::<Result<_, _>>()?;
    Ok(found.into_iter().flatten().collect())
}

fn damaged(path: &Path) -> impl Fn(ArrowError) -> DeadError {
    let path = path.to_owned();
    move |e| DeadError::Damaged {
        path: path.clone(),
        reason: e.to_string(),
    }
}

/// The rows as an Arrow IPC file.
pub(super) fn encode(rows: &RecordBatch) -> Result<Vec<u8>, DeadError> {
    let write = || -> Result<Vec<u8>, ArrowError> {
        let options = IpcWriteOptions::default();
        let options = options.try_with_compression(Some(CompressionType::LZ4_FRAME))?;
        let mut writer = FileWriter::try_new_with_options(Vec::new(), rows.schema_ref(), options)?;
        writer.write(rows)?;
        writer.into_inner()
    };
    write().map_err(damaged(Path::new("(in memory)")))
}

/// The rows of an Arrow IPC file.
pub(super) fn decode(path: &Path) -> Result<Vec<RecordBatch>, DeadError> {
    let file = File::open(path).map_err(|source| DeadError::Disk {
        path: path.to_owned(),
        source,
    })?;
    let reader = FileReader::try_new_buffered(file, None).map_err(damaged(path))?;
    reader.collect::<Result<_, _>>().map_err(damaged(path))
}
