//! The default lake, and lakes of single tenants that lie elsewhere.
//!
//! ```text
//!             .-- rows of acme ----> acme's lake   txn 41..43     first, all at once
//! batches ----+-- rows of umbra ---> umbra's lake  txn 41..43
//!  41 42 43   '-- all others ------> default       txn 41..43     last: now they are settled
//! ```
//!
//! # Invariants
//!
//! * A row of a tenant with a lake of its own is handed to that lake and to no other.
//! * The default lake is written last and hears of every batch, also of one of which it gets no
//!   row: what it says is settled is stored in all lakes. So it alone says how far a node is, and
//!   what it held before a tenant had a lake of its own is not stored there a second time.
//! * Each lake keeps its own account of batches, so that a replay adds nothing to the lakes that
//!   have a batch while it brings the others up.
//! * Whoever reads takes the default lake's snapshot first, then the tenant's: what the first says
//!   is settled is in the second.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use futures::future;
use url::Url;
use weir_model::{Batch, Classify as _, Dataset, Fault, FoundLayout, NodeId, TenantId};

use crate::table::Wanted;
use crate::{Appended, Lake, LakeConfig, LakeError};

/// A lake of some tenants.
#[derive(Clone, Debug)]
struct Own {
    lake: Arc<Lake>,
    tenants: BTreeSet<TenantId>,
}

/// Where rows lie: the default lake, and those of tenants that have one of their own. Clones share
/// them.
#[derive(Clone, Debug)]
pub struct Lakes {
    default: Arc<Lake>,
    own: Vec<Own>,
}

impl From<Arc<Lake>> for Lakes {
    fn from(default: Arc<Lake>) -> Self {
        Self {
            default,
            own: Vec::new(),
        }
    }
}

impl Lakes {
    /// The configured lakes, of which nothing is asked yet; local folders are made. Tenants whose
    /// configuration is the same share a lake.
    ///
    /// # Errors
    ///
    /// [`LakeError::Location`] where a place cannot be used, or two of them lie in each other; the
    /// rows of one would be taken for those of the other. [`LakeError::Option`] for options that
    /// no store knows.
    pub fn configured(
        default: &LakeConfig,
        own: &BTreeMap<TenantId, LakeConfig>,
    ) -> Result<Self, LakeError> {
        let mut lakes = Self::from(Arc::new(Lake::configured(default)?));
        let mut places: Vec<(&LakeConfig, BTreeSet<TenantId>)> = Vec::new();
        for (tenant, config) in own {
            match places.iter_mut().find(|(known, _)| *known == config) {
                Some((_, tenants)) => {
                    tenants.insert(tenant.clone());
                }
                None => places.push((config, BTreeSet::from([tenant.clone()]))),
            }
        }
        for (config, tenants) in places {
            lakes = lakes.with_own(Arc::new(Lake::configured(config)?), tenants)?;
        }
        Ok(lakes)
    }

    /// The same with a lake for `tenants`.
    ///
    /// # Errors
    ///
    /// [`LakeError::Location`] where it lies in another one, or that in it.
    pub fn with_own(
        mut self,
        lake: Arc<Lake>,
        tenants: BTreeSet<TenantId>,
    ) -> Result<Self, LakeError> {
        if self.all().any(|other| overlap(other.url(), lake.url())) {
            return Err(LakeError::Location {
                url: lake.url().to_string(),
                reason: "it lies in another tenant's lake or in the default one, or that in it; \
                         each lake wants a folder of its own"
                    .to_owned(),
            });
        }
        self.own.push(Own { lake, tenants });
        Ok(self)
    }

    /// The lake of all who have none of their own.
    pub fn shared(&self) -> &Arc<Lake> {
        &self.default
    }

    /// The lakes of single tenants, with whose they are.
    pub fn own(&self) -> impl Iterator<Item = (&Arc<Lake>, &BTreeSet<TenantId>)> {
        self.own.iter().map(|own| (&own.lake, &own.tenants))
    }

    /// All lakes, the default one first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Lake>> {
        std::iter::once(&self.default).chain(self.own.iter().map(|own| &own.lake))
    }

    /// The lakes that may hold rows of `tenant`: the default one, which has those from before the
    /// tenant had its own, and then its own. To be read in this order.
    pub fn of(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<Lake>> {
        let own = self.own.iter().filter(|own| own.tenants.contains(tenant));
        std::iter::once(&self.default).chain(own.map(|own| &own.lake))
    }

    /// Stores consecutive batches of one node, each row in its tenant's lake, in one commit for
    /// each lake; what a lake already holds it does not get again.
    ///
    /// # Errors
    ///
    /// As [`Lake::append`], for any of the lakes; the default one has not settled the batches then,
    /// and the same call may be made again. Some lakes may hold their rows already.
    ///
    /// # Cancel safety
    ///
    /// As [`Lake::append`].
    pub async fn append(&self, dataset: Dataset, batches: &[Batch]) -> Result<Appended, LakeError> {
        let wanted = self.default.table(dataset)?.whole(batches)?;
        self.store(dataset, wanted).await
    }

    /// Stores rows of one batch by their `_row`, as [`Lake::append_part`] does.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_part(
        &self,
        batch: &Batch,
        rows: Range<i32>,
    ) -> Result<Appended, LakeError> {
        let dataset = batch.dataset();
        let wanted = self.default.table(dataset)?.part(batch, rows)?;
        self.store(dataset, wanted).await
    }

    async fn store(&self, dataset: Dataset, wanted: Wanted) -> Result<Appended, LakeError> {
        let table = self.default.table(dataset)?;
        if self.own.is_empty() {
            return table.store_once(&wanted).await;
        }
        let settled = table.snapshot().await?;
        let mut shares = self.split(dataset, wanted).await?.into_iter();
        let rest = shares.next().ok_or(LakeError::Stopped)?;
        let stores = self.own.iter().zip(shares).map(|(own, mut share)| {
            share.leave_out(&settled);
            async move { own.store(dataset, &share).await }
        });
        // All of them, though one fails: those that can are brought up.
        let rows = stored(future::join_all(stores).await)?;
        let done = table.store_once(&rest).await?;
        Ok(Appended {
            version: done.version,
            rows: rows + done.rows,
            already: done.already && rows == 0,
        })
    }

    /// What each lake gets, the default one first.
    async fn split(&self, dataset: Dataset, wanted: Wanted) -> Result<Vec<Wanted>, LakeError> {
        let tenants: Vec<BTreeSet<TenantId>> =
            self.own.iter().map(|own| own.tenants.clone()).collect();
        let split = move || {
            let mut place_of = HashMap::new();
            for (own, tenants) in tenants.iter().enumerate() {
                place_of.extend(tenants.iter().map(|tenant| (tenant.as_str(), own + 1)));
            }
            wanted.split(&place_of, tenants.len() + 1)
        };
        let split = tokio::task::spawn_blocking(split).await;
        let split = split.map_err(|_| LakeError::Stopped)?;
        split.map_err(|error| LakeError::Rows {
            dataset,
            reason: error.to_string(),
        })
    }

    /// The number of the last batch of `node` that is settled in all lakes; `None` where none is.
    ///
    /// # Errors
    ///
    /// Where the default lake cannot be read.
    pub async fn last_batch(
        &self,
        dataset: Dataset,
        node: &NodeId,
    ) -> Result<Option<i64>, LakeError> {
        self.default.last_batch(dataset, node).await
    }

    /// The highest number of a batch of `node` that any lake holds rows of, whether or not the
    /// others do: no later batch may have it, or one below it. `None` where there is none.
    ///
    /// # Errors
    ///
    /// Where a lake cannot be read.
    pub async fn high_water(
        &self,
        dataset: Dataset,
        node: &NodeId,
    ) -> Result<Option<i64>, LakeError> {
        let highest = |lake: Arc<Lake>| async move {
            let snapshot = lake.snapshot(dataset).await?;
            let begun = snapshot.partial(node).map(|partial| partial.batch);
            let last = snapshot.committed(node);
            Ok::<_, LakeError>(begun.into_iter().chain((last > 0).then_some(last)).max())
        };
        let all = future::try_join_all(self.all().map(Arc::clone).map(highest)).await?;
        Ok(all.into_iter().flatten().max())
    }

    /// How many rows of `node` each batch from `from_batch` to `to_batch` (both included) has in
    /// all lakes together; see [`Lake::count_rows`].
    ///
    /// # Errors
    ///
    /// Where a log or a file of any lake cannot be read.
    pub async fn count_rows(
        &self,
        dataset: Dataset,
        node: &NodeId,
        from_batch: i64,
        to_batch: i64,
    ) -> Result<BTreeMap<i64, u64>, LakeError> {
        let mut counts = BTreeMap::new();
        for lake in self.all() {
            for (batch, rows) in lake.count_rows(dataset, node, from_batch, to_batch).await? {
                *counts.entry(batch).or_insert(0) += rows;
            }
        }
        Ok(counts)
    }

    /// Which layouts the tables of all lakes have; nothing is changed.
    ///
    /// # Errors
    ///
    /// Where a table's log cannot be read.
    pub async fn layouts(&self) -> Result<Vec<FoundLayout>, LakeError> {
        let mut found = Vec::new();
        for lake in self.all() {
            found.extend(lake.layouts().await?);
        }
        Ok(found)
    }
}

impl Own {
    /// Stores a share, where there is something of it to store.
    async fn store(&self, dataset: Dataset, share: &Wanted) -> Result<u64, LakeError> {
        let done = async {
            let table = self.lake.table(dataset)?;
            if !share.has_rows() && !ends_begun(share, dataset, &self.lake).await? {
                return Ok(0);
            }
            Ok(table.store_once(share).await?.rows)
        };
        done.await.map_err(|source| self.fault(source))
    }

    fn fault(&self, source: LakeError) -> LakeError {
        let tenants: Vec<&str> = self.tenants.iter().map(TenantId::as_str).collect();
        LakeError::Own {
            tenants: tenants.join(", "),
            source: Box::new(source),
        }
    }
}

/// Whether a batch ends with `share` that the lake holds the beginning of. It has to hear of that,
/// though it gets no more rows: until then those that it has are not a whole batch.
async fn ends_begun(share: &Wanted, dataset: Dataset, lake: &Lake) -> Result<bool, LakeError> {
    let Some(number) = share.ends() else {
        return Ok(false);
    };
    let snapshot = lake.snapshot(dataset).await?;
    let begun = snapshot.partial(&share.node);
    Ok(begun.is_some_and(|partial| partial.batch == number))
}

/// The rows that all have stored. Of several faults one that may pass is told first: only what
/// fails for good everywhere may be given up.
fn stored(all: Vec<Result<u64, LakeError>>) -> Result<u64, LakeError> {
    let mut rows = 0;
    let mut fault: Option<LakeError> = None;
    for one in all {
        match one {
            Ok(stored) => rows += stored,
            Err(error) => {
                let worse = matches!(error.fault(), Fault::Transient { .. });
                if worse || fault.is_none() {
                    fault = Some(error);
                }
            }
        }
    }
    fault.map_or(Ok(rows), Err)
}

/// Whether one place lies in the other, also where the one is spelt `s3` or `abfs` and the other
/// `s3a` or `abfss`.
fn overlap(one: &Url, other: &Url) -> bool {
    let kind = |url: &Url| url.scheme().trim_end_matches(['a', 's']).to_owned();
    let same = kind(one) == kind(other) && one.host_str() == other.host_str();
    same && (one.path().starts_with(other.path()) || other.path().starts_with(one.path()))
}

#[cfg(test)]
mod tests;
