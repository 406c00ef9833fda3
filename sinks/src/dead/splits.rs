//! How a batch is cut for one sink: remembered before a piece is offered, so that a restart goes
//! on with the same pieces, which is what sinks deduplicate by.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_model::BatchId;

use super::{DeadError, disk};

/// The record of one batch at one sink.
#[derive(Debug)]
pub(crate) struct Splits {
    folder: PathBuf,
    file: PathBuf,
}

/// As it is on disk.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The first row of each piece, ascending from 0.
    starts: Vec<i32>,
}

impl Splits {
    pub(super) fn new(folder: &Path, batch: &BatchId) -> Self {
        let BatchId {
            node,
            dataset,
            number,
        } = batch;
        Self {
            folder: folder.to_owned(),
            file: folder.join(format!("{node}-{dataset}-{number}.json")),
        }
    }

    /// The first row of each piece; `None` where the batch was never cut.
    pub(crate) fn load(&self) -> Result<Option<Vec<i32>>, DeadError> {
        let record: Option<Record> = disk::read_json(&self.file)?;
        let Some(Record { starts }) = record else {
            return Ok(None);
        };
        let sound = starts.first() == Some(&0) && starts.is_sorted_by(|a, b| a < b);
        if sound {
            Ok(Some(starts))
        } else {
            Err(DeadError::Damaged {
                path: self.file.clone(),
                reason: "the pieces are not in order".to_owned(),
            })
        }
    }

    /// Remembers the pieces, durably.
    pub(crate) fn save(&self, starts: &[i32]) -> Result<(), DeadError> {
        disk::make_folders(&self.folder)?;
        let record = Record {
            starts: starts.to_vec(),
        };
        disk::write_json(&self.file, &record)
    }

    /// Forgets the pieces, once the cursor is beyond the batch.
    pub(crate) fn clear(&self) -> Result<(), DeadError> {
        disk::remove(&self.file)
    }
}
