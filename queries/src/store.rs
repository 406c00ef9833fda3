//! The one object store that queries can reach.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;
use weir_lake::Lake;

use crate::QueryError;

/// The address under which plans name the lake. It says nothing of where the lake is.
pub(crate) const LAKE_URL: &str = "lake://tables";

/// The lake's store with the lake as its root: a plan names files from there on, and not the
/// folder or the bucket that this server keeps them in.
///
/// # Errors
///
/// Where the lake's URL has no path, with which it could not have been opened.
pub(crate) fn rooted(lake: &Lake) -> Result<Arc<dyn ObjectStore>, QueryError> {
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
