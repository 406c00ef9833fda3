//! The lake: one Delta table of Parquet files for each dataset, on local disk or object storage.
//!
//! ```text
//! <url>/spans/_delta_log/00000000000000000042.json    one commit: files added, batches settled
//!            /_delta_log/00000000000000000099.checkpoint.parquet
//!            /part_date=2026-11-21/tenant_id=acme/<node>-41-43-<random>.parquet
//! ```
//!
//! Tables use reader protocol 1 and writer protocol 2 and nothing beyond, so that any engine that
//! reads Delta reads them; other engines must not write to them.
//!
//! # Invariants
//!
//! * A batch is in a table once or not at all. Every commit says in a `txn` action up to which
//!   batch number a node's rows are in, and is written only onto the very version in which that
//!   number was read; where another commit came between, everything is looked at again.
//! * A commit holds whole batches, or a piece of one batch and how far it goes.
//! * A reader sees all rows of a commit or none: files that no commit names do not exist for it.
//! * When [`Lake::append`] returns `Ok`, files and commit are durable.

mod checkpoint;
mod commit;
mod count;
mod derive;
mod error;
#[cfg(test)]
mod fixture;
mod lakes;
mod lease;
mod local;
mod location;
mod parquet_file;
mod replay;
mod rows;
mod scan;
mod share;
mod snapshot;
mod stats;
mod table;
mod unnamed;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use url::Url;
use weir_model::{Batch, Dataset, FoundLayout, NodeId};

pub use derive::{Derived, Outcome};
pub use error::LakeError;
pub use lakes::Lakes;
pub use lease::{Lease, Standing};
pub use local::LocalStore;
pub use parquet_file::{ParquetFile, encode};
pub use snapshot::{LakeFile, Partial, Snapshot};
pub use stats::{Bounds, ColumnStats, columns as stats_columns};

use location::Location;
use table::Table;

/// Which columns the folders of a table stand for; fixed when a table is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partition {
    /// A folder for each day and tenant: a tenant's files can be dropped, copied or priced apart.
    #[default]
    DateAndTenant,
    /// A folder for each day: for thousands of small tenants, whose files would be tiny.
    Date,
}

/// Where the lake is and how it is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeConfig {
    /// A path, or a `file://`, `s3://`, `az://`, `abfss://`, `gs://` or `memory://` URL.
    pub url: String,
    /// Options of the object store by the names of its environment variables, in any case
    /// (`aws_region`, `AWS_ENDPOINT`, ...); they win over the environment.
    pub options: BTreeMap<String, String>,
    /// The folders of tables that are yet to be created.
    pub partition: Partition,
}

/// What became of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The table's version that is known to hold the rows.
    pub version: u64,
    /// How many rows this call stored.
    pub rows: u64,
    /// All rows were in the table before this call; it stored nothing.
    pub already: bool,
}

/// The Delta tables of all datasets; shared freely, since every table has its own locks.
#[derive(Debug)]
pub struct Lake {
    location: Location,
    tables: BTreeMap<Dataset, Table>,
}

impl Lake {
    /// Opens the lake at the configured place. Tables are looked at when they are first used, and
    /// created when they are first written to.
    ///
    /// # Errors
    ///
    /// [`LakeError::Location`] and [`LakeError::Option`] where the configuration cannot be used,
    /// [`LakeError::Store`] where the place does not answer.
    pub async fn open(config: &LakeConfig) -> Result<Self, LakeError> {
        let lake = Self::configured(config)?;
        // One request tells a wrong bucket, key or network at start and not at the first flush.
        lake.snapshot(Dataset::Spans).await?;
        Ok(lake)
    }

    /// The lake at the configured place, of which nothing is asked yet; a local folder is made.
    ///
    /// # Errors
    ///
    /// [`LakeError::Location`] and [`LakeError::Option`] where the configuration cannot be used.
    pub fn configured(config: &LakeConfig) -> Result<Self, LakeError> {
        let location = Location::open(&config.url, &config.options)?;
        Self::at(location, config.partition)
    }

    /// A lake in a store that is built already; the store's root is the root of `url`.
    ///
    /// # Errors
    ///
    /// [`LakeError::Location`] where the URL's path is no path of an object store.
    pub fn with_store(
        store: Arc<dyn ObjectStore>,
        url: Url,
        partition: Partition,
    ) -> Result<Self, LakeError> {
        Self::at(Location::with_store(store, url)?, partition)
    }

    /// Which layouts the tables have; those that are not there are left out. Nothing is changed.
    ///
    /// # Errors
    ///
    /// Where a table's log cannot be read.
    pub async fn layouts(&self) -> Result<Vec<FoundLayout>, LakeError> {
        let mut all = Vec::new();
        for (dataset, table) in &self.tables {
            let (found, missing) = match table.layout().await {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(LakeError::Newer { found, .. }) => (found, Vec::new()),
                Err(error) => return Err(error),
            };
            let url = self.table_url(*dataset);
            let mut one = FoundLayout::of("Delta table", url, Some(found), replay::LAYOUT);
            if !missing.is_empty() {
                let columns = missing.join(", ");
                one.change = Some(format!("its next write adds the columns {columns}"));
            }
            all.push(one);
        }
        Ok(all)
    }

    fn at(location: Location, partition: Partition) -> Result<Self, LakeError> {
        let mut tables = BTreeMap::new();
        for dataset in Dataset::ALL {
            tables.insert(dataset, Table::new(&location, dataset, partition)?);
        }
        Ok(Self { location, tables })
    }

    fn table(&self, dataset: Dataset) -> Result<&Table, LakeError> {
        // Every dataset has a table from the start, so this cannot fail.
        self.tables.get(&dataset).ok_or(LakeError::Stopped)
    }

    /// Stores consecutive batches of one node in one commit; batches that the table already holds
    /// are skipped.
    ///
    /// Nothing is stored twice, on no retry, no restart and against no other writer.
    ///
    /// # Errors
    ///
    /// Where the fault is transient, the rows are all stored or none is, and it is not known
    /// which: the same call may be made again. [`LakeError::Rows`]: nothing was stored.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the outcome open, as a transient error does.
    pub async fn append(&self, dataset: Dataset, batches: &[Batch]) -> Result<Appended, LakeError> {
        self.table(dataset)?.append(batches).await
    }

    /// Stores rows `first_row..end_row` of `batch`, by their `_row`: a piece of a batch that could
    /// not be stored whole. Pieces come in the order of their rows, and with the last one the
    /// batch is settled.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_part(
        &self,
        batch: &Batch,
        rows: std::ops::Range<i32>,
    ) -> Result<Appended, LakeError> {
        self.table(batch.dataset())?.append_part(batch, rows).await
    }

    /// Stores rows that were derived from another table, and how far their writer has come there, in
    /// one commit, if the table still is as the writer believes.
    ///
    /// # Errors
    ///
    /// Where it is not known whether the commit was made: the writer has to look at the table
    /// again. [`LakeError::Rows`]: nothing was stored.
    pub async fn derive(
        &self,
        dataset: Dataset,
        derived: &Derived<'_>,
    ) -> Result<Outcome, LakeError> {
        self.table(dataset)?.derive(derived).await
    }

    /// The rows of one file of `dataset`, in pieces: of each the named columns, in their order and
    /// with the types of the schema, NULL where the file is older than a column.
    ///
    /// With `traces`, only rows whose `trace_id` is among them; parts of the file that cannot hold
    /// one, by its bloom filters, are not read.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, also in the middle.
    pub async fn read_file(
        &self,
        dataset: Dataset,
        file: &LakeFile,
        columns: &[&str],
        traces: Option<Arc<BTreeSet<String>>>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
        let path = self.table_prefix(dataset);
        let at = (self.store(), Path::from(format!("{path}/{}", file.path)));
        scan::rows(dataset, at, file, (columns, traces)).await
    }

    /// Puts `new` in the place of `old` files of the table in one commit: the sum in the place of
    /// what it sums, or nothing where nothing is left. `false` where some of `old` is not there any
    /// more; then nothing was changed. Which batches the table holds stays as it was.
    ///
    /// # Errors
    ///
    /// [`LakeError::Contended`] and [`LakeError::Rows`]: nothing was changed. Where the store
    /// fails, the commit is there or not; the next snapshot tells, and the same call may be made
    /// again.
    pub async fn replace(
        &self,
        dataset: Dataset,
        old: &[Arc<LakeFile>],
        new: Option<&Batch>,
    ) -> Result<bool, LakeError> {
        self.table(dataset)?.replace(old, new).await
    }

    /// Deletes files that [`replace`](Self::replace) has taken out of the table; what the newest
    /// version names stays. Readers of versions from before then miss them.
    ///
    /// # Errors
    ///
    /// Where the table's log cannot be read or the store fails; some may be gone then.
    pub async fn delete_replaced(
        &self,
        dataset: Dataset,
        paths: &[String],
    ) -> Result<(), LakeError> {
        let snapshot = self.snapshot(dataset).await?;
        let named = |path: &String| snapshot.files().iter().any(|f| f.path == *path);
        let (store, prefix) = (self.store(), self.table_prefix(dataset));
        for path in paths.iter().filter(|path| !named(path)) {
            let place = Path::from(format!("{prefix}/{path}"));
            match store.delete(&place).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The number of the last batch of `node` that the table holds, read from the store; `None`
    /// where it holds none.
    ///
    /// # Errors
    ///
    /// Where the table's log cannot be read.
    pub async fn last_batch(
        &self,
        dataset: Dataset,
        node: &NodeId,
    ) -> Result<Option<i64>, LakeError> {
        let snapshot = self.snapshot(dataset).await?;
        let last = snapshot.committed(node);
        Ok((last > 0).then_some(last))
    }

    /// The newest version of the table; one without files where there is no table yet. Reads only
    /// the log entries that are new since the last call.
    ///
    /// # Errors
    ///
    /// Where the table's log cannot be read.
    pub async fn snapshot(&self, dataset: Dataset) -> Result<Arc<Snapshot>, LakeError> {
        self.table(dataset)?.snapshot().await
    }

    /// How many rows of `node` each batch from `from_batch` to `to_batch` (both included) has in
    /// the table, counted in the Parquet files themselves; batches without rows are left out.
    ///
    /// # Errors
    ///
    /// Where the log or a file cannot be read.
    pub async fn count_rows(
        &self,
        dataset: Dataset,
        node: &NodeId,
        from_batch: i64,
        to_batch: i64,
    ) -> Result<BTreeMap<i64, u64>, LakeError> {
        let snapshot = self.snapshot(dataset).await?;
        let prefix = self.table_prefix(dataset);
        count::rows(
            &self.location.store,
            &prefix,
            &snapshot,
            (node, from_batch..=to_batch),
        )
        .await
    }

    /// The object store, whose root is the root of [`table_url`](Self::table_url).
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.location.store)
    }

    /// The URL of the lake itself, ending in `/`.
    pub fn url(&self) -> &Url {
        &self.location.url
    }

    /// The URL of a table's folder, ending in `/`.
    pub fn table_url(&self, dataset: Dataset) -> Url {
        let mut url = self.location.url.clone();
        let path = format!("{}{}/", url.path(), dataset.name());
        url.set_path(&path);
        url
    }

    /// The path in [`store`](Self::store) of what lies beside the tables under `name`; no table's
    /// name begins with `_`.
    pub fn beside(&self, name: &str) -> Path {
        let folder = self.location.prefix.clone().join("_weir");
        name.split('/').fold(folder, |path, part| path.join(part))
    }

    /// The path of a table's folder in [`store`](Self::store).
    pub fn table_prefix(&self, dataset: Dataset) -> Path {
        self.location.prefix.clone().join(dataset.name())
    }
}
