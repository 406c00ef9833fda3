//! The one object store that queries can reach.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{ObjectStoreRegistry, ObjectStoreUrl};
use object_store::ObjectStore;
use url::Url;

/// The address under which plans name the lake. It says nothing of where the lake is.
pub(crate) const LAKE_URL: &str = "lake://tables";

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
