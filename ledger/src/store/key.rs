//! A trace's name in the store, and the hash that it is found by.

use weir_model::TenantId;
use weir_transforms::trace::TraceId;
use xxhash_rust::xxh3::xxh3_64;

/// One trace of one tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id, which another tenant may use too.
    pub trace: TraceId,
}

impl TraceKey {
    /// The hash that the trace is found by; two traces may have the same.
    pub(crate) fn hash(&self) -> u64 {
        let mut bytes = Vec::with_capacity(self.tenant.as_str().len() + 16);
        bytes.extend_from_slice(self.tenant.as_str().as_bytes());
        bytes.extend_from_slice(&self.trace.0.to_le_bytes());
        xxh3_64(&bytes)
    }
}
