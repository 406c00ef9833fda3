//! Rows that one writer derives from another table, with how far it has come there.
//!
//! The writer says what it believes of the table: the number of its last batch, and the numbers
//! that it has set under names of its own. The commit is made onto a version in which all of that
//! holds, or not at all. So of two writers that both believe to be the one, the second finds the
//! numbers moved, and nothing that it computed from an older state gets in. Commits of others that
//! leave these numbers alone, a compaction for one, do not disturb it.

use weir_model::{Batch, Clock, SystemClock};

use crate::commit::{self, AddedFile};
use crate::replay::batches_app;
use crate::table::{ATTEMPTS_MAX, Table};
use crate::write::put_files;
use crate::{LakeError, Snapshot};

/// What a writer of derived rows wants to store.
#[derive(Clone, Copy, Debug)]
pub struct Derived<'a> {
    /// The rows; its number must follow the last one of its node in the table. `None` where only
    /// the progress moves.
    pub batch: Option<&'a Batch>,
    /// What the writer believes the table says, by name; 0 where it says nothing.
    pub expect: &'a [(String, i64)],
    /// What the table says afterwards.
    pub then: &'a [(String, i64)],
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored, as this version of the table.
    Committed {
        /// The version.
        version: u64,
    },
    /// The table is not as the writer believes; nothing was stored.
    Fenced,
}

impl Derived<'_> {
    fn holds_in(&self, snapshot: &Snapshot) -> bool {
        let expected = self
            .expect
            .iter()
            .all(|(name, number)| snapshot.progress(name) == *number);
        let next = self.batch.is_none_or(|batch| {
            let id = batch.id();
            snapshot.committed(&id.node) + 1 == id.number
        });
        expected && next
    }
}

impl Table {
    /// Stores `derived` where what it expects holds.
    pub(crate) async fn derive(&self, derived: &Derived<'_>) -> Result<Outcome, LakeError> {
        if derived.batch.is_some_and(|b| b.dataset() != self.dataset) {
            return Err(self.rows_fault("the batch is of another dataset"));
        }
        let _writer = self.writer.lock().await;
        let mut written: Option<Vec<AddedFile>> = None;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.snapshot().await?;
            let Some(version) = snapshot.version() else {
                self.create().await?;
                continue;
            };
            if !derived.holds_in(&snapshot) {
                self.drop_files(written.unwrap_or_default()).await;
                return Ok(Outcome::Fenced);
            }
            if self.widen(&snapshot).await? || !self.still_there(version).await? {
                continue;
            }
            let partition = self.replay.lock().await.writable()?;
            let files = match (written.take(), derived.batch) {
                (Some(files), _) => files,
                (None, None) => Vec::new(),
                (None, Some(batch)) => {
                    let rows = (vec![batch.rows().clone()], partition);
                    let name = format!("{}-{}", batch.id().node, batch.id().number);
                    put_files(&self.store, self.dataset, rows, &name).await?
                }
            };
            let mut txns = derived.then.to_vec();
            if let Some(batch) = derived.batch {
                let app = batches_app(&batch.id().node, self.dataset);
                txns.push((app, batch.id().number));
            }
            let now_ms = SystemClock.now_us() / 1000;
            let bytes = commit::lines(&files, &txns, partition, now_ms);
            if self.commit(version + 1, bytes).await? {
                self.after_commit(version + 1).await;
                return Ok(Outcome::Committed {
                    version: version + 1,
                });
            }
            written = Some(files);
        }
        Err(LakeError::Contended {
            dataset: self.dataset,
            attempts: ATTEMPTS_MAX,
        })
    }
}

#[cfg(test)]
mod tests;
