//! The one thread that writes, and the files that it has open.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::file::File;
use super::{SqliteConfig, SqliteError};
use crate::sql::by_tenant;
use crate::{Part, SinkError};

/// Calls that wait for the thread: one for each dataset, and a little more. A further one waits
/// outside.
const WAITING_MAX: usize = 16;

/// Files that are open at once where each tenant has its own; a file takes three descriptors.
const OPEN_MAX: usize = 64;

type Job = Box<dyn FnOnce(&mut Files) + Send>;

/// Hands work to the thread, which ends when the last of its handles is gone.
#[derive(Clone, Debug)]
pub(super) struct Writer(mpsc::Sender<Job>);

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// Where the system gives none.
    pub(super) fn start(name: &str, config: Arc<SqliteConfig>) -> Result<Self, SqliteError> {
        let (jobs, mut work) = mpsc::channel::<Job>(WAITING_MAX);
        let thread = std::thread::Builder::new().name(format!("sink-{name}"));
        let run = move || {
            let mut files = Files {
                config,
                open: HashMap::new(),
            };
            while let Some(job) = work.blocking_recv() {
                job(&mut files);
            }
        };
        thread.spawn(run).map_err(|_| SqliteError::Thread)?;
        Ok(Self(jobs))
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Files) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SinkError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |files| {
            // Nobody may wait any more; the work is done all the same.
            answer.send(work(files)).ok();
        });
        let sent = self.0.send(job).await;
        sent.map_err(|_| SqliteError::Thread)?;
        Ok(answered.await.map_err(|_| SqliteError::Thread)??)
    }

    /// Writes `run`; gives the number of rows that were not there before.
    ///
    /// # Errors
    ///
    /// The run may be offered again; in files of single tenants some of it may be stored.
    pub(super) async fn write(&self, run: Vec<Part>) -> Result<u64, SinkError> {
        self.ask(move |files| files.write(&run)).await
    }

    /// Opens what is there to be opened, and makes the one file where there is one for all.
    ///
    /// # Errors
    ///
    /// Where nothing could be written.
    pub(super) async fn probe(&self) -> Result<(), SinkError> {
        self.ask(Files::probe).await
    }
}

/// The files that are open, by tenant; under no name the one for all.
struct Files {
    config: Arc<SqliteConfig>,
    open: HashMap<Option<String>, File>,
}

impl Files {
    fn write(&mut self, run: &[Part]) -> Result<u64, SqliteError> {
        if !self.config.per_tenant {
            return self.write_to(None, run);
        }
        let mut tenants: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        for part in run {
            for (tenant, _) in by_tenant(&part.rows())? {
                tenants.entry(tenant).or_default().push(part.clone());
            }
        }
        let mut rows = 0;
        for (tenant, parts) in tenants {
            rows += self.write_to(Some(&tenant), &parts)?;
        }
        Ok(rows)
    }

    fn write_to(&mut self, tenant: Option<&str>, run: &[Part]) -> Result<u64, SqliteError> {
        let key = tenant.map(str::to_owned);
        let mut file = match self.open.remove(&key) {
            Some(file) => file,
            None => self.open(tenant)?,
        };
        // After a failure it is opened anew: what happened to the disk may have happened to it.
        let rows = file.write(run, tenant)?;
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
        }
        self.open.insert(key, file);
        Ok(rows)
    }

    fn open(&self, tenant: Option<&str>) -> Result<File, SqliteError> {
        let config = &self.config;
        let Some(tenant) = tenant else {
            return File::open(Path::new(&config.path), config.busy_timeout);
        };
        std::fs::create_dir_all(&config.path).map_err(|source| SqliteError::Folder {
            path: PathBuf::from(&config.path),
            source,
        })?;
        File::open(&config.tenant_file(tenant), config.busy_timeout)
    }

    fn probe(&mut self) -> Result<(), SqliteError> {
        if !self.config.per_tenant {
            let file = self.open(None)?;
            self.open.insert(None, file);
            return Ok(());
        }
        std::fs::create_dir_all(&self.config.path).map_err(|source| SqliteError::Folder {
            path: PathBuf::from(&self.config.path),
            source,
        })?;
        for path in self.config.files()? {
            File::open(&path, self.config.busy_timeout)?;
        }
        Ok(())
    }
}
