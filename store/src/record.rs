//! Tenants and keys as they are stored.

use std::fmt;

use weir_model::TenantId;

use crate::{Quotas, Scopes};

/// A key, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The id.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// What its maker called it.
    pub name: String,
    /// What it may use, beside what its tenant may.
    pub quotas: Quotas,
    /// When it was made, in microseconds since 1970 UTC.
    pub created_at_us: i64,
    /// When it ceases to hold by itself; `None` where never.
    pub expires_at_us: Option<i64>,
    /// When it was revoked; `None` while it holds.
    pub revoked_at_us: Option<i64>,
    /// Until when the last secret before a rotation holds too; `None` where there is none.
    pub rotated_until_us: Option<i64>,
}

/// What is stored instead of one secret of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The MAC of the whole text of the key, in lower-case hex.
    pub mac: String,
    /// Until when it holds, in microseconds since 1970 UTC; `None` for the newest.
    pub until_us: Option<i64>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret(***, until {:?})", self.until_us)
    }
}

/// A key with what its secrets are compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The key.
    pub info: KeyInfo,
    /// Its secrets, newest first.
    pub secrets: Vec<Secret>,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantInfo {
    /// Its name.
    pub tenant: TenantId,
    /// When it was first named, in microseconds since 1970 UTC.
    pub created_at_us: i64,
    /// What it may use.
    pub quotas: Quotas,
    /// How many keys of it are not revoked.
    pub keys: u64,
}
