//! The statements that both databases understand, and rows as they give them.
//!
//! `$1`, `$2` ... stand in the order of their numbers, since SQLite counts them as they appear.

use std::cmp::Reverse;
use std::collections::HashMap;

use weir_model::TenantId;

use crate::{KeyInfo, Note, NoteKind, Quotas, Secret, StoreError, Stored, TenantInfo};

pub(crate) const VERSION: &str = "SELECT version FROM state";
/// First in every change: in Postgres it also keeps other changes waiting.
pub(crate) const CHANGE: &str = "UPDATE state SET version = version + 1";
pub(crate) const PEPPER: &str = "SELECT pepper FROM state";
pub(crate) const SET_PEPPER: &str = "UPDATE state SET pepper = $1 WHERE pepper IS NULL";
pub(crate) const MADE: &str = "SELECT count(*) FROM keys";
pub(crate) const HELD: &str = "SELECT count(*) FROM keys WHERE revoked_at_us IS NULL";
pub(crate) const ADD_TENANT: &str = "INSERT INTO tenants (tenant, created_at_us, quotas) \
     VALUES ($1, $2, '{}') ON CONFLICT (tenant) DO NOTHING";
pub(crate) const ADD_KEY: &str = "INSERT INTO keys \
     (id, tenant, scopes, name, quotas, created_at_us, expires_at_us) \
     VALUES ($1, $2, $3, $4, $5, $6, $7)";
pub(crate) const ADD_SECRET: &str =
    "INSERT INTO secrets (key_id, mac, until_us) VALUES ($1, $2, NULL)";
/// The last column: the latest end among secrets that were replaced.
pub(crate) const KEYS: &str = "SELECT id, tenant, scopes, name, quotas, created_at_us, \
     expires_at_us, revoked_at_us, \
     (SELECT max(until_us) FROM secrets WHERE key_id = id) \
     FROM keys ORDER BY created_at_us, id";
pub(crate) const KEYS_HELD: &str = "SELECT id, tenant, scopes, name, quotas, created_at_us, \
     expires_at_us, revoked_at_us, \
     (SELECT max(until_us) FROM secrets WHERE key_id = id) \
     FROM keys WHERE revoked_at_us IS NULL";
pub(crate) const SECRETS: &str = "SELECT key_id, mac, until_us FROM secrets";
pub(crate) const TENANTS: &str = "SELECT tenant, created_at_us, quotas, \
     (SELECT count(*) FROM keys WHERE keys.tenant = tenants.tenant AND revoked_at_us IS NULL) FROM tenants";
pub(crate) const HOLDS: &str = "SELECT count(*) FROM keys WHERE id = $1 AND revoked_at_us IS NULL";
pub(crate) const REVOKE: &str =
    "UPDATE keys SET revoked_at_us = $1 WHERE id = $2 AND revoked_at_us IS NULL";
pub(crate) const FORGET_ALL: &str = "DELETE FROM secrets WHERE key_id = $1";
pub(crate) const FORGET_ENDED: &str = "DELETE FROM secrets WHERE key_id = $1 AND until_us <= $2";
/// Also cuts what an earlier rotation left to hold longer.
pub(crate) const END_OLD: &str = "UPDATE secrets SET until_us = $1 \
     WHERE key_id = $2 AND (until_us IS NULL OR until_us > $1)";
pub(crate) const SECRETS_OF: &str = "SELECT count(*) FROM secrets WHERE key_id = $1";
pub(crate) const SET_EXPIRY: &str =
    "UPDATE keys SET expires_at_us = $1 WHERE id = $2 AND revoked_at_us IS NULL";
pub(crate) const SET_KEY_QUOTAS: &str =
    "UPDATE keys SET quotas = $1 WHERE id = $2 AND revoked_at_us IS NULL";
pub(crate) const SET_TENANT_QUOTAS: &str = "UPDATE tenants SET quotas = $1 WHERE tenant = $2";

pub(crate) const NOTES: &str = "SELECT kind, tenant, id, body, at_us FROM notes";
/// How many others of the kind the tenant has.
pub(crate) const OTHER_NOTES: &str =
    "SELECT count(*) FROM notes WHERE kind = $1 AND tenant = $2 AND id <> $3";
pub(crate) const PUT_NOTE: &str = "INSERT INTO notes (kind, tenant, id, body, at_us) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (kind, tenant, id) \
     DO UPDATE SET body = excluded.body, at_us = excluded.at_us";
pub(crate) const DROP_NOTE: &str = "DELETE FROM notes WHERE kind = $1 AND tenant = $2 AND id = $3";

/// The columns of [`KEYS`].
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) scopes: String,
    pub(crate) name: String,
    pub(crate) quotas: String,
    pub(crate) created_at_us: i64,
    pub(crate) expires_at_us: Option<i64>,
    pub(crate) revoked_at_us: Option<i64>,
    pub(crate) rotated_until_us: Option<i64>,
}

impl KeyRow {
    /// The key that the row tells of.
    pub(crate) fn info(self) -> Result<KeyInfo, StoreError> {
        Ok(KeyInfo {
            tenant: tenant(&self.tenant)?,
            scopes: self.scopes.parse().map_err(|_| StoreError::Row)?,
            quotas: quotas(&self.quotas)?,
            id: self.id,
            name: self.name,
            created_at_us: self.created_at_us,
            expires_at_us: self.expires_at_us,
            revoked_at_us: self.revoked_at_us,
            rotated_until_us: self.rotated_until_us,
        })
    }
}

/// The columns of [`TENANTS`].
pub(crate) fn tenant_info(
    (name, created_at_us, text, keys): (String, i64, String, i64),
) -> Result<TenantInfo, StoreError> {
    Ok(TenantInfo {
        tenant: tenant(&name)?,
        created_at_us,
        quotas: quotas(&text)?,
        keys: count(keys),
    })
}

/// The columns of [`NOTES`]; `None` for a kind that this program does not know.
pub(crate) fn note(
    (kind, owner, id, body, at_us): (String, String, String, String, i64),
) -> Result<Option<Note>, StoreError> {
    let known = NoteKind::ALL.into_iter().find(|k| k.word() == kind);
    let Some(kind) = known else { return Ok(None) };
    Ok(Some(Note {
        kind,
        tenant: tenant(&owner)?,
        id,
        body,
        at_us,
    }))
}

/// Notes in the order of [`Loaded`](crate::Loaded): databases sort texts in ways of their own.
pub(crate) fn sorted(mut notes: Vec<Note>) -> Vec<Note> {
    notes.sort_by(|a, b| {
        let place = |n: &Note| (n.kind, n.tenant.as_str().to_owned(), n.id.clone());
        place(a).cmp(&place(b))
    });
    notes
}

/// Gives each key its secrets, newest first.
pub(crate) fn stored(keys: Vec<KeyInfo>, secrets: Vec<(String, Secret)>) -> Vec<Stored> {
    let mut by_key: HashMap<String, Vec<Secret>> = HashMap::new();
    for (id, secret) in secrets {
        by_key.entry(id).or_default().push(secret);
    }
    let whole = |info: KeyInfo| {
        let mut secrets = by_key.remove(&info.id).unwrap_or_default();
        secrets.sort_by_key(|secret| Reverse(secret.until_us.unwrap_or(i64::MAX)));
        Stored { info, secrets }
    };
    keys.into_iter().map(whole).collect()
}

/// Quotas as they are stored.
pub(crate) fn quotas_text(quotas: &Quotas) -> Result<String, StoreError> {
    serde_json::to_string(quotas).map_err(|_| StoreError::Row)
}

/// A count; a database never gives one below 0.
pub(crate) fn count(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn tenant(text: &str) -> Result<TenantId, StoreError> {
    TenantId::new(text).map_err(|_| StoreError::Row)
}

fn quotas(text: &str) -> Result<Quotas, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Row)
}
