//! A lease: which of several nodes does a duty that one at a time should do.
//!
//! ```text
//! _weir/<name>/00000000000000000007.json    {"holder":"...","beat":41,"lease_ms":15000}
//! ```
//!
//! Whoever creates the object of the next term holds the lease: a put that must create has one
//! winner. The holder writes its object again with a higher beat; who sees the same beat for as
//! long as the lease lasts, by its own steady clock, begins the next term. No two clocks are
//! compared, and no store is asked for more than creating, reading and listing.
//!
//! A lease keeps two nodes from working against each other for nothing. It does not keep a holder
//! that slept from writing; what is written has to be fenced by itself (see [`crate::Derived`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use serde::{Deserialize, Serialize};

use crate::{Lake, LakeError};

/// Who holds the lease after a look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// We do, until the lease's length from now.
    Held {
        /// How often the lease has changed hands.
        term: u64,
    },
    /// Another node does, or has just taken it.
    Other {
        /// Its name, where it could be read.
        holder: String,
    },
}

/// What stands in a term's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Term {
    holder: String,
    beat: u64,
    lease_ms: u64,
    #[serde(default)]
    released: bool,
}

/// One node's view of a lease.
#[derive(Debug)]
pub struct Lease {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    holder: String,
    length: Duration,
    /// The term that is ours, and its last beat.
    mine: Option<(u64, u64)>,
    /// The last term and beat of another that we saw, and since when.
    seen: Option<(u64, u64, Instant)>,
}

impl Lease {
    /// The lease called `name` beside the tables of `lake`, for the node `holder`, whose name no
    /// other running process has. Nothing is read or written yet.
    pub fn new(lake: &Lake, name: &str, holder: &str, length: Duration) -> Self {
        Self {
            store: lake.store(),
            folder: lake.beside(name),
            holder: holder.to_owned(),
            length,
            mine: None,
            seen: None,
        }
    }

    /// Looks at the lease; keeps it, takes it, or learns who has it. To be called about three times
    /// in the length of the lease.
    ///
    /// # Errors
    ///
    /// Where the store does not answer; whether the lease is held is not known then.
    pub async fn turn(&mut self) -> Result<Standing, LakeError> {
        let newest = self.newest().await?;
        if let Some((term, beat)) = self.mine {
            if newest == Some(term) {
                self.write(term, beat + 1, false).await?;
                self.mine = Some((term, beat + 1));
                return Ok(Standing::Held { term });
            }
            self.mine = None;
        }
        let Some(newest) = newest else {
            return self.begin(1).await;
        };
        let found = self.read(newest).await?;
        let ours = found
            .as_ref()
            .is_none_or(|t| t.holder == self.holder || t.released);
        if ours {
            // The same name is the same data directory, whose last process has ended.
            return self.begin(newest + 1).await;
        }
        let Some(found) = found else {
            return self.begin(newest + 1).await;
        };
        match self.seen {
            Some((term, beat, since)) if (term, beat) == (newest, found.beat) => {
                if since.elapsed() >= Duration::from_millis(found.lease_ms) {
                    return self.begin(newest + 1).await;
                }
            }
            Some(_) | None => self.seen = Some((newest, found.beat, Instant::now())),
        }
        Ok(Standing::Other {
            holder: found.holder,
        })
    }

    /// Gives the lease up, so that another need not wait for its end.
    ///
    /// # Errors
    ///
    /// Where the store does not answer; the lease then ends by itself.
    pub async fn release(&mut self) -> Result<(), LakeError> {
        if let Some((term, beat)) = self.mine.take() {
            self.write(term, beat + 1, true).await?;
        }
        Ok(())
    }

    fn path(&self, term: u64) -> Path {
        self.folder.clone().join(format!("{term:020}.json"))
    }

    async fn newest(&self) -> Result<Option<u64>, LakeError> {
        let terms = self.terms().await?;
        Ok(terms.into_iter().max())
    }

    async fn terms(&self) -> Result<Vec<u64>, LakeError> {
        let objects: Vec<_> = self.store.list(Some(&self.folder)).try_collect().await?;
        let names = objects.iter().filter_map(|o| o.location.filename());
        let terms = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok());
        Ok(terms.collect())
    }

    async fn read(&self, term: u64) -> Result<Option<Term>, LakeError> {
        match self.store.get(&self.path(term)).await {
            // What cannot be read was never whole: a term whose holder did not get far.
            Ok(found) => Ok(serde_json::from_slice(&found.bytes().await?).ok()),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn term(&self, beat: u64, released: bool) -> Vec<u8> {
        let term = Term {
            holder: self.holder.clone(),
            beat,
            lease_ms: u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX),
            released,
        };
        serde_json::to_vec(&term).unwrap_or_default()
    }

    async fn write(&self, term: u64, beat: u64, released: bool) -> Result<(), LakeError> {
        let bytes = self.term(beat, released);
        self.store.put(&self.path(term), bytes.into()).await?;
        Ok(())
    }

    async fn begin(&mut self, term: u64) -> Result<Standing, LakeError> {
        let create = PutOptions::from(PutMode::Create);
        let bytes = self.term(0, false).into();
        match self.store.put_opts(&self.path(term), bytes, create).await {
            Ok(_) => {}
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => {
                let holder = self.read(term).await?.map(|t| t.holder).unwrap_or_default();
                return Ok(Standing::Other { holder });
            }
            Err(error) => return Err(error.into()),
        }
        self.mine = Some((term, 0));
        self.seen = None;
        for old in self.terms().await?.into_iter().filter(|t| *t < term) {
            if let Err(error) = self.store.delete(&self.path(old)).await {
                tracing::debug!(%error, "lake.lease.kept");
            }
        }
        Ok(Standing::Held { term })
    }
}

#[cfg(test)]
mod tests;
