//! What can go wrong with a file of SQLite.

use std::path::PathBuf;

use arrow_schema::ArrowError;
use rusqlite::ErrorCode;
use weir_model::{Classify, Fault};

use crate::SinkError;

/// The rows were not written, or the file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// SQLite refused. It names tables and columns, never values.
    #[error("{path} cannot be used")]
    Database {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// The folder of the file cannot be made or read.
    #[error("{path} cannot be made or read")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file was made by a newer weir.
    #[error(
        "{path} has layout {found}, newer than the {known} that this weir writes: start the newer \
         weir again, or name another file; nothing was changed"
    )]
    Newer {
        /// Which file.
        path: PathBuf,
        /// What it has.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// The file is the database of another program.
    #[error("{path} is a database of another program: name a file that weir may have for itself")]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// The file system cannot keep a write-ahead log beside the file.
    #[error(
        "{path} lies where SQLite cannot keep a write-ahead log; name a folder on a local disk"
    )]
    NoWal {
        /// Which file.
        path: PathBuf,
    },
    /// The rows are not of a dataset.
    #[error("the rows cannot be read")]
    Rows(#[from] ArrowError),
    /// The thread that writes could not be started, or has ended.
    #[error("the thread that writes does not run")]
    Thread,
}

impl SqliteError {
    /// Says of an error of SQLite which file it is about.
    pub(super) fn of(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Database {
            path: path.clone(),
            source,
        }
    }
}

impl From<SqliteError> for SinkError {
    fn from(error: SqliteError) -> Self {
        Box::new(error)
    }
}

impl Classify for SqliteError {
    fn fault(&self) -> Fault {
        /// What the rows themselves are to blame for; everything else can be mended.
        const ROWS: [ErrorCode; 3] = [
            ErrorCode::ConstraintViolation,
            ErrorCode::TooBig,
            ErrorCode::TypeMismatch,
        ];
        match self {
            Self::Database { source, .. }
                if source
                    .sqlite_error_code()
                    .is_some_and(|code| ROWS.contains(&code)) =>
            {
                Fault::Permanent
            }
            Self::Rows(_) => Fault::Permanent,
            Self::Database { .. }
            | Self::Folder { .. }
            | Self::Newer { .. }
            | Self::Foreign { .. }
            | Self::NoWal { .. }
            | Self::Thread => Fault::Transient { after: None },
        }
    }
}
