//! Putting fewer files in the place of several, in one commit.
//!
//! Rows that are sums may be replaced by their sum. A reader sees the old files or the new ones,
//! never both and never neither; which batches a table holds is not changed by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_model::{Batch, Clock, SystemClock};

use super::{ATTEMPTS_MAX, Table};
use crate::write::put_files;
use crate::{LakeError, LakeFile, commit};

impl Table {
    /// See [`Lake::replace`](crate::Lake::replace).
    pub(crate) async fn replace(
        &self,
        old: &[Arc<LakeFile>],
        new: Option<&Batch>,
    ) -> Result<bool, LakeError> {
        let _writer = self.writer.lock().await;
        let gone: BTreeSet<&str> = old.iter().map(|f| f.path.as_str()).collect();
        let partition = self.replay.lock().await.writable()?;
        let mut written = Vec::new();
        if let Some(batch) = new {
            let name = format!("{}-merged-{}", batch.id().node, batch.id().number);
            let rows = vec![batch.rows().clone()];
            written = put_files(&self.store, self.dataset, (rows, partition), &name).await?;
        }
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.snapshot().await?;
            let held = snapshot
                .files()
                .iter()
                .filter(|f| gone.contains(f.path.as_str()));
            let (Some(version), true) = (snapshot.version(), held.count() == gone.len()) else {
                // Another writer has replaced some of them: its files hold the same rows.
                self.drop_files(written).await;
                return Ok(false);
            };
            if self.widen(&snapshot).await? || !self.still_there(version).await? {
                continue;
            }
            let now_ms = SystemClock.now_us() / 1000;
            let bytes = commit::replacement(old, &written, partition, now_ms);
            match self.commit(version + 1, bytes).await {
                Ok(true) => {
                    self.after_commit(version + 1).await;
                    return Ok(true);
                }
                Ok(false) => {}
                // Whether it is there is not known: the new files stay, since a commit may name
                // them. The next look at the table tells.
                Err(error) => return Err(error),
            }
        }
        self.drop_files(written).await;
        Err(LakeError::Contended {
            dataset: self.dataset,
            attempts: ATTEMPTS_MAX,
        })
    }
}
