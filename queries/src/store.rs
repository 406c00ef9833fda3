//! The object stores that queries can reach: those of the lakes, each for its tenants.

use std::sync::Arc;
use std::time::{Duration, Instant};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::cache::cache_manager::{CacheManager, CacheManagerConfig};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use parking_lot::Mutex;
use url::Url;
use weir_lake::{Lake, LakeError, Lakes, Snapshot};
use weir_model::{Dataset, TenantId};

use crate::QueryError;
use crate::lake_scan::LakeAccess;

/// The address under which plans name the lake. It says nothing of where the lake is.
pub(crate) const LAKE_URL: &str = "lake://tables";

/// How long a query waits for a lake that only its tenant uses; it holds a place meanwhile that
/// others may want.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how long such a lake is not asked again that gave no answer.
const AWAY: Duration = Duration::from_secs(5);

/// A lake, and how its files are reached.
#[derive(Debug)]
pub(crate) struct Place {
    lake: Arc<Lake>,
    pub(crate) access: Arc<LakeAccess>,
    /// When it gave no answer, of a lake that some tenants have for themselves.
    away: Option<Mutex<Option<Instant>>>,
}

impl Place {
    /// The newest version of the dataset's table.
    ///
    /// # Errors
    ///
    /// Where the log cannot be read: an answer would miss rows.
    pub(crate) async fn snapshot(&self, dataset: Dataset) -> Result<Arc<Snapshot>, QueryError> {
        let Some(away) = &self.away else {
            return told(dataset, self.lake.snapshot(dataset).await);
        };
        {
            let mut since = away.lock();
            if since.is_some_and(|at| at.elapsed() < AWAY) {
                return Err(QueryError::unavailable());
            }
            // Of all that ask now, one finds out; a lake that has answered is asked by all.
            if let Some(at) = since.as_mut() {
                *at = Instant::now();
            }
        }
        let asked = tokio::time::timeout(PATIENCE, self.lake.snapshot(dataset)).await;
        let found = asked.map_err(|_| QueryError::unavailable());
        let found = found.and_then(|found| told(dataset, found));
        *away.lock() = found.is_err().then(Instant::now);
        found
    }
}

/// What became of a look at a table's log.
fn told(
    dataset: Dataset,
    found: Result<Arc<Snapshot>, LakeError>,
) -> Result<Arc<Snapshot>, QueryError> {
    found.map_err(|error| {
        tracing::warn!(%dataset, error = %error, "query.snapshot.unreadable");
        QueryError::unavailable()
    })
}

/// The lakes, and how the files of each are reached.
#[derive(Debug)]
pub(crate) struct Stores {
    lakes: Lakes,
    /// In the order of [`Lakes::all`].
    places: Vec<Place>,
}

impl Stores {
    /// The stores of `lakes`, which keep at most `footer_bytes` of parsed footers together.
    ///
    /// # Errors
    ///
    /// Where a lake's URL has no path, with which it could not have been opened.
    pub(crate) fn new(lakes: &Lakes, footer_bytes: usize) -> Result<Self, QueryError> {
        // Each lake has footers of its own: a file's name is unique within one.
        let own = lakes.own().count();
        let bytes = |place: usize| match (own, place) {
            (0, _) => footer_bytes,
            (_, 0) => footer_bytes / 2,
            (own, _) => footer_bytes / 2 / own,
        };
        let place = |(number, lake): (usize, &Arc<Lake>)| {
            let cache = CacheManagerConfig::default().with_metadata_cache_limit(bytes(number));
            let access = LakeAccess {
                store: rooted(lake)?,
                footers: CacheManager::try_new(&cache)?.get_file_metadata_cache(),
            };
            Ok(Place {
                lake: Arc::clone(lake),
                access: Arc::new(access),
                away: (number > 0).then(Mutex::default),
            })
        };
        let places = lakes.all().enumerate().map(place);
        Ok(Self {
            places: places.collect::<Result<_, QueryError>>()?,
            lakes: lakes.clone(),
        })
    }

    /// The lakes that may hold rows of `tenant`, in the order in which they are to be read.
    pub(crate) fn of(&self, tenant: &TenantId) -> impl Iterator<Item = &Place> {
        let theirs: Vec<&Arc<Lake>> = self.lakes.of(tenant).collect();
        let places = self.places.iter();
        places.filter(move |place| theirs.iter().any(|of| Arc::ptr_eq(of, &place.lake)))
    }

    /// The store of the default lake.
    ///
    /// # Errors
    ///
    /// Never: there always is one.
    pub(crate) fn shared(&self) -> Result<Arc<dyn ObjectStore>, QueryError> {
        let place = self.places.first().ok_or_else(QueryError::internal)?;
        Ok(Arc::clone(&place.access.store))
    }
}

/// The lake's store with the lake as its root: a plan names files from there on, and not the
/// folder or the bucket that this server keeps them in.
fn rooted(lake: &Lake) -> Result<Arc<dyn ObjectStore>, QueryError> {
    let root = Path::from_url_path(lake.url().path()).map_err(|_| QueryError::internal())?;
    Ok(Arc::new(PrefixStore::new(lake.store(), root)))
}

/// Knows the lake's store and refuses every other address, so that no plan can reach the local
/// disk or another bucket, whatever else slips through.
#[derive(Debug)]
pub(crate) struct OnlyLake {
    store: Arc<dyn ObjectStore>,
}

impl OnlyLake {
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// The lake's address, parsed.
    pub(crate) fn url() -> Result<ObjectStoreUrl> {
        ObjectStoreUrl::parse(LAKE_URL)
    }
}

impl ObjectStoreRegistry for OnlyLake {
    fn register_store(&self, _: &Url, _: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == "lake" {
            Ok(Arc::clone(&self.store))
        } else {
            Err(DataFusionError::Plan("this address is off".into()))
        }
    }
}
