//! The state of one node: `state.db` of the data directory.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, Params, Row, Transaction, TransactionBehavior, params};
use weir_model::TenantId;

use crate::sql::{self, KeyRow};
use crate::{
    KEYS_MAX, KeyInfo, Loaded, NOTES_MAX, Note, NoteKind, Quotas, SECRETS_MAX, Secret, State,
    StoreError, Stored, TenantInfo,
};

/// The database's file name.
pub(crate) const FILE: &str = "state.db";

/// The layout that this program reads and writes, in `user_version`.
///
/// 1: keys with one MAC each. 2: tenants, quotas, expiry, several secrets a key, a version.
/// 3: notes.
pub(crate) const LAYOUT: i64 = 3;

/// How long to wait for another process's write.
const BUSY: Duration = Duration::from_secs(5);

const MAKE: &str = "
    CREATE TABLE state (version INTEGER NOT NULL, pepper TEXT) STRICT;
    INSERT INTO state (version, pepper) VALUES (1, NULL);
    CREATE TABLE tenants (
        tenant        TEXT PRIMARY KEY,
        created_at_us INTEGER NOT NULL,
        quotas        TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE keys (
        id            TEXT PRIMARY KEY,
        tenant        TEXT NOT NULL,
        scopes        TEXT NOT NULL,
        name          TEXT NOT NULL,
        quotas        TEXT NOT NULL,
        created_at_us INTEGER NOT NULL,
        expires_at_us INTEGER,
        revoked_at_us INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE secrets (
        key_id        TEXT NOT NULL,
        mac           TEXT NOT NULL,
        until_us      INTEGER,
        PRIMARY KEY (key_id, mac)
    ) STRICT, WITHOUT ROWID;";

/// What layout 3 adds.
const MAKE_NOTES: &str = "
    CREATE TABLE notes (
        kind          TEXT NOT NULL,
        tenant        TEXT NOT NULL,
        id            TEXT NOT NULL,
        body          TEXT NOT NULL,
        at_us         INTEGER NOT NULL,
        PRIMARY KEY (kind, tenant, id)
    ) STRICT, WITHOUT ROWID;";

/// After [`MAKE`], with the table of layout 1 as `keys_1`.
const UPCAST_1: &str = "
    INSERT INTO tenants SELECT tenant, min(created_at_us), '{}' FROM keys_1 GROUP BY tenant;
    INSERT INTO keys SELECT id, tenant, scopes, name, '{}', created_at_us, NULL, revoked_at_us
        FROM keys_1;
    INSERT INTO secrets SELECT id, lower(hex(mac)), NULL FROM keys_1 WHERE revoked_at_us IS NULL;
    DROP TABLE keys_1;";

/// Tenants, keys and quotas in SQLite; several processes may have it open.
pub struct Sqlite {
    database: Mutex<Connection>,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sqlite")
    }
}

impl Sqlite {
    /// Opens the state of `data_dir`, makes an empty one, or brings an older one up to date.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or made, or was written by a newer weir. Nothing is changed then.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let mut database = Connection::open(data_dir.join(FILE))?;
        prepare(&mut database)?;
        Ok(Self {
            database: Mutex::new(database),
        })
    }

    /// Runs `work` in one durable transaction that raises the version, unless it gives `None`:
    /// nothing is changed then.
    fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut database = self.database.lock();
        let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let Some(done) = work(&change)? else {
            return Ok(None);
        };
        change.execute(sql::CHANGE, [])?;
        change.commit()?;
        Ok(Some(done))
    }

    /// A change of at most one row; whether there was one.
    fn change_row(&self, statement: &str, values: impl Params) -> Result<bool, StoreError> {
        let changed = self.change(|change| {
            let rows = change.execute(statement, values)?;
            Ok((rows > 0).then_some(()))
        })?;
        Ok(changed.is_some())
    }
}

impl State for Sqlite {
    fn version(&self) -> Result<i64, StoreError> {
        Ok(number(&self.database.lock(), sql::VERSION, [])?)
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let mut database = self.database.lock();
        // One transaction, so that all is of one moment.
        let moment = database.transaction()?;
        Ok(Loaded {
            version: number(&moment, sql::VERSION, [])?,
            made: sql::count(number(&moment, sql::MADE, [])?),
            keys: sql::stored(keys(&moment, sql::KEYS_HELD)?, secrets(&moment)?),
            tenants: tenants(&moment)?,
            notes: notes(&moment)?,
        })
    }

    fn pepper(&self, fingerprint: &str) -> Result<String, StoreError> {
        let database = self.database.lock();
        database.execute(sql::SET_PEPPER, params![fingerprint])?;
        Ok(database.query_row(sql::PEPPER, [], |row| row.get(0))?)
    }

    fn add_key(&self, key: &Stored) -> Result<(), StoreError> {
        let info = &key.info;
        let quotas = sql::quotas_text(&info.quotas)?;
        self.change(|change| {
            if sql::count(number(change, sql::HELD, [])?) >= KEYS_MAX {
                return Err(StoreError::TooManyKeys);
            }
            let tenant = info.tenant.as_str();
            change.execute(sql::ADD_TENANT, params![tenant, info.created_at_us])?;
            change.execute(
                sql::ADD_KEY,
                params![
                    info.id,
                    tenant,
                    info.scopes.to_string(),
                    info.name,
                    quotas,
                    info.created_at_us,
                    info.expires_at_us
                ],
            )?;
            for secret in &key.secrets {
                change.execute(sql::ADD_SECRET, params![info.id, secret.mac])?;
            }
            Ok(Some(()))
        })?;
        Ok(())
    }

    fn keys(&self) -> Result<Vec<KeyInfo>, StoreError> {
        keys(&self.database.lock(), sql::KEYS)
    }

    fn revoke(&self, id: &str, at_us: i64) -> Result<bool, StoreError> {
        let revoked = self.change(|change| {
            change.execute(sql::FORGET_ALL, params![id])?;
            let rows = change.execute(sql::REVOKE, params![at_us, id])?;
            Ok((rows > 0).then_some(()))
        })?;
        Ok(revoked.is_some())
    }

    fn rotate(
        &self,
        id: &str,
        mac: &str,
        at_us: i64,
        old_until_us: i64,
    ) -> Result<bool, StoreError> {
        let rotated = self.change(|change| {
            if number(change, sql::HOLDS, params![id])? == 0 {
                return Ok(None);
            }
            change.execute(sql::END_OLD, params![old_until_us, id])?;
            change.execute(sql::FORGET_ENDED, params![id, at_us])?;
            if sql::count(number(change, sql::SECRETS_OF, params![id])?) >= SECRETS_MAX {
                return Err(StoreError::TooManySecrets);
            }
            change.execute(sql::ADD_SECRET, params![id, mac])?;
            Ok(Some(()))
        })?;
        Ok(rotated.is_some())
    }

    fn set_expiry(&self, id: &str, expires_at_us: Option<i64>) -> Result<bool, StoreError> {
        self.change_row(sql::SET_EXPIRY, params![expires_at_us, id])
    }

    fn set_key_quotas(&self, id: &str, quotas: &Quotas) -> Result<bool, StoreError> {
        self.change_row(sql::SET_KEY_QUOTAS, params![sql::quotas_text(quotas)?, id])
    }

    fn set_tenant_quotas(
        &self,
        tenant: &TenantId,
        quotas: &Quotas,
        at_us: i64,
    ) -> Result<(), StoreError> {
        let quotas = sql::quotas_text(quotas)?;
        self.change(|change| {
            change.execute(sql::ADD_TENANT, params![tenant.as_str(), at_us])?;
            change.execute(sql::SET_TENANT_QUOTAS, params![quotas, tenant.as_str()])?;
            Ok(Some(()))
        })?;
        Ok(())
    }

    fn put_note(&self, note: &Note) -> Result<(), StoreError> {
        note.check()?;
        let (kind, tenant) = (note.kind.word(), note.tenant.as_str());
        self.change(|change| {
            let others = number(change, sql::OTHER_NOTES, params![kind, tenant, note.id])?;
            if sql::count(others) >= NOTES_MAX {
                return Err(StoreError::TooManyNotes);
            }
            change.execute(
                sql::PUT_NOTE,
                params![kind, tenant, note.id, note.body, note.at_us],
            )?;
            Ok(Some(()))
        })?;
        Ok(())
    }

    fn drop_note(&self, kind: NoteKind, tenant: &TenantId, id: &str) -> Result<bool, StoreError> {
        self.change_row(sql::DROP_NOTE, params![kind.word(), tenant.as_str(), id])
    }

    fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError> {
        tenants(&self.database.lock())
    }
}

/// Sets the connection up, and makes the tables or brings them up to date.
fn prepare(database: &mut Connection) -> Result<(), StoreError> {
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    // A revocation must survive a power cut.
    database.pragma_update(None, "synchronous", "full")?;
    let change = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = change.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        LAYOUT => return Ok(()),
        0 => change.execute_batch(MAKE)?,
        2 => {}
        1 => {
            change.execute_batch("ALTER TABLE keys RENAME TO keys_1;")?;
            change.execute_batch(MAKE)?;
            change.execute_batch(UPCAST_1)?;
        }
        _ => {
            return Err(StoreError::Layout {
                found,
                known: LAYOUT,
            });
        }
    }
    change.execute_batch(MAKE_NOTES)?;
    change.pragma_update(None, "user_version", LAYOUT)?;
    change.commit()?;
    Ok(())
}

fn number(database: &Connection, statement: &str, values: impl Params) -> rusqlite::Result<i64> {
    database
        .prepare_cached(statement)?
        .query_row(values, |row| row.get(0))
}

fn keys(database: &Connection, statement: &str) -> Result<Vec<KeyInfo>, StoreError> {
    let mut statement = database.prepare_cached(statement)?;
    let rows = statement.query_map([], key_row)?;
    rows.map(|row| row?.info()).collect()
}

fn key_row(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    Ok(KeyRow {
        id: row.get(0)?,
        tenant: row.get(1)?,
        scopes: row.get(2)?,
        name: row.get(3)?,
        quotas: row.get(4)?,
        created_at_us: row.get(5)?,
        expires_at_us: row.get(6)?,
        revoked_at_us: row.get(7)?,
        rotated_until_us: row.get(8)?,
    })
}

fn secrets(database: &Connection) -> Result<Vec<(String, Secret)>, StoreError> {
    let mut statement = database.prepare_cached(sql::SECRETS)?;
    let rows = statement.query_map([], |row| {
        let secret = Secret {
            mac: row.get(1)?,
            until_us: row.get(2)?,
        };
        Ok((row.get(0)?, secret))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn notes(database: &Connection) -> Result<Vec<Note>, StoreError> {
    let mut statement = database.prepare_cached(sql::NOTES)?;
    let rows = statement.query_map([], |row| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
        ))
    })?;
    let notes = rows.filter_map(|row| {
        let row = row.map_err(StoreError::from);
        row.and_then(sql::note).transpose()
    });
    Ok(sql::sorted(notes.collect::<Result<_, _>>()?))
}

fn tenants(database: &Connection) -> Result<Vec<TenantInfo>, StoreError> {
    let mut statement = database.prepare_cached(sql::TENANTS)?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let mut tenants = rows
        .map(|row| sql::tenant_info(row?))
        .collect::<Result<Vec<_>, _>>()?;
    tenants.sort_by(|a, b| a.tenant.as_str().cmp(b.tenant.as_str()));
    Ok(tenants)
}
