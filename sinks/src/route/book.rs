//! The routes of one sink over time, kept in one small file.
//!
//! ```text
//! <data-dir>/sinks/<sink>.json    {"layout": 1, "paused": false, "epochs": [
//!     {"from": {"spans": 1, ...}, "route": {...}},
//!     {"from": {"spans": 4711, ...}, "route": {...}}]}
//! ```
//!
//! An epoch holds, for each dataset, from a batch number on, until the next begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use weir_model::Dataset;

use super::Route;
use crate::dead::disk;

pub use crate::dead::DeadError as BookError;

/// One route, and the batches from which on it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Epoch {
    /// By dataset; one that is missing begins with its first batch.
    from: BTreeMap<String, i64>,
    route: Arc<Route>,
}

/// As it is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Body {
    #[serde(default)]
    paused: bool,
    #[serde(default)]
    epochs: Vec<Epoch>,
}

/// The routes of one sink, and whether an operator has paused it.
#[derive(Debug)]
pub struct RouteBook {
    path: PathBuf,
    body: RwLock<Body>,
    writing: Mutex<()>,
    changed: watch::Sender<u64>,
}

impl Epoch {
    fn first(&self, dataset: Dataset) -> i64 {
        self.from.get(dataset.name()).copied().unwrap_or(1)
    }
}

impl RouteBook {
    /// Opens the file of `sink` in `folder`. It blocks for the disk.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is damaged, or was written by a newer version.
    pub fn open(folder: &Path, sink: &str) -> Result<Self, BookError> {
        disk::make_folders(folder)?;
        let path = folder.join(format!("{sink}.json"));
        let body: Option<Body> = disk::read_json(&path)?;
        Ok(Self {
            path,
            body: RwLock::new(body.unwrap_or_default()),
            writing: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    /// Makes `route` hold from now on: for batches behind those that `last_sealed` names. Where it
    /// is the first route ever, it holds from the first batch on, unless `from_now` says that what
    /// was accepted before stays away. `false` where it holds already. It blocks for the disk, and
    /// so do those who want a route meanwhile: no batch is delivered under a route that is not
    /// durable.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; the routes are then as they were.
    pub fn change(
        &self,
        route: Route,
        last_sealed: impl Fn(Dataset) -> i64,
        from_now: bool,
    ) -> Result<bool, BookError> {
        let _writing = self.writing.lock();
        let mut body = self.body.write();
        if body.epochs.last().is_some_and(|last| *last.route == route) {
            return Ok(false);
        }
        let behind = |dataset: Dataset| (dataset.name().to_owned(), last_sealed(dataset) + 1);
        let mut next = body.clone();
        let first = next.epochs.is_empty();
        if first && from_now {
            next.epochs.push(Epoch {
                from: BTreeMap::new(),
                route: Arc::default(),
            });
        }
        let from = if first && !from_now {
            BTreeMap::new()
        } else {
            Dataset::ALL.map(behind).into_iter().collect()
        };
        next.epochs.push(Epoch {
            from,
            route: Arc::new(route),
        });
        disk::write_json(&self.path, &next)?;
        *body = next;
        drop(body);
        self.changed.send_modify(|n| *n += 1);
        Ok(true)
    }

    /// The route of batch `number`, and the last batch that it is certain to hold for: `None` while
    /// no later route is there.
    pub fn of(&self, dataset: Dataset, number: i64) -> (Arc<Route>, Option<i64>) {
        let body = self.body.read();
        // The last epoch that has begun; a later one that begins at the same batch replaces it.
        let at = body.epochs.iter().rposition(|e| e.first(dataset) <= number);
        let Some(epoch) = at.and_then(|at| body.epochs.get(at)) else {
            return (Arc::default(), None);
        };
        let later = body.epochs.iter().skip(at.map_or(0, |at| at + 1));
        let until = later.map(|e| e.first(dataset) - 1).min();
        (Arc::clone(&epoch.route), until)
    }

    /// The route that holds for what comes next; the one that takes nothing before there is any.
    pub fn current(&self) -> Arc<Route> {
        let body = self.body.read();
        body.epochs
            .last()
            .map(|e| Arc::clone(&e.route))
            .unwrap_or_default()
    }

    /// Whether an operator has paused the sink.
    pub fn is_paused(&self) -> bool {
        self.body.read().paused
    }

    /// Pauses the sink, or lets it go on; durable when it returns. It blocks for the disk.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; nothing has changed then.
    pub fn pause(&self, paused: bool) -> Result<(), BookError> {
        let _writing = self.writing.lock();
        let mut next = self.body.read().clone();
        next.paused = paused;
        disk::write_json(&self.path, &next)?;
        *self.body.write() = next;
        self.changed.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Told after each change.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
