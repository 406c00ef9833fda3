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
    /// Postgres refused, or does not answer.
    #[error("the state in Postgres cannot be used; look at `state.postgres_url`")]
    Postgres(#[from] tokio_postgres::Error),
    /// Postgres did not answer in time; whether a change was made is not known.
    #[error("Postgres did not answer in time")]
    Silent,
    /// The setting names no database. Its text is not repeated, since it may hold a password.
    #[error("`state.postgres_url` must be postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// The authorities that the database's certificate is checked against cannot be read.
    #[error("{path} is not a PEM file with certificates; look at `state.postgres_ca_file`")]
    Authorities {
        /// Which file.
        path: PathBuf,
    },
    /// The thread's own event loop could not be made.
    #[error("no event loop could be made")]
    Runtime {
        /// Why.
        #[source]
        source: std::io::Error,
    },
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
    /// The keys were made under another pepper.
    #[error(
        "{path} is not the pepper under which the keys were made: copy that file from the node \
         that made them, or say where it lies with `state.pepper_file`"
    )]
    OtherPepper {
        /// Where this one lies.
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
    #[error("the state database has a key or a tenant that cannot be read")]
    Row,
    /// The name is too long.
    #[error("a key's name has at most {max} bytes")]
    Name {
        /// The limit.
        max: usize,
    },
    /// There are as many keys as may hold.
    #[error(
        "there are {} keys already; revoke those that are not used",
        crate::KEYS_MAX
    )]
    TooManyKeys,
    /// The key was rotated too often at once.
    #[error(
        "the key has {} secrets that still hold; wait until one ends, or rotate with \
         `--overlap 0s`, which ends them all",
        crate::SECRETS_MAX
    )]
    TooManySecrets,
    /// The tenant has as many notes of the kind as it may.
    #[error(
        "there are {} of them already; delete those that are not needed",
        crate::NOTES_MAX
    )]
    TooManyNotes,
    /// A note is longer than a state keeps.
    #[error("a name or a text of it is too long")]
    NoteSize,
}

impl Classify for StoreError {
    fn fault(&self) -> Fault {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
        match self {
            Self::Database(error) => match error.sqlite_error_code() {
                Some(DatabaseBusy | DatabaseLocked | DiskFull) => Fault::Transient { after: None },
                _ => Fault::Permanent,
            },
            // What Postgres says may be a wrong password or a restart: by the rule, transient.
            Self::Postgres(_) | Self::Silent | Self::File { .. } | Self::Runtime { .. } => {
                Fault::Transient { after: None }
            }
            Self::Url
            | Self::Authorities { .. }
            | Self::Pepper { .. }
            | Self::OtherPepper { .. }
            | Self::Layout { .. }
            | Self::Row
            | Self::Name { .. }
            | Self::TooManyKeys
            | Self::TooManySecrets
            | Self::TooManyNotes
            | Self::NoteSize => Fault::Permanent,
        }
    }
}
