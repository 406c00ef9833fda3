//! The entries of the ledger's own order: objects beside the table, numbered densely.

use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use weir_lake::Lake;

use crate::LedgerError;
use crate::prices::Reprice;

/// How often a number is tried that others take at the same time.
const ATTEMPTS_MAX: i64 = 100;

/// The entries that are known here.
#[derive(Debug)]
pub(crate) struct Order {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    entries: Vec<Reprice>,
    /// Whether the last one is only tried.
    tried: bool,
}

impl Order {
    pub(crate) fn new(lake: &Lake) -> Self {
        Self {
            store: lake.store(),
            folder: lake.beside("ledger/entries"),
            entries: Vec::new(),
            tried: false,
        }
    }

    fn path(&self, number: i64) -> Path {
        self.folder.clone().join(format!("{number:012}.json"))
    }

    async fn read(&self, number: i64) -> Result<Option<Reprice>, LedgerError> {
        match self.store.get(&self.path(number)).await {
            Ok(found) => serde_json::from_slice(&found.bytes().await?)
                .map(Some)
                .map_err(|_| LedgerError::Entry { number }),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads entries up to `number`, which are applied.
    pub(crate) async fn load(&mut self, number: i64) -> Result<(), LedgerError> {
        let mut known = i64::try_from(self.entries.len()).unwrap_or(i64::MAX);
        while known < number {
            known += 1;
            let entry = self.read(known).await?;
            let entry = entry.ok_or(LedgerError::Entry { number: known })?;
            self.entries.push(entry);
        }
        Ok(())
    }

    /// The entry after `applied`, where there is one; it is known from now on.
    pub(crate) async fn next(&mut self, applied: i64) -> Result<Option<Reprice>, LedgerError> {
        let known = usize::try_from(applied).unwrap_or(usize::MAX);
        if let Some(entry) = self.entries.get(known) {
            return Ok(Some(entry.clone()));
        }
        let entry = self.read(applied + 1).await?;
        self.entries.extend(entry.clone());
        Ok(entry)
    }

    /// All that are known.
    pub(crate) fn entries(&self) -> &[Reprice] {
        &self.entries
    }

    /// Tries an entry as the next one, or ends that.
    pub(crate) fn pretend(&mut self, entry: Option<Reprice>) {
        if std::mem::take(&mut self.tried) {
            self.entries.pop();
        }
        if let Some(entry) = entry {
            self.entries.push(entry);
            self.tried = true;
        }
    }

    /// Makes the next entry and gives its number.
    pub(crate) async fn append(&self, after: i64, entry: &Reprice) -> Result<i64, LedgerError> {
        let bytes = serde_json::to_vec_pretty(entry).map_err(std::io::Error::from)?;
        for number in after + 1..after + ATTEMPTS_MAX {
            let create = PutOptions::from(PutMode::Create);
            let path = self.path(number);
            let put = self.store.put_opts(&path, bytes.clone().into(), create);
            match put.await {
                Ok(_) => return Ok(number),
                Err(
                    object_store::Error::AlreadyExists { .. }
                    | object_store::Error::Precondition { .. },
                ) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(LedgerError::Entry {
            number: after + ATTEMPTS_MAX,
        })
    }
}
