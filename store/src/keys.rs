//! Keys: who may send and ask, and on whose behalf.
//!
//! ```text
//! wk_0123456789abcdef_<64 hex digits>
//!    `-- id --------' `-- secret --'      stored: id, tenant, scopes, name, HMAC of the whole
//! ```
//!
//! # Invariants
//!
//! * A key's text is known to nobody but its holder: it is shown once and stored only as a MAC.
//! * Looking up a key reads memory; the database is asked at most every two seconds whether another
//!   process has changed it, so that a key made or revoked elsewhere takes effect within five.
//! * A database that cannot be asked at the moment changes nothing: the last known keys hold.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rusqlite::{Connection, OptionalExtension, Row, params};
use weir_model::{Clock, TenantId};

use crate::mac::{self, Pepper};
use crate::{Scopes, StoreError};

/// The database's file name.
pub(crate) const FILE: &str = "state.db";

/// The layout that this program reads and writes, in `user_version`.
pub(crate) const LAYOUT: i64 = 1;

/// What every key begins with.
const PREFIX: &str = "wk_";

/// The longest text that can be a key.
const KEY_BYTES: usize = PREFIX.len() + 16 + 1 + 64;

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 200;

/// How old what is in memory may be, in microseconds.
const STALE_US: i64 = 2_000_000;

/// How long to wait for another process's write.
const BUSY: Duration = Duration::from_secs(5);

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Whose rows it may send and see.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// The key's id, fit for logs.
    pub key_id: String,
}

/// A key that was just made; its text is never shown again.
#[derive(Debug)]
pub struct NewKey {
    /// The id, by which it is listed and revoked.
    pub id: String,
    /// The text that a client sends.
    pub text: String,
}

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
    /// When it was made, in microseconds since 1970 UTC.
    pub created_at_us: i64,
    /// When it was revoked; `None` while it holds.
    pub revoked_at_us: Option<i64>,
}

/// A key that holds, in memory.
#[derive(Debug)]
struct Held {
    mac: Vec<u8>,
    principal: Principal,
}

/// What is known of the database.
#[derive(Debug)]
struct Known {
    held: HashMap<String, Held>,
    /// Keys that hold or held.
    made: usize,
    /// SQLite's count of changes by others at the time.
    data_version: i64,
}

/// The keys of a data directory.
#[derive(Debug)]
pub struct Keys {
    database: Mutex<Connection>,
    pepper: Pepper,
    known: RwLock<Known>,
    asked_at_us: AtomicI64,
    clock: Arc<dyn Clock>,
}

impl Keys {
    /// Opens the keys of `data_dir`, or makes an empty store there.
    ///
    /// # Errors
    ///
    /// Where a file cannot be read or made, or was written by a newer weir. Nothing is changed then.
    pub fn open(data_dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let pepper = Pepper::open(data_dir)?;
        let mut database = Connection::open(data_dir.join(FILE))?;
        prepare(&mut database)?;
        let known = load(&database)?;
        Ok(Self {
            database: Mutex::new(database),
            pepper,
            known: RwLock::new(known),
            asked_at_us: AtomicI64::new(clock.now_us()),
            clock,
        })
    }

    /// Makes a key of `tenant` with `scopes`; it holds at once, and elsewhere within 5 s.
    ///
    /// # Errors
    ///
    /// Where it could not be stored; it does not hold then.
    pub fn create(
        &self,
        tenant: &TenantId,
        scopes: Scopes,
        name: &str,
    ) -> Result<NewKey, StoreError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(StoreError::Name {
                max: NAME_BYTES_MAX,
            });
        }
        let id = hex::encode(mac::random_id());
        let text = format!("{PREFIX}{id}_{}", hex::encode(mac::random_secret()));
        let database = self.database.lock();
        database.execute(
            "INSERT INTO keys (id, tenant, scopes, name, mac, created_at_us) VALUES (?, ?, ?, ?, ?, ?)",
            params![
                id,
                tenant.as_str(),
                scopes.to_string(),
                name,
                self.pepper.mac(&text),
                self.clock.now_us()
            ],
        )?;
        *self.known.write() = load(&database)?;
        Ok(NewKey { id, text })
    }

    /// All keys, also revoked ones, oldest first.
    ///
    /// # Errors
    ///
    /// Where the database cannot be read.
    pub fn list(&self) -> Result<Vec<KeyInfo>, StoreError> {
        let database = self.database.lock();
        let mut statement = database.prepare_cached(
            "SELECT id, tenant, scopes, name, created_at_us, revoked_at_us FROM keys \
             ORDER BY created_at_us, id",
        )?;
        let mut rows = statement.query([])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(info(row)?);
        }
        Ok(keys)
    }

    /// Revokes the key with that id; it ceases to hold at once, and elsewhere within 5 s.
    ///
    /// Gives `false` where there is none, or it was revoked before.
    ///
    /// # Errors
    ///
    /// Where that could not be stored; the key still holds then.
    pub fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        let database = self.database.lock();
        let changed = database.execute(
            "UPDATE keys SET revoked_at_us = ? WHERE id = ? AND revoked_at_us IS NULL",
            params![self.clock.now_us(), id],
        )?;
        *self.known.write() = load(&database)?;
        Ok(changed > 0)
    }

    /// Who sends the key `text`; `None` where it is none of ours, or was revoked.
    pub fn resolve(&self, text: &str) -> Option<Principal> {
        self.refresh_if_stale();
        if text.len() != KEY_BYTES {
            return None;
        }
        let (id, _) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let known = self.known.read();
        let held = known.held.get(id)?;
        let matches = self.pepper.verify(text, &held.mac);
        matches.then(|| held.principal.clone())
    }

    /// Whether no key was ever made. A store whose keys were all revoked is not empty: it lets
    /// nobody in.
    pub fn is_empty(&self) -> bool {
        self.refresh_if_stale();
        self.known.read().made == 0
    }

    /// Asks the database whether another process has changed it, unless that was done just now or
    /// is being done.
    fn refresh_if_stale(&self) {
        let now = self.clock.now_us();
        let asked = self.asked_at_us.load(Ordering::Relaxed);
        // A clock that was set back counts as stale too.
        if (0..STALE_US).contains(&now.saturating_sub(asked)) {
            return;
        }
        if let Some(database) = self.database.try_lock() {
            self.asked_at_us.store(now, Ordering::Relaxed);
            // On failure what is known stays, and the next request asks again in two seconds.
            let _ = self.refresh(&database);
        }
    }

    fn refresh(&self, database: &Connection) -> Result<(), StoreError> {
        let version = data_version(database)?;
        if version != self.known.read().data_version {
            let known = load(database)?;
            *self.known.write() = known;
        }
        Ok(())
    }
}

/// Sets the connection up, and makes the tables where they are missing.
fn prepare(database: &mut Connection) -> Result<(), StoreError> {
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    // A revocation must survive a power cut.
    database.pragma_update(None, "synchronous", "full")?;
    let change = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > LAYOUT {
        return Err(StoreError::Layout {
            found,
            known: LAYOUT,
        });
    }
    if found < LAYOUT {
        change.execute_batch(
            "CREATE TABLE keys (
                 id            TEXT PRIMARY KEY,
                 tenant        TEXT NOT NULL,
                 scopes        TEXT NOT NULL,
                 name          TEXT NOT NULL,
                 mac           BLOB NOT NULL,
                 created_at_us INTEGER NOT NULL,
                 revoked_at_us INTEGER
             ) STRICT, WITHOUT ROWID;",
        )?;
        change.pragma_update(None, "user_version", LAYOUT)?;
    }
    change.commit()?;
    Ok(())
}

fn data_version(database: &Connection) -> rusqlite::Result<i64> {
    database.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Reads the keys that hold.
fn load(database: &Connection) -> Result<Known, StoreError> {
    // Asked first: a change in between is then seen as one more change.
    let data_version = data_version(database)?;
    let made = database
        .query_row("SELECT count(*) FROM keys", [], |row| row.get::<_, i64>(0))
        .optional()?;
    let mut statement = database
        .prepare_cached("SELECT id, tenant, scopes, mac FROM keys WHERE revoked_at_us IS NULL")?;
    let mut rows = statement.query([])?;
    let mut held = HashMap::new();
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        let (tenant, scopes) = owner(row)?;
        let principal = Principal {
            tenant,
            scopes,
            key_id: id.clone(),
        };
        held.insert(
            id,
            Held {
                mac: row.get(3)?,
                principal,
            },
        );
    }
    let made = usize::try_from(made.unwrap_or_default()).unwrap_or(usize::MAX);
    Ok(Known {
        held,
        made,
        data_version,
    })
}

/// Columns 1 and 2 of every query.
fn owner(row: &Row<'_>) -> Result<(TenantId, Scopes), StoreError> {
    let (tenant, scopes): (String, String) = (row.get(1)?, row.get(2)?);
    let tenant = TenantId::new(&tenant).map_err(|_| StoreError::Row)?;
    let scopes = scopes.parse().map_err(|_| StoreError::Row)?;
    Ok((tenant, scopes))
}

fn info(row: &Row<'_>) -> Result<KeyInfo, StoreError> {
    let (tenant, scopes) = owner(row)?;
    Ok(KeyInfo {
        id: row.get(0)?,
        tenant,
        scopes,
        name: row.get(3)?,
        created_at_us: row.get(4)?,
        revoked_at_us: row.get(5)?,
    })
}

#[cfg(test)]
mod tests;
