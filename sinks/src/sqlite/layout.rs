//! The tables of a file, and how a file of an earlier weir is brought up to date.
//!
//! ```text
//! spans, proxy_audit, ...   one table a dataset, its columns those of the model's schema
//! _weir_stored              which batches of which node are in them (ranges of numbers)
//! _weir_pieces              which rows, of batches that came in pieces
//! PRAGMA user_version       the layout of all this
//! ```

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use weir_model::Dataset;

use super::SqliteError;
use super::cells::type_name;
use crate::sql::{always_there, lookups};

/// The layout that this program reads and writes, in `user_version`.
pub(super) const LAYOUT: i64 = 1;

/// `weir` in `application_id`, so that tools can tell whose file it is.
const APPLICATION: i64 = 0x7765_6972;

/// The log beside the file is cut to this size after it was larger for once, in bytes.
const WAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;

/// Pages of the log after which it is moved into the file: a few runs, so that a page that
/// several of them change is moved once.
const WAL_PAGES: i64 = 4_000;

const RECORD: &str = "\
CREATE TABLE _weir_stored (
    node        TEXT NOT NULL,
    dataset     TEXT NOT NULL,
    first_batch INTEGER NOT NULL,
    last_batch  INTEGER NOT NULL,
    PRIMARY KEY (node, dataset, first_batch)
) STRICT, WITHOUT ROWID;
CREATE TABLE _weir_pieces (
    node      TEXT NOT NULL,
    dataset   TEXT NOT NULL,
    batch     INTEGER NOT NULL,
    first_row INTEGER NOT NULL,
    end_row   INTEGER NOT NULL,
    PRIMARY KEY (node, dataset, batch, first_row)
) STRICT, WITHOUT ROWID;
";

/// Everything that an empty file gets, as a script.
pub(super) fn script() -> String {
    let mut script = String::new();
    for dataset in Dataset::ALL {
        script.push_str(&table(dataset));
        script.push_str(&indexes(dataset));
    }
    script.push_str(RECORD);
    // Writing to a string does not fail.
    let _ = writeln!(script, "PRAGMA application_id = {APPLICATION};");
    let _ = writeln!(script, "PRAGMA user_version = {LAYOUT};");
    script
}

fn table(dataset: Dataset) -> String {
    let mut text = format!("CREATE TABLE {dataset} (\n");
    let columns = dataset.columns();
    for (at, column) in columns.iter().enumerate() {
        let not_null = if always_there(column.name) {
            " NOT NULL"
        } else {
            ""
        };
        let comma = if at + 1 < columns.len() { "," } else { "" };
        let (name, kind, doc) = (column.name, type_name(column.kind), column.doc);
        let _ = writeln!(text, "    {name} {kind}{not_null}{comma} -- {doc}");
    }
    text.push_str(") STRICT;\n");
    text
}

fn indexes(dataset: Dataset) -> String {
    let found = lookups(dataset);
    let mut text = String::new();
    for name in [found.id, found.trace].into_iter().flatten() {
        let _ = writeln!(
            text,
            "CREATE INDEX IF NOT EXISTS {dataset}_by_{name} ON {dataset} ({name}) \
             WHERE {name} IS NOT NULL;"
        );
    }
    if let Some(name) = found.skill {
        let time = dataset.time_column();
        let _ = writeln!(
            text,
            "CREATE INDEX IF NOT EXISTS {dataset}_by_{name} ON {dataset} \
             (tenant_id, {name}, {time} DESC) WHERE {name} IS NOT NULL;"
        );
    }
    text
}

/// Sets a connection up that is to write, and makes the tables or brings them up to date.
///
/// # Errors
///
/// Where the file is of a newer weir or another program, or cannot be written. Nothing is changed
/// then.
pub(super) fn prepare(
    database: &mut Connection,
    path: &Path,
    busy: Duration,
) -> Result<(), SqliteError> {
    let failed = SqliteError::of(path);
    database.busy_timeout(busy).map_err(&failed)?;
    refuse_others(database, path)?;
    let mode: String = database
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(&failed)?;
    if mode != "wal" {
        return Err(SqliteError::NoWal {
            path: path.to_owned(),
        });
    }
    // A receipt must survive a power cut.
    let settings = [
        ("synchronous", 2),
        ("journal_size_limit", WAL_KEPT_BYTES),
        ("wal_autocheckpoint", WAL_PAGES),
    ];
    for (name, value) in settings {
        // Some of them answer with the new value.
        let set = format!("PRAGMA {name} = {value}");
        let mut set = database.prepare(&set).map_err(&failed)?;
        set.query([])
            .and_then(|mut rows| rows.next().map(|_| ()))
            .map_err(&failed)?;
    }
    let change = database
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(&failed)?;
    if refuse_others(&change, path)? == 0 {
        change.execute_batch(&script()).map_err(&failed)?;
    } else {
        widen(&change).map_err(&failed)?;
    }
    change.commit().map_err(&failed)
}

/// The layout that the file has, 0 where it is empty.
///
/// # Errors
///
/// Where it is not a file that this program may write to.
pub(super) fn refuse_others(database: &Connection, path: &Path) -> Result<i64, SqliteError> {
    let failed = SqliteError::of(path);
    let number = |name: &str| database.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = number("user_version").map_err(&failed)?;
    let whose = number("application_id").map_err(&failed)?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = database
        .query_row(tables, [], |row| row.get(0))
        .map_err(&failed)?;
    if tables > 0 && whose != APPLICATION {
        return Err(SqliteError::Foreign {
            path: path.to_owned(),
        });
    }
    if found > LAYOUT {
        return Err(SqliteError::Newer {
            path: path.to_owned(),
            found,
            known: LAYOUT,
        });
    }
    Ok(if tables == 0 { 0 } else { found })
}

/// Adds what later versions of the schema have: tables, columns, indexes.
fn widen(change: &Connection) -> rusqlite::Result<()> {
    for dataset in Dataset::ALL {
        let mut statement = change.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = statement.query_map([dataset.name()], |row| row.get(0))?;
        let there: HashSet<String> = names.collect::<rusqlite::Result<_>>()?;
        if there.is_empty() {
            change.execute_batch(&table(dataset))?;
        } else {
            for column in dataset.columns() {
                if !there.contains(column.name) {
                    let (name, kind) = (column.name, type_name(column.kind));
                    let add = format!("ALTER TABLE {dataset} ADD COLUMN {name} {kind}");
                    change.execute_batch(&add)?;
                }
            }
        }
        change.execute_batch(&indexes(dataset))?;
    }
    Ok(())
}
