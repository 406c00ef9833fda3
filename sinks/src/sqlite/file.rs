//! One file: rows and the record of them in one transaction.

use std::path::{Path, PathBuf};
use std::time::Duration;

use arrow_array::RecordBatch;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};
use weir_model::{Dataset, NodeId};

use super::SqliteError;
use super::cells::Cells;
use super::layout;
use crate::Part;
use crate::sql::{Change, Stored, bounds, by_tenant};

/// The ranges that a run may touch: from the last that begins before it to those that begin right
/// after it.
const RANGES: &str = "SELECT first_batch, last_batch FROM _weir_stored \
     WHERE node = ?1 AND dataset = ?2 AND first_batch <= ?4 + 1 AND first_batch >= \
     (SELECT coalesce(max(first_batch), ?3) FROM _weir_stored \
      WHERE node = ?1 AND dataset = ?2 AND first_batch < ?3)";
const PIECES: &str = "SELECT batch, first_row, end_row FROM _weir_pieces \
     WHERE node = ?1 AND dataset = ?2 AND batch BETWEEN ?3 AND ?4";
const RANGE_GONE: &str =
    "DELETE FROM _weir_stored WHERE node = ?1 AND dataset = ?2 AND first_batch = ?3";
const RANGE_PUT: &str = "INSERT OR REPLACE INTO _weir_stored VALUES (?1, ?2, ?3, ?4)";
const PIECE_PUT: &str = "INSERT INTO _weir_pieces VALUES (?1, ?2, ?3, ?4, ?5)";
const LAST: &str = "SELECT max(last_batch) FROM _weir_stored WHERE node = ?1 AND dataset = ?2";

/// A file that is open for writing.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    database: Connection,
}

impl File {
    /// Opens the file, and makes it or brings it up to date.
    ///
    /// # Errors
    ///
    /// See [`layout::prepare`].
    pub(super) fn open(path: &Path, busy: Duration) -> Result<Self, SqliteError> {
        let mut database = Connection::open(path).map_err(SqliteError::of(path))?;
        layout::prepare(&mut database, path, busy)?;
        Ok(Self {
            path: path.to_owned(),
            database,
        })
    }

    /// Writes the rows of `run` that the file does not hold yet, durably; all of them, or those of
    /// `tenant` alone. Gives how many there were.
    ///
    /// # Errors
    ///
    /// Nothing is written then.
    pub(super) fn write(&mut self, run: &[Part], tenant: Option<&str>) -> Result<u64, SqliteError> {
        let failed = SqliteError::of(&self.path);
        let (Some(first), Some(numbers)) = (run.first(), bounds(run)) else {
            return Ok(0);
        };
        let id = first.batch().id();
        let (node, dataset) = (id.node.as_str(), id.dataset);
        let change = self
            .database
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&failed)?;
        let stored = load(&change, node, dataset, numbers).map_err(&failed)?;
        let (missing, next) = stored.plan(run);
        let mut rows = 0;
        for one in &missing {
            let Some(part) = run.get(one.part) else {
                continue;
            };
            let Some(piece) = Part::piece(part.batch().clone(), one.rows.clone()) else {
                continue;
            };
            let given = match tenant {
                Some(tenant) => of_tenant(&piece.rows(), tenant)?,
                None => Some(piece.rows()),
            };
            if let Some(given) = given {
                insert(&change, dataset, &given, &failed)?;
                rows += given.num_rows() as u64;
            }
        }
        if !missing.is_empty() {
            record(&change, node, dataset, &next).map_err(&failed)?;
            change.commit().map_err(&failed)?;
        }
        Ok(rows)
    }

    #[cfg(test)]
    pub(super) fn database(&self) -> &Connection {
        &self.database
    }
}

fn of_tenant(rows: &RecordBatch, tenant: &str) -> Result<Option<RecordBatch>, SqliteError> {
    let groups = by_tenant(rows)?.into_iter();
    let mut ours = groups.filter(|(name, _)| name == tenant);
    Ok(ours.next().map(|(_, rows)| rows))
}

fn load(
    change: &Transaction<'_>,
    node: &str,
    dataset: Dataset,
    (first, last): (i64, i64),
) -> rusqlite::Result<Stored> {
    let values = params![node, dataset.name(), first, last];
    let mut ranges = change.prepare_cached(RANGES)?;
    let ranges = ranges.query_map(values, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut pieces = change.prepare_cached(PIECES)?;
    let pieces = pieces.query_map(values, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(Stored {
        ranges: ranges.collect::<rusqlite::Result<_>>()?,
        pieces: pieces.collect::<rusqlite::Result<_>>()?,
    })
}

fn record(
    change: &Transaction<'_>,
    node: &str,
    dataset: Dataset,
    next: &Change,
) -> rusqlite::Result<()> {
    let dataset = dataset.name();
    for first in &next.gone {
        change
            .prepare_cached(RANGE_GONE)?
            .execute(params![node, dataset, first])?;
    }
    for (first, last) in &next.ranges {
        change
            .prepare_cached(RANGE_PUT)?
            .execute(params![node, dataset, first, last])?;
    }
    for (batch, start, end) in &next.pieces {
        change
            .prepare_cached(PIECE_PUT)?
            .execute(params![node, dataset, batch, start, end])?;
    }
    Ok(())
}

/// Inserts all rows. Columns without a value in any of them are not named, which makes narrow
/// rows cheap in wide tables.
fn insert(
    change: &Transaction<'_>,
    dataset: Dataset,
    rows: &RecordBatch,
    failed: &impl Fn(rusqlite::Error) -> SqliteError,
) -> Result<(), SqliteError> {
    let mut names = Vec::new();
    let mut cells = Vec::new();
    for column in dataset.columns() {
        if let Some(array) = rows.column_by_name(column.name)
            && array.null_count() < array.len()
        {
            names.push(column.name);
            cells.push(Cells::new(column, array)?);
        }
    }
    let (marks, names) = (vec!["?"; names.len()].join(","), names.join(","));
    let statement = format!("INSERT INTO {dataset} ({names}) VALUES ({marks})");
    let mut statement = change.prepare_cached(&statement).map_err(failed)?;
    for row in 0..rows.num_rows() {
        for (at, column) in (1..).zip(&cells) {
            column.bind(&mut statement, at, row, failed)?;
        }
        statement.raw_execute().map_err(failed)?;
    }
    Ok(())
}

/// Opens the file for reading; `None` where there is none, or nothing in it.
fn reader(path: &Path, busy: Duration) -> Result<Option<Connection>, SqliteError> {
    let failed = SqliteError::of(path);
    let there = path.try_exists().map_err(|source| SqliteError::Folder {
        path: path.to_owned(),
        source,
    })?;
    if !there {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(&failed)?;
    database.busy_timeout(busy).map_err(&failed)?;
    let found = layout::refuse_others(&database, path)?;
    Ok((found > 0).then_some(database))
}

/// The last batch of `node` that the file knows of.
///
/// # Errors
///
/// Where it cannot be read.
pub(super) fn last_batch(
    path: &Path,
    busy: Duration,
    dataset: Dataset,
    node: &NodeId,
) -> Result<Option<i64>, SqliteError> {
    let Some(database) = reader(path, busy)? else {
        return Ok(None);
    };
    database
        .query_row(LAST, params![node.as_str(), dataset.name()], |row| {
            row.get(0)
        })
        .map_err(SqliteError::of(path))
}

/// How many rows of `node` are in the file.
///
/// # Errors
///
/// Where it cannot be read.
pub(super) fn count(
    path: &Path,
    busy: Duration,
    dataset: Dataset,
    node: &NodeId,
) -> Result<u64, SqliteError> {
    let Some(database) = reader(path, busy)? else {
        return Ok(0);
    };
    let statement = format!("SELECT count(*) FROM {dataset} WHERE _node = ?1");
    let rows: i64 = database
        .query_row(&statement, params![node.as_str()], |row| row.get(0))
        .map_err(SqliteError::of(path))?;
    Ok(rows.unsigned_abs())
}
