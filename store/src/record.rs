//! Tenants and keys as they are stored.

use std::fmt;

use weir_model::TenantId;

use crate::{Quotas, Scopes, StoreError};

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

/// The longest id of a note, in bytes.
const NOTE_ID_BYTES_MAX: usize = 400;

/// The longest body of a note, in bytes.
const NOTE_BODY_BYTES_MAX: usize = 4 << 10;

/// What a note is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// What a tenant may spend.
    Budget,
    /// A period whose cost was held against a provider's bill.
    Reconciled,
}

impl NoteKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Budget, Self::Reconciled];

    /// Its word in the database.
    pub fn word(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Reconciled => "reconciled",
        }
    }
}

/// Something that a tenant's administrator has set, or noted, for all nodes.
///
/// What its body means is the business of whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is of.
    pub kind: NoteKind,
    /// Whose it is.
    pub tenant: TenantId,
    /// Tells it apart from others of its kind and tenant.
    pub id: String,
    /// What it says.
    pub body: String,
    /// When it was written, in microseconds since 1970 UTC.
    pub at_us: i64,
}

impl Note {
    /// Whether it is of a size that a state keeps.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoteSize`] where it is not.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.id.len() > NOTE_ID_BYTES_MAX || self.body.len() > NOTE_BODY_BYTES_MAX {
            return Err(StoreError::NoteSize);
        }
        Ok(())
    }
}
