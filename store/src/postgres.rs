//! The state that several nodes share: a schema `weir` in a Postgres database.
//!
//! The calls block, as those of SQLite do: a small runtime of its own drives the one connection
//! while a call runs. A connection that broke is made anew by the next call; a call that only
//! reads is then tried once more.

mod tables;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Transaction};
use weir_model::TenantId;
use weir_postgres::{AddressError, Server};

use self::tables::prepare;
use crate::sql::{self, KeyRow};
use crate::{
    KEYS_MAX, KeyInfo, Loaded, NOTES_MAX, Note, NoteKind, Quotas, SECRETS_MAX, Secret, State,
    StoreError, Stored, TenantInfo,
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);

/// How long a call may take: less than a revocation may take to reach every node.
const CALL: Duration = Duration::from_secs(3);

type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Tenants, keys and quotas in Postgres.
pub struct Postgres {
    server: Server,
    link: Mutex<Link>,
}

/// The one connection, and what drives it.
struct Link {
    /// Taken only at the end.
    runtime: Option<Runtime>,
    client: Option<Client>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.client = None;
        // A plain drop would block, which an async caller may not.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds a password.
        f.write_str("Postgres(***)")
    }
}

impl Postgres {
    /// Opens the state in the database that `url` names (`postgres://USER:PASSWORD@HOST/DB` or
    /// `host=... user=...`), and makes its tables where they are missing. With `sslmode=require`, or
    /// with `authorities` (a PEM file; else those of the system), the connection is under TLS and
    /// the server's certificate is checked.
    ///
    /// # Errors
    ///
    /// Where `url` is not one, the database does not answer within seconds, refuses, or was written
    /// by a newer weir. No error repeats `url`.
    pub fn open(url: &str, authorities: Option<&Path>) -> Result<Self, StoreError> {
        let server = Server::new(url, authorities, CONNECT).map_err(|error| match error {
            AddressError::Authorities { path } => StoreError::Authorities { path },
            AddressError::Url | AddressError::Tls => StoreError::Url,
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| StoreError::Runtime { source })?;
        let state = Self {
            server,
            link: Mutex::new(Link {
                runtime: Some(runtime),
                client: None,
            }),
        };
        state.run(false, async |client| prepare(client).await)?;
        Ok(state)
    }

    /// Runs `work` on the connection, which is made first where there is none.
    fn run<T>(
        &self,
        again: bool,
        work: impl AsyncFn(&mut Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut link = self.link.lock();
        let Link { runtime, client } = &mut *link;
        let runtime = runtime.as_ref().ok_or(StoreError::Silent)?;
        let reused = client.as_ref().is_some_and(|client| !client.is_closed());
        let result = runtime.block_on(self.attempt(client, &work));
        // A connection that had been idle may have died without a word.
        if again && reused && client.is_none() {
            return runtime.block_on(self.attempt(client, &work));
        }
        result
    }

    async fn attempt<T>(
        &self,
        client: &mut Option<Client>,
        work: &impl AsyncFn(&mut Client) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let call = async {
            let mut open = match client.take() {
                Some(open) if !open.is_closed() => open,
                _ => self.connect().await?,
            };
            let result = work(&mut open).await;
            if !open.is_closed() {
                *client = Some(open);
            }
            result
        };
        // On a timeout the client is gone with the call: whatever it was doing is rolled back.
        let done = tokio::time::timeout(CALL, call).await;
        done.unwrap_or(Err(StoreError::Silent))
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        let client = self.server.connect().await?;
        client.batch_execute("SET search_path = weir").await?;
        Ok(client)
    }

    /// Runs `work` in one transaction that raises the version, unless it gives `None`: nothing is
    /// changed then.
    fn change<T>(
        &self,
        work: impl AsyncFn(&Transaction<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.run(false, async |client| {
            let change = client.transaction().await?;
            change.execute(sql::CHANGE, &[]).await?;
            let Some(done) = work(&change).await? else {
                change.rollback().await?;
                return Ok(None);
            };
            change.commit().await?;
            Ok(Some(done))
        })
    }

    fn change_row(&self, statement: &str, values: Values<'_>) -> Result<bool, StoreError> {
        let changed = self.change(async |change| {
            let rows = change.execute(statement, values).await?;
            Ok((rows > 0).then_some(()))
        })?;
        Ok(changed.is_some())
    }
}

impl State for Postgres {
    fn version(&self) -> Result<i64, StoreError> {
        self.run(true, async |client| {
            Ok(client.query_one(sql::VERSION, &[]).await?.try_get(0)?)
        })
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        self.run(true, async |client| {
            let moment = client.build_transaction().read_only(true);
            let level = tokio_postgres::IsolationLevel::RepeatableRead;
            let moment = moment.isolation_level(level).start().await?;
            let loaded = Loaded {
                version: number(&moment, sql::VERSION, &[]).await?,
                made: sql::count(number(&moment, sql::MADE, &[]).await?),
                keys: sql::stored(
                    keys(moment.query(sql::KEYS_HELD, &[]).await?)?,
                    secrets(&moment).await?,
                ),
                tenants: tenants(moment.query(sql::TENANTS, &[]).await?)?,
                notes: notes(moment.query(sql::NOTES, &[]).await?)?,
            };
            moment.commit().await?;
            Ok(loaded)
        })
    }

    fn pepper(&self, fingerprint: &str) -> Result<String, StoreError> {
        self.run(true, async |client| {
            client.execute(sql::SET_PEPPER, &[&fingerprint]).await?;
            Ok(client.query_one(sql::PEPPER, &[]).await?.try_get(0)?)
        })
    }

    fn add_key(&self, key: &Stored) -> Result<(), StoreError> {
        let info = &key.info;
        let (tenant, scopes) = (info.tenant.as_str(), info.scopes.to_string());
        let quotas = sql::quotas_text(&info.quotas)?;
        self.change(async |change| {
            if sql::count(number(change, sql::HELD, &[]).await?) >= KEYS_MAX {
                return Err(StoreError::TooManyKeys);
            }
            let values: Values<'_> = &[&tenant, &info.created_at_us];
            change.execute(sql::ADD_TENANT, values).await?;
            let values: Values<'_> = &[
                &info.id,
                &tenant,
                &scopes,
                &info.name,
                &quotas,
                &info.created_at_us,
                &info.expires_at_us,
            ];
            change.execute(sql::ADD_KEY, values).await?;
            for secret in &key.secrets {
                let values: Values<'_> = &[&info.id, &secret.mac];
                change.execute(sql::ADD_SECRET, values).await?;
            }
            Ok(Some(()))
        })?;
        Ok(())
    }

    fn keys(&self) -> Result<Vec<KeyInfo>, StoreError> {
        self.run(true, async |client| {
            keys(client.query(sql::KEYS, &[]).await?)
        })
    }

    fn revoke(&self, id: &str, at_us: i64) -> Result<bool, StoreError> {
        let revoked = self.change(async |change| {
            change.execute(sql::FORGET_ALL, &[&id]).await?;
            let rows = change.execute(sql::REVOKE, &[&at_us, &id]).await?;
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
        let rotated = self.change(async |change| {
            if number(change, sql::HOLDS, &[&id]).await? == 0 {
                return Ok(None);
            }
            let ended: Values<'_> = &[&old_until_us, &id];
            change.execute(sql::END_OLD, ended).await?;
            change.execute(sql::FORGET_ENDED, &[&id, &at_us]).await?;
            if sql::count(number(change, sql::SECRETS_OF, &[&id]).await?) >= SECRETS_MAX {
                return Err(StoreError::TooManySecrets);
            }
            change.execute(sql::ADD_SECRET, &[&id, &mac]).await?;
            Ok(Some(()))
        })?;
        Ok(rotated.is_some())
    }

    fn set_expiry(&self, id: &str, expires_at_us: Option<i64>) -> Result<bool, StoreError> {
        self.change_row(sql::SET_EXPIRY, &[&expires_at_us, &id])
    }

    fn set_key_quotas(&self, id: &str, quotas: &Quotas) -> Result<bool, StoreError> {
        self.change_row(sql::SET_KEY_QUOTAS, &[&sql::quotas_text(quotas)?, &id])
    }

    fn set_tenant_quotas(
        &self,
        tenant: &TenantId,
        quotas: &Quotas,
        at_us: i64,
    ) -> Result<(), StoreError> {
        let (tenant, quotas) = (tenant.as_str(), sql::quotas_text(quotas)?);
        self.change(async |change| {
            change.execute(sql::ADD_TENANT, &[&tenant, &at_us]).await?;
            let values: Values<'_> = &[&quotas, &tenant];
            change.execute(sql::SET_TENANT_QUOTAS, values).await?;
            Ok(Some(()))
        })?;
        Ok(())
    }

    fn put_note(&self, note: &Note) -> Result<(), StoreError> {
        note.check()?;
        let (kind, tenant) = (note.kind.word(), note.tenant.as_str());
        self.change(async |change| {
            let others: Values<'_> = &[&kind, &tenant, &note.id];
            if sql::count(number(change, sql::OTHER_NOTES, others).await?) >= NOTES_MAX {
                return Err(StoreError::TooManyNotes);
            }
            let values: Values<'_> = &[&kind, &tenant, &note.id, &note.body, &note.at_us];
            change.execute(sql::PUT_NOTE, values).await?;
            Ok(Some(()))
        })?;
        Ok(())
    }

    fn drop_note(&self, kind: NoteKind, tenant: &TenantId, id: &str) -> Result<bool, StoreError> {
        self.change_row(sql::DROP_NOTE, &[&kind.word(), &tenant.as_str(), &id])
    }

    fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError> {
        self.run(true, async |client| {
            tenants(client.query(sql::TENANTS, &[]).await?)
        })
    }
}

async fn number(
    moment: &Transaction<'_>,
    statement: &str,
    values: Values<'_>,
) -> Result<i64, StoreError> {
    Ok(moment.query_one(statement, values).await?.try_get(0)?)
}

fn keys(rows: Vec<Row>) -> Result<Vec<KeyInfo>, StoreError> {
    let key = |row: Row| {
        let row = KeyRow {
            id: row.try_get(0)?,
            tenant: row.try_get(1)?,
            scopes: row.try_get(2)?,
            name: row.try_get(3)?,
            quotas: row.try_get(4)?,
            created_at_us: row.try_get(5)?,
            expires_at_us: row.try_get(6)?,
            revoked_at_us: row.try_get(7)?,
            rotated_until_us: row.try_get(8)?,
        };
        row.info()
    };
    rows.into_iter().map(key).collect()
}

async fn secrets(moment: &Transaction<'_>) -> Result<Vec<(String, Secret)>, StoreError> {
    let secret = |row: Row| -> Result<(String, Secret), StoreError> {
        let secret = Secret {
            mac: row.try_get(1)?,
            until_us: row.try_get(2)?,
        };
        Ok((row.try_get(0)?, secret))
    };
    let rows = moment.query(sql::SECRETS, &[]).await?;
    rows.into_iter().map(secret).collect()
}

fn notes(rows: Vec<Row>) -> Result<Vec<Note>, StoreError> {
    let note = |row: Row| {
        sql::note((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
            row.try_get(4)?,
        ))
    };
    let notes = rows.into_iter().map(note).filter_map(Result::transpose);
    Ok(sql::sorted(notes.collect::<Result<_, StoreError>>()?))
}

fn tenants(rows: Vec<Row>) -> Result<Vec<TenantInfo>, StoreError> {
    let tenant = |row: Row| {
        sql::tenant_info((
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get(3)?,
        ))
    };
    let mut tenants = rows
        .into_iter()
        .map(tenant)
        .collect::<Result<Vec<_>, StoreError>>()?;
    tenants.sort_by(|a, b| a.tenant.as_str().cmp(b.tenant.as_str()));
    Ok(tenants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_url_is_refused_without_being_repeated() {
        for wrong in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "hunter2",
        ] {
            let error = Postgres::open(wrong, None).unwrap_err();
            let text = format!("{error:?} {error}");
            assert!(matches!(error, StoreError::Url), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
