//! One table: its state, its one writer lock, and the append.
//!
//! # How an append stores rows once
//!
//! ```text
//! refresh to version v ---> what of this is in v already (txn)? drop it
//!    ^                      encode, put the data files (no reader sees them)
//!    |                      put commit v+1, which must not exist
//!    '--- it exists --------'            '--- done: files and txn are one object
//! ```
//!
//! The commit is written onto exactly the version in which the batch numbers were read, so no
//! other writer, nor an earlier attempt of ours whose answer was lost, can come between. This is
//! stricter than the library's own commit, which accepts a transaction number that is older than
//! the table's as long as nobody else commits at that moment.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use deltalake_core::checkpoints;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::{StructField, StructType};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use weir_model::{Batch, Clock, Dataset, NodeId, SystemClock};

use crate::commit::{self, AddedFile};
use crate::location::Location;
use crate::replay::{
    LAYOUT, LAYOUT_PROPERTY, Replay, batches_app, commit_path, part_app, part_version,
};
use crate::write::put_files;
use crate::{Appended, LakeError, Partial, Partition, Snapshot, stats};

/// A checkpoint sums up the log every so many commits.
const CHECKPOINT_COMMITS: u64 = 100;
/// How long commits are kept once a checkpoint sums them up: readers of other programs hold on to
/// versions for as long as their queries run.
const LOG_RETENTION: &str = "interval 2 days";
/// How often a commit is tried onto a new version before the caller is told to wait.
pub(crate) const ATTEMPTS_MAX: u32 = 24;

/// A table of the lake.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) dataset: Dataset,
    /// The folders of the table if it is yet to be created.
    partition: Partition,
    /// The table's folder as a store of its own.
    pub(crate) store: Arc<dyn ObjectStore>,
    log: LogStoreRef,
    /// Held during an append: two at once in one process would only collide.
    pub(crate) writer: Mutex<()>,
    pub(crate) replay: Mutex<Replay>,
    published: RwLock<Arc<Snapshot>>,
    /// Counts questions for the newest version, so that one refresh answers all that came before
    /// it began.
    asked: AtomicU64,
    answered: AtomicU64,
}

/// What an append wants to be true of the table.
pub(crate) struct Wanted {
    pub(crate) node: NodeId,
    /// Whole, or without the rows that another lake gets.
    pub(crate) batches: Vec<Batch>,
    /// Only these rows of the one batch.
    pub(crate) part: Option<Range<i32>>,
}

/// What is yet to be stored of it, in one commit; nothing where no number would move.
struct Todo {
    /// Rows, as far as there are any: of a batch that has none for this table, only the number is
    /// stored.
    pieces: Vec<arrow_array::RecordBatch>,
    txns: Vec<(String, i64)>,
}

impl Table {
    pub(crate) fn new(
        location: &Location,
        dataset: Dataset,
        partition: Partition,
    ) -> Result<Self, LakeError> {
        let root = Arc::clone(&location.store);
        let prefix = location.prefix.clone().join(dataset.name());
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(root, prefix));
        let mut url = location.url.clone();
        let path = format!("{}{dataset}/", url.path());
        url.set_path(&path);
        let log = default_logstore(
            Arc::clone(&store),
            Arc::clone(&location.store),
            &url,
            &StorageConfig::default(),
        );
        Ok(Self {
            dataset,
            partition,
            store,
            log,
            writer: Mutex::new(()),
            replay: Mutex::new(Replay::new(dataset)),
            published: RwLock::new(Arc::new(Snapshot::missing(dataset))),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        })
    }

    /// The newest version.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, LakeError> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst);
        let mut replay = self.replay.lock().await;
        if self.answered.load(Ordering::SeqCst) > mine {
            return Ok(Arc::clone(&self.published.read()));
        }
        let answers = self.asked.load(Ordering::SeqCst);
        if replay.refresh(&self.store).await? {
            *self.published.write() = Arc::new(replay.snapshot());
        }
        self.answered.store(answers, Ordering::SeqCst);
        Ok(Arc::clone(&self.published.read()))
    }

    /// The table's layout and the columns that this program would add; `None` where there is no
    /// table yet.
    pub(crate) async fn layout(&self) -> Result<Option<(u64, Vec<String>)>, LakeError> {
        let snapshot = self.snapshot().await?;
        if snapshot.version().is_none() {
            return Ok(None);
        }
        let schema = self.dataset.schema();
        let names = schema.fields().iter().map(|field| field.name());
        let missing = names.filter(|name| !snapshot.columns().contains(name));
        Ok(Some((
            self.replay.lock().await.layout(),
            missing.cloned().collect(),
        )))
    }

    /// Forgets the state, so that the next look reads the log from its newest checkpoint.
    async fn forget(&self) {
        *self.replay.lock().await = Replay::new(self.dataset);
    }

    pub(crate) async fn append(&self, batches: &[Batch]) -> Result<Appended, LakeError> {
        self.store_once(&self.whole(batches)?).await
    }

    /// Whole batches of one node, checked to be that.
    pub(crate) fn whole(&self, batches: &[Batch]) -> Result<Wanted, LakeError> {
        let Some(first) = batches.first() else {
            return Err(self.rows_fault("no batch was given"));
        };
        let mut numbers = batches.iter().map(|b| b.id().number);
        let ascending = numbers.clone().is_sorted_by(|a, b| a < b);
        let ours = batches
            .iter()
            .all(|b| b.dataset() == self.dataset && b.id().node == first.id().node);
        if !ascending || !ours || numbers.next().is_none_or(|n| n < 1) {
            return Err(self.rows_fault("the batches are not a run of one node"));
        }
        Ok(Wanted {
            node: first.id().node.clone(),
            batches: batches.to_vec(),
            part: None,
        })
    }

    pub(crate) async fn append_part(
        &self,
        batch: &Batch,
        rows: Range<i32>,
    ) -> Result<Appended, LakeError> {
        self.store_once(&self.part(batch, rows)?).await
    }

    /// A piece of a batch, checked to be that.
    pub(crate) fn part(&self, batch: &Batch, rows: Range<i32>) -> Result<Wanted, LakeError> {
        if rows.start < 0 || rows.start >= rows.end || rows.end > batch.end() {
            return Err(self.rows_fault("the batch has no such rows"));
        }
        Ok(Wanted {
            node: batch.id().node.clone(),
            batches: vec![batch.clone()],
            part: Some(rows),
        })
    }

    pub(crate) fn rows_fault(&self, reason: &str) -> LakeError {
        LakeError::Rows {
            dataset: self.dataset,
            reason: reason.to_owned(),
        }
    }

    fn delta_fault(&self, source: DeltaTableError) -> LakeError {
        LakeError::Delta {
            dataset: self.dataset,
            source: Box::new(source),
        }
    }

    pub(crate) async fn store_once(&self, wanted: &Wanted) -> Result<Appended, LakeError> {
        let _writer = self.writer.lock().await;
        let mut written: Option<(usize, Vec<AddedFile>)> = None;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.snapshot().await?;
            let Some(version) = snapshot.version() else {
                self.create().await?;
                continue;
            };
            let todo = self.todo(&snapshot, wanted)?;
            if todo.txns.is_empty() {
                self.drop_files(written.map_or_else(Vec::new, |w| w.1))
                    .await;
                return Ok(Appended {
                    version,
                    rows: 0,
                    already: true,
                });
            }
            if self.widen(&snapshot).await? {
                continue;
            }
            if !self.still_there(version).await? {
                continue;
            }
            let partition = self.replay.lock().await.writable()?;
            let count = todo.pieces.iter().map(|p| p.num_rows()).sum();
            let files = match written.take() {
                Some((rows, files)) if rows == count => files,
                other => {
                    self.drop_files(other.map_or_else(Vec::new, |w| w.1)).await;
                    let name = file_name(wanted);
                    put_files(&self.store, self.dataset, (todo.pieces, partition), &name).await?
                }
            };
            let now_ms = SystemClock.now_us() / 1000;
            let bytes = commit::lines(&files, &todo.txns, partition, now_ms);
            match self.commit(version + 1, bytes).await {
                Ok(true) => {
                    self.after_commit(version + 1).await;
                    return Ok(Appended {
                        version: version + 1,
                        rows: count as u64,
                        already: false,
                    });
                }
                Ok(false) => written = Some((count, files)),
                Err(error) => return self.look_again(wanted, count, error).await,
            }
        }
        Err(LakeError::Contended {
            dataset: self.dataset,
            attempts: ATTEMPTS_MAX,
        })
    }

    /// What `snapshot` lacks of what is wanted.
    fn todo(&self, snapshot: &Snapshot, wanted: &Wanted) -> Result<Todo, LakeError> {
        let (node, committed) = (&wanted.node, snapshot.committed(&wanted.node));
        let partial = snapshot.partial(node);
        let mut todo = Todo {
            pieces: Vec::new(),
            txns: Vec::new(),
        };
        for batch in wanted.batches.iter().filter(|b| b.id().number > committed) {
            let number = batch.id().number;
            let settled = snapshot.settled_rows(node, number);
            if partial.is_some_and(|p| p.batch > number) {
                continue;
            }
            let want = wanted.part.clone().unwrap_or(0..batch.end());
            let (start, end) = (want.start.max(settled), want.end);
            if start >= end {
                continue;
            }
            let places = batch.places(start..end);
            if !places.is_empty() {
                let rows = batch.rows().slice(places.start, places.len());
                todo.pieces.push(rows);
            }
            todo.txns.clear();
            if wanted.part.is_some() {
                let progress = part_version(Partial {
                    batch: number,
                    rows_end: end,
                });
                let progress = progress.ok_or_else(|| self.rows_fault("too many batches"))?;
                todo.txns.push((part_app(node, self.dataset), progress));
            }
            if end == batch.end() {
                todo.txns.push((batches_app(node, self.dataset), number));
            }
        }
        Ok(todo)
    }

    /// Puts commit `version`; `false` where there is one already.
    pub(crate) async fn commit(&self, version: u64, bytes: Vec<u8>) -> Result<bool, LakeError> {
        let create = PutOptions::from(PutMode::Create);
        let path = commit_path(version);
        match self.store.put_opts(&path, bytes.into(), create).await {
            Ok(_) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// After a commit whose outcome is not known: was it ours that is there now?
    async fn look_again(
        &self,
        wanted: &Wanted,
        rows: usize,
        error: LakeError,
    ) -> Result<Appended, LakeError> {
        let Ok(snapshot) = self.snapshot().await else {
            return Err(error);
        };
        let done = self.todo(&snapshot, wanted)?.txns.is_empty();
        match snapshot.version() {
            Some(version) if done => Ok(Appended {
                version,
                rows: rows as u64,
                already: false,
            }),
            Some(_) | None => Err(error),
        }
    }

    /// Whether the log still has commit `version`. A process that slept for days may know a
    /// version that others have summed up and cleaned away since; a commit onto it would never be
    /// read.
    pub(crate) async fn still_there(&self, version: u64) -> Result<bool, LakeError> {
        match self.store.head(&commit_path(version)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => {
                self.forget().await;
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes files that no commit names, as far as it goes: readers never see them.
    pub(crate) async fn drop_files(&self, files: Vec<AddedFile>) {
        for file in files {
            let path = object_store::path::Path::from(file.path);
            if let Err(error) = self.store.delete(&path).await {
                tracing::debug!(%error, "lake.orphan.kept");
            }
        }
    }

    /// Creates the table. Where another writer is faster, its table is as good.
    pub(crate) async fn create(&self) -> Result<(), LakeError> {
        let columns = self.fields(&self.dataset.schema())?;
        let properties = [
            (
                "delta.dataSkippingStatsColumns",
                stats::columns(self.dataset).join(","),
            ),
            ("delta.logRetentionDuration", LOG_RETENTION.to_owned()),
            ("delta.checkpointInterval", CHECKPOINT_COMMITS.to_string()),
            (LAYOUT_PROPERTY, LAYOUT.to_string()),
        ];
        let create = CreateBuilder::new()
            .with_log_store(Arc::clone(&self.log))
            .with_table_name(self.dataset.name())
            .with_columns(columns)
            .with_partition_columns(self.partition.columns().iter().copied())
            // Our own property is none that the library knows.
            .with_raise_if_key_not_exists(false)
            .with_configuration(properties.map(|(name, value)| (name, Some(value))));
        let Err(error) = Box::pin(create.into_future()).await else {
            tracing::info!(dataset = %self.dataset, "lake.table.created");
            return Ok(());
        };
        if self.snapshot().await?.version().is_some() {
            return Ok(());
        }
        Err(self.delta_fault(error))
    }

    fn fields(&self, schema: &arrow_schema::Schema) -> Result<Vec<StructField>, LakeError> {
        let table: StructType = schema
            .try_into_kernel()
            .map_err(|e| self.rows_fault(&e.to_string()))?;
        Ok(table.fields().cloned().collect())
    }

    /// Adds the columns that the dataset has and the table lacks; says whether there were any.
    pub(crate) async fn widen(&self, snapshot: &Snapshot) -> Result<bool, LakeError> {
        let schema = self.dataset.schema();
        let known = |name: &str| snapshot.columns().iter().any(|c| c == name);
        let missing: Vec<arrow_schema::Field> = schema
            .fields()
            .iter()
            .filter(|f| !known(f.name()))
            // Older rows have no value there, whatever the column asks of new ones.
            .map(|f| f.as_ref().clone().with_nullable(true))
            .collect();
        if missing.is_empty() {
            return Ok(false);
        }
        let names: Vec<&str> = missing.iter().map(|f| f.name().as_str()).collect();
        tracing::info!(dataset = %self.dataset, columns = names.join(","), "lake.table.widened");
        let fields = self.fields(&arrow_schema::Schema::new(missing.clone()))?;
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        let widen = async {
            table.load().await?;
            table.add_columns().with_fields(fields).await
        };
        let done = Box::pin(widen).await;
        let known = self.snapshot().await?;
        match done {
            // Where another writer was faster, its columns are as good.
            Err(error) if !missing.iter().all(|f| known.columns().contains(f.name())) => {
                Err(self.delta_fault(error))
            }
            Ok(_) | Err(_) => Ok(true),
        }
    }

    /// What may be done once a commit is there; nothing of it can undo the commit.
    pub(crate) async fn after_commit(&self, version: u64) {
        if let Err(error) = self.snapshot().await {
            tracing::debug!(%error, "lake.refresh.failed");
        }
        if !(version + 1).is_multiple_of(CHECKPOINT_COMMITS) {
            return;
        }
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        let sum_up = async {
            table.load_version(version).await?;
            checkpoints::create_checkpoint(&table, None).await?;
            checkpoints::cleanup_metadata(&table, None).await
        };
        match Box::pin(sum_up).await {
            Ok(cleaned) => {
                tracing::debug!(dataset = %self.dataset, version, cleaned, "lake.checkpoint.written");
            }
            Err(error) => {
                tracing::warn!(dataset = %self.dataset, version, %error, "lake.checkpoint.failed");
            }
        }
    }
}

/// What a file is named after: the batches in it, for people who look into the folder.
fn file_name(wanted: &Wanted) -> String {
    let number = |batch: Option<&Batch>| batch.map_or(0, |b| b.id().number);
    let first = number(wanted.batches.first());
    let last = number(wanted.batches.last());
    format!("{}-{first}-{last}", wanted.node)
}

mod rewrite;
#[cfg(test)]
mod tests;
