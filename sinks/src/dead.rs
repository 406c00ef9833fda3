//! Dead letters: rows that a sink will never take, kept with the reason, and what delivery has to
//! remember about batches that it had to cut.
//!
//! ```text
//! <data-dir>/dead/<sink>/<node>-<dataset>-<batch>-<start>-<end>.arrow   the rows (Arrow IPC file)
//!                       /<node>-<dataset>-<batch>-<start>-<end>.json    the note: why and when
//!                       /splits/<node>-<dataset>-<batch>.json           how a batch is cut
//!                       /lost/<node>-<dataset>-<batch>.json             a batch the log has lost
//! ```
//!
//! # Invariants
//!
//! * A letter is there when its note is: the rows are written and fsynced before it.
//! * All of it is durable before the cursor moves over the batch.
//! * Dropping a letter deletes its rows and keeps the note, so that the account still closes.

pub(crate) mod disk;
mod layouts;
mod letter;
mod replay;
mod splits;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use parking_lot::Mutex;
use weir_model::{Clock, Dataset, NodeId};

pub use layouts::{layouts, sink_layouts};
pub use letter::{DeadLetter, InvalidLetterId, LetterId};
pub use replay::replay_node;
pub(crate) use splits::Splits;

use crate::Part;
use letter::Note;

/// The dead letters could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadError {
    /// The disk failed; a letter that was being written is not there.
    #[error("the dead letters at `{path}` failed")]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what its name says; it was left as it is.
    #[error("the dead letter file `{path}` is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, without a row's contents.
        reason: String,
    },
    /// A note was written by a newer version of this program; nothing was changed.
    #[error(
        "`{path}` has layout {found}, newer than this weir reads: start the newer weir again, or \
         restore a copy from before its upgrade; nothing was changed"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
    /// The sink's name cannot be a folder's.
    #[error("`{name}` cannot name a sink: only a-z, 0-9, `_` and `-`")]
    Name {
        /// As given.
        name: String,
    },
    /// Another letter has been offered to the sink, and it is not known what became of it.
    #[error("the replay of `{id}` has not come to an end; replay that letter first")]
    Unfinished {
        /// Which.
        id: LetterId,
    },
    /// There is no such letter, or its rows were dropped.
    #[error("there is no dead letter `{id}`, or its rows were dropped")]
    Missing {
        /// As asked for.
        id: String,
    },
}

/// The dead letters of all sinks of a node. Its calls block for the disk.
#[derive(Debug)]
pub struct DeadLetters {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    /// Held while a number for a replay is given out.
    numbering: Mutex<()>,
}

impl DeadLetters {
    /// Opens the folder `dead` of a data directory, and makes it where it is missing.
    ///
    /// # Errors
    ///
    /// [`DeadError::Disk`] where it cannot be made.
    pub fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, DeadError> {
        disk::make_folders(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            clock,
            numbering: Mutex::default(),
        })
    }

    /// The folder of `sink`.
    fn of(&self, sink: &str) -> Result<PathBuf, DeadError> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-".contains(&b);
        if sink.is_empty() || !sink.bytes().all(plain) {
            return Err(DeadError::Name {
                name: sink.to_owned(),
            });
        }
        Ok(self.folder.join(sink))
    }

    /// Sets the rows of `part` aside for `sink`, durably; a second time changes nothing.
    ///
    /// # Errors
    ///
    /// Nothing is set aside then, and the call may be made again.
    pub fn put(&self, sink: &str, part: &Part, reason: &str) -> Result<DeadLetter, DeadError> {
        let id = LetterId {
            sink: sink.to_owned(),
            part: part.id(),
        };
        let folder = self.of(sink)?;
        if let Some(letter) = letter::find(&folder, &id)? {
            return Ok(letter);
        }
        disk::make_folders(&folder)?;
        let rows = part.rows();
        disk::write(&folder.join(id.rows_file()), &letter::encode(&rows)?)?;
        let note = Note {
            rows: rows.num_rows() as u64,
            reason: reason.to_owned(),
            at_us: self.clock.now_us(),
            dropped_us: None,
            replay: None,
            replayed_us: None,
        };
        disk::write_json(&folder.join(id.note_file()), &note)?;
        Ok(note.letter(id))
    }

    /// Whether the rows of `part` were set aside for `sink`.
    pub(crate) fn holds(&self, sink: &str, part: &Part) -> Result<bool, DeadError> {
        let id = LetterId {
            sink: sink.to_owned(),
            part: part.id(),
        };
        Ok(letter::find(&self.of(sink)?, &id)?.is_some())
    }

    /// All letters, by sink and part.
    ///
    /// # Errors
    ///
    /// Where the folder or a note cannot be read.
    pub fn list(&self) -> Result<Vec<DeadLetter>, DeadError> {
        let mut letters = Vec::new();
        for (sink, folder) in disk::folders(&self.folder)? {
            letters.extend(letter::all(&sink, &folder)?);
        }
        letters.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(letters)
    }

    /// A letter and its rows.
    ///
    /// # Errors
    ///
    /// [`DeadError::Missing`] where there is none, or its rows were dropped.
    pub fn show(&self, id: &LetterId) -> Result<(DeadLetter, Vec<RecordBatch>), DeadError> {
        let folder = self.of(&id.sink)?;
        let letter = letter::find(&folder, id)?.filter(DeadLetter::has_rows);
        let letter = letter.ok_or_else(|| DeadError::Missing { id: id.to_string() })?;
        let rows = letter::decode(&folder.join(id.rows_file()))?;
        Ok((letter, rows))
    }

    /// The rows of a letter of the lake that was not dropped, replayed or not.
    pub(crate) fn rows_of(&self, id: &LetterId) -> Result<Vec<RecordBatch>, DeadError> {
        letter::decode(&self.of(&id.sink)?.join(id.rows_file()))
    }

    /// Deletes a letter's rows for good. The note stays, with the time.
    ///
    /// # Errors
    ///
    /// [`DeadError::Missing`] where there is no such letter.
    pub fn drop_rows(&self, id: &LetterId) -> Result<DeadLetter, DeadError> {
        let folder = self.of(&id.sink)?;
        let found = letter::find(&folder, id)?;
        let mut letter = found.ok_or_else(|| DeadError::Missing { id: id.to_string() })?;
        if letter.has_rows() {
            letter.dropped_us = Some(self.clock.now_us());
            disk::write_json(&folder.join(id.note_file()), &Note::of(&letter))?;
        }
        disk::remove(&folder.join(id.rows_file()))?;
        Ok(letter)
    }

    /// How many rows of `node` are set aside for `sink`, dropped ones included and replayed ones
    /// not.
    ///
    /// # Errors
    ///
    /// Where the folder or a note cannot be read.
    pub fn count(&self, sink: &str, dataset: Dataset, node: &NodeId) -> Result<u64, DeadError> {
        let letters = letter::all(sink, &self.of(sink)?)?;
        let kept = letters.iter().filter(|l| !l.is_replayed());
        let ours = kept.map(|l| (&l.id.part, l.rows));
        let ours = ours.filter(|(part, _)| part.dataset == dataset && part.node == *node);
        Ok(ours.map(|(_, rows)| rows).sum())
    }

    /// Remembers, durably, that batch `number` could not be given to `sink` since the log has
    /// lost it.
    ///
    /// # Errors
    ///
    /// Nothing is remembered then.
    pub(crate) fn put_lost(
        &self,
        sink: &str,
        dataset: Dataset,
        node: &NodeId,
        number: i64,
    ) -> Result<(), DeadError> {
        let folder = self.of(sink)?.join("lost");
        disk::make_folders(&folder)?;
        let note = serde_json::json!({"at_us": self.clock.now_us()});
        disk::write_json(
            &folder.join(format!("{node}-{dataset}-{number}.json")),
            &note,
        )
    }

    /// The numbers of the batches of `node` that `sink` never got, since the log has lost them.
    ///
    /// # Errors
    ///
    /// Where the folder cannot be read.
    pub fn lost(&self, sink: &str, dataset: Dataset, node: &NodeId) -> Result<Vec<i64>, DeadError> {
        let begin = format!("{node}-{dataset}-");
        let names = disk::files(&self.of(sink)?.join("lost"))?;
        let numbers = names.iter().filter_map(|name| {
            let number = name.strip_prefix(&begin)?.strip_suffix(".json")?;
            number.parse().ok()
        });
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// How a batch is cut for `sink`, to be read and written.
    pub(crate) fn splits(
        &self,
        sink: &str,
        batch: &weir_model::Batch,
    ) -> Result<Splits, DeadError> {
        Ok(Splits::new(&self.of(sink)?.join("splits"), batch.id()))
    }
}

#[cfg(test)]
mod tests;
