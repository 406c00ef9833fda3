//! Data files that no version of a table names any more, or never did: what a process that was
//! killed had replaced and not yet deleted, or had written and not yet committed.

use std::collections::HashSet;

use futures::TryStreamExt as _;
use object_store::ObjectStore as _;
use object_store::path::Path;
use weir_model::Dataset;

use crate::{Lake, LakeError};

impl Lake {
    /// The data files in the folder of a table that its newest version does not name and that were
    /// written before `before_us`, in microseconds since 1970 UTC, as paths that [`Lake::delete_replaced`] takes. One of them may
    /// be on its way into a commit still, and readers of older versions may need it: whoever deletes
    /// them waits, and looks again.
    ///
    /// # Errors
    ///
    /// Where the table's log cannot be read or the store cannot list.
    pub async fn unnamed_files(
        &self,
        dataset: Dataset,
        before_us: i64,
    ) -> Result<Vec<String>, LakeError> {
        let (store, prefix) = (self.store(), self.table_prefix(dataset));
        // Listed first: what is named later is no orphan.
        let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await?;
        let snapshot = self.snapshot(dataset).await?;
        let files = snapshot.files().iter();
        let named: HashSet<Path> = files
            .map(|file| Path::from(format!("{prefix}/{}", file.path)))
            .collect();
        let before = format!("{prefix}/");
        let unnamed = listed.into_iter().filter_map(|object| {
            let path = object.location.as_ref().strip_prefix(&before)?.to_owned();
            let is_data = path.ends_with(".parquet") && !path.starts_with('_');
            let old = object.last_modified.timestamp_micros() < before_us;
            let orphan = is_data && old && !named.contains(&object.location);
            orphan.then_some(path)
        });
        Ok(unnamed.collect())
    }
}
