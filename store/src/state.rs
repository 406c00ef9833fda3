//! Where tenants, keys and quotas lie: the contract of a state.

use std::fmt::Debug;

use weir_model::TenantId;

use crate::{KeyInfo, Note, NoteKind, Quotas, StoreError, Stored, TenantInfo};

/// The most keys that may hold at a time: all of them are kept in memory, at a few hundred bytes.
pub const KEYS_MAX: u64 = 100_000;

/// The most secrets of one key that may hold at a time: each is compared on a request.
pub const SECRETS_MAX: u64 = 4;

/// The most notes of one kind that a tenant may have: all of them are kept in memory.
pub const NOTES_MAX: u64 = 1_000;

/// All that requests need to know, of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The version of that moment.
    pub version: i64,
    /// Keys that were ever made, revoked ones too.
    pub made: u64,
    /// Keys that are not revoked, with their secrets.
    pub keys: Vec<Stored>,
    /// Tenants.
    pub tenants: Vec<TenantInfo>,
    /// Notes of all tenants, by kind, tenant and id.
    pub notes: Vec<Note>,
}

/// A place where tenants, keys and quotas lie.
///
/// Every change is durable when its call returns, is made whole or not at all, and raises the
/// version, so that whoever reads the version sees whether there is anything new. Calls may block
/// on a disk or a network for seconds: never make them on an async thread.
pub trait State: Debug + Send + Sync {
    /// A number that is another one after every change, by whomever it was made.
    ///
    /// # Errors
    ///
    /// Where the state cannot be asked.
    fn version(&self) -> Result<i64, StoreError>;

    /// All that requests need to know, of one moment.
    ///
    /// # Errors
    ///
    /// Where the state cannot be read.
    fn load(&self) -> Result<Loaded, StoreError>;

    /// Keeps the fingerprint of the pepper where there is none yet, and gives the one that stands.
    ///
    /// # Errors
    ///
    /// Where that could not be stored or read.
    fn pepper(&self, fingerprint: &str) -> Result<String, StoreError>;

    /// Adds a key and, where it is new, its tenant.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooManyKeys`] where [`KEYS_MAX`] hold; where it could not be stored. It does
    /// not hold then.
    fn add_key(&self, key: &Stored) -> Result<(), StoreError>;

    /// All keys, also revoked ones, oldest first.
    ///
    /// # Errors
    ///
    /// Where the state cannot be read.
    fn keys(&self) -> Result<Vec<KeyInfo>, StoreError>;

    /// Revokes a key for good and forgets its secrets; `false` where none of that id holds.
    ///
    /// # Errors
    ///
    /// Where that could not be stored; the key still holds then.
    fn revoke(&self, id: &str, at_us: i64) -> Result<bool, StoreError>;

    /// Gives a key a new secret. Those that it had cease to hold at `old_until_us` at the latest,
    /// and those that have ceased at `at_us` are forgotten. `false` where no key of that id holds.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooManySecrets`] where [`SECRETS_MAX`] hold; where it could not be stored.
    /// Nothing is changed then.
    fn rotate(
        &self,
        id: &str,
        mac: &str,
        at_us: i64,
        old_until_us: i64,
    ) -> Result<bool, StoreError>;

    /// Sets when a key ceases to hold; `false` where no key of that id holds.
    ///
    /// # Errors
    ///
    /// Where that could not be stored.
    fn set_expiry(&self, id: &str, expires_at_us: Option<i64>) -> Result<bool, StoreError>;

    /// Sets the quotas of a key; `false` where no key of that id holds.
    ///
    /// # Errors
    ///
    /// Where that could not be stored.
    fn set_key_quotas(&self, id: &str, quotas: &Quotas) -> Result<bool, StoreError>;

    /// Sets the quotas of a tenant, which is made where it is new.
    ///
    /// # Errors
    ///
    /// Where that could not be stored.
    fn set_tenant_quotas(
        &self,
        tenant: &TenantId,
        quotas: &Quotas,
        at_us: i64,
    ) -> Result<(), StoreError>;

    /// Keeps a note, in the place of the one with its kind, tenant and id where there is one.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooManyNotes`] where the tenant has [`NOTES_MAX`] others of the kind,
    /// [`StoreError::NoteSize`] where it is too long; where it could not be stored. Nothing is
    /// changed then.
    fn put_note(&self, note: &Note) -> Result<(), StoreError>;

    /// Drops a note; `false` where there is none.
    ///
    /// # Errors
    ///
    /// Where that could not be stored; the note still holds then.
    fn drop_note(&self, kind: NoteKind, tenant: &TenantId, id: &str) -> Result<bool, StoreError>;

    /// All tenants, by name.
    ///
    /// # Errors
    ///
    /// Where the state cannot be read.
    fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError>;
}
