//! Files of SQLite as a destination: what `sqlite3` or any browser of databases opens.
//!
//! A table for each dataset has the columns of the model's schema. Days and times are text
//! (`2026-11-21`, RFC 3339 with six digits, which sort as the times do and which SQLite's own
//! functions read), exact nanoseconds stand beside them as integers; money is a decimal number as
//! text with all its digits (`sum()` takes it, as a double); lists, maps and structs are JSON text;
//! a boolean is 0 or 1. Text is stored as it is, with NUL characters, though some tools show it
//! only up to the first. A double is a REAL in a column that takes any value (a REAL column would lose the sign
//! of -0.0), and NULL where it is not a number.
//!
//! # Invariants
//!
//! * Rows and the record of which batches they are of are one transaction: a run is in a file
//!   whole, and once, or not at all.
//! * One thread writes; `synchronous` is `FULL`, so a receipt outlives a power cut.
//! * A file of a newer weir, or of another program, is not touched.

mod cells;
mod error;
mod file;
mod layout;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId, TenantId};

pub use error::SqliteError;

use self::writer::Writer;
use crate::{Engine, Part, Receipt, Sink, SinkError};

/// The ending of a tenant's file.
const ENDING: &str = "db";

/// Where the rows go, and in which portions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The file; with `per_tenant` the folder of the files. Folders above it must be there.
    pub path: String,
    /// A file for each tenant, `<tenant>.db` in the folder `path`, instead of one for all. A run
    /// is then one transaction per file: another tenant's rows may be seen a moment earlier.
    pub per_tenant: bool,
    /// How long a write waits for another program that is writing to the file.
    pub busy_timeout: Duration,
    /// Rows of a transaction; one batch is always taken, however large.
    pub rows_max: u64,
    /// Bytes in memory of a transaction's rows.
    pub bytes_max: u64,
    /// How long the first row of a transaction waits for others: each transaction costs a sync of
    /// the disk.
    pub gather: Duration,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            path: "weir.db".to_owned(),
            per_tenant: false,
            busy_timeout: Duration::from_secs(5),
            rows_max: 16 * 1024,
            bytes_max: 16 * 1024 * 1024,
            gather: Duration::from_millis(250),
        }
    }
}

impl SqliteConfig {
    fn tenant_file(&self, tenant: &str) -> PathBuf {
        Path::new(&self.path).join(format!("{tenant}.{ENDING}"))
    }

    /// The files that are there.
    fn files(&self) -> Result<Vec<PathBuf>, SqliteError> {
        if !self.per_tenant {
            return Ok(vec![PathBuf::from(&self.path)]);
        }
        let failed = |source| SqliteError::Folder {
            path: PathBuf::from(&self.path),
            source,
        };
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if is_tenants(&path) {
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// Whether a file has the name of a tenant's.
fn is_tenants(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    path.extension().is_some_and(|ending| ending == ENDING)
        && stem.is_some_and(|stem| TenantId::new(stem).is_ok())
}

/// The statements that make an empty file's tables, as [`SqliteSink`] does by itself. They are the
/// same for every configuration.
pub fn ddl(_config: &SqliteConfig) -> String {
    layout::script()
}

/// Writes to files of SQLite.
#[derive(Clone, Debug)]
pub struct SqliteSink {
    name: Arc<str>,
    config: Arc<SqliteConfig>,
    writer: Writer,
}

impl SqliteSink {
    /// A sink called `name`. No file is opened or made.
    ///
    /// # Errors
    ///
    /// Where the thread that writes cannot be started.
    pub fn new(name: &str, config: SqliteConfig) -> Result<Self, SinkError> {
        let config = Arc::new(config);
        let writer = Writer::start(name, Arc::clone(&config))?;
        Ok(Self {
            name: Arc::from(name),
            config,
            writer,
        })
    }

    /// Asks each file, on a thread that may block, on connections of their own: the writer goes
    /// on meanwhile.
    async fn ask_files<T: Send + 'static>(
        &self,
        ask: impl Fn(&Path, Duration) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<Vec<T>, SinkError> {
        let config = Arc::clone(&self.config);
        let asked = tokio::task::spawn_blocking(move || {
            let files = config.files()?;
            let answers = files.iter().map(|path| ask(path, config.busy_timeout));
            answers.collect::<Result<Vec<T>, SqliteError>>()
        });
        Ok(asked.await.map_err(|_| SqliteError::Thread)??)
    }
}

#[async_trait]
impl Sink for SqliteSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn appetite(&self) -> Want {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Want {
            rows_max: size(self.config.rows_max),
            bytes_max: size(self.config.bytes_max),
            gather: self.config.gather,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        self.writer.probe().await?;
        Ok(Engine {
            name: "sqlite".to_owned(),
            version: rusqlite::version().to_owned(),
        })
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let rows = self.writer.write(run.to_vec()).await?;
        Ok(Receipt {
            rows,
            place: self.config.path.clone(),
        })
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        let node = node.clone();
        let ask = move |path: &Path, busy| file::last_batch(path, busy, dataset, &node);
        let last = self.ask_files(ask).await?;
        Ok(last.into_iter().flatten().max())
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        let node = node.clone();
        let ask = move |path: &Path, busy| file::count(path, busy, dataset, &node);
        let counts = self.ask_files(ask).await?;
        Ok(counts.into_iter().sum())
    }
}
