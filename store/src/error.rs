//! What can go wrong with the store.

use std::path::PathBuf;

use weir_model::{Classify, Fault};

/// The state was not read or not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database refused.
    #[error("the state database refused")]
    Database(#[from] rusqlite::Error),
    /// A file of the store cannot be read or made.
    #[error("{path} cannot be read or made")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The pepper is not what this program wrote; keys cannot be compared without it.
    #[error("{path} is damaged: keys cannot be checked without it")]
    Pepper {
        /// Where it lies.
        path: PathBuf,
    },
    /// The database is of a newer weir.
    #[error(
        "`state.db` has layout {found}, newer than the {known} that this weir reads: start the \
         newer weir again, or restore a copy from before its upgrade; nothing was changed"
    )]
    Layout {
        /// What it has.
        found: i64,
        /// What this program knows.
        known: i64,
    },
    /// A row is not what this program wrote.
    #[error("the state database has a key that cannot be read")]
    Row,
    /// The name is too long.
    #[error("a key's name has at most {max} bytes")]
    Name {
        /// The limit.
        max: usize,
    },
}

impl Classify for StoreError {
    fn fault(&self) -> Fault {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        match self {
            Self::Database(error) => match error.sqlite_error_code() {
                Some(DatabaseBusy | DatabaseLocked | DiskFull) => Fault::Transient { after: None },
                _ => Fault::Permanent,
            },
            Self::File { .. } => Fault::Transient { after: None },
            Self::Pepper { .. } | Self::Layout { .. } | Self::Row | Self::Name { .. } => {
                Fault::Permanent
            }
        }
    }
}
