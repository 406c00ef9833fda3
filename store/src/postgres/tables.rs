//! The tables of the shared state, made where they are missing and brought up to date.

use tokio_postgres::Client;

use super::number;
use crate::StoreError;

/// The layout that this program reads and writes, in `state.layout`; counted as SQLite's is.
const LAYOUT: i64 = 3;

/// The number under which nodes that start at once wait for one another to make the tables.
const LOCK: i64 = 0x7765_6972_0001;

const MAKE: &str = "
    CREATE TABLE state (layout BIGINT NOT NULL, version BIGINT NOT NULL, pepper TEXT);
    INSERT INTO state (layout, version, pepper) VALUES (3, 1, NULL);
    CREATE TABLE tenants (
        tenant        TEXT PRIMARY KEY,
        created_at_us BIGINT NOT NULL,
        quotas        TEXT NOT NULL
    );
    CREATE TABLE keys (
        id            TEXT PRIMARY KEY,
        tenant        TEXT NOT NULL REFERENCES tenants,
        scopes        TEXT NOT NULL,
        name          TEXT NOT NULL,
        quotas        TEXT NOT NULL,
        created_at_us BIGINT NOT NULL,
        expires_at_us BIGINT,
        revoked_at_us BIGINT
    );
    CREATE TABLE secrets (
        key_id        TEXT NOT NULL REFERENCES keys,
        mac           TEXT NOT NULL,
        until_us      BIGINT,
        PRIMARY KEY (key_id, mac)
    );";

/// What layout 3 adds.
const MAKE_NOTES: &str = "
    CREATE TABLE notes (
        kind          TEXT NOT NULL,
        tenant        TEXT NOT NULL,
        id            TEXT NOT NULL,
        body          TEXT NOT NULL,
        at_us         BIGINT NOT NULL,
        PRIMARY KEY (kind, tenant, id)
    );";

/// Makes the schema where it is missing; nodes that start at once do so one after another.
pub(super) async fn prepare(client: &mut Client) -> Result<(), StoreError> {
    let change = client.transaction().await?;
    change
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    let there = "SELECT count(*) FROM information_schema.tables \
                 WHERE table_schema = 'weir' AND table_name = 'state'";
    if number(&change, there, &[]).await? == 0 {
        // Without IF NOT EXISTS a role that may not make schemas could not use one made for it.
        let schema = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'weir'";
        if number(&change, schema, &[]).await? == 0 {
            change.batch_execute("CREATE SCHEMA weir").await?;
        }
        change.batch_execute(MAKE).await?;
    } else {
        let found = number(&change, "SELECT layout FROM state", &[]).await?;
        if found > LAYOUT {
            return Err(StoreError::Layout {
                found,
                known: LAYOUT,
            });
        }
        if found == LAYOUT {
            return Ok(change.commit().await?);
        }
        change
            .execute("UPDATE state SET layout = $1", &[&LAYOUT])
            .await?;
    }
    change.batch_execute(MAKE_NOTES).await?;
    change.commit().await?;
    Ok(())
}
