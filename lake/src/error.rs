//! What can go wrong in the lake, by what is to be done about it.

use deltalake_core::DeltaTableError;
use weir_model::{Classify, Dataset, Fault};

/// The lake could not do what was asked. Nothing in these messages quotes a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// The configured place cannot be used; nothing was opened.
    #[error("the lake at `{url}` cannot be used: {reason}")]
    Location {
        /// The place, as configured, without any secret.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option of the object store is not known; nothing was opened.
    #[error("the object store knows no option `{name}`")]
    Option {
        /// The option's name; its value may be a secret and is left out.
        name: String,
    },
    /// The object store failed. For a write the outcome is unknown: the same call may be made
    /// again, and stores nothing twice.
    #[error("the object store failed")]
    Store(#[from] object_store::Error),
    /// The Delta library failed at creating, widening or checkpointing a table.
    #[error("the Delta table of `{dataset}` failed")]
    Delta {
        /// Which table's.
        dataset: Dataset,
        /// Why.
        #[source]
        source: Box<DeltaTableError>,
    },
    /// The table's log says something that this program does not understand.
    #[error("the Delta log of `{dataset}` is not readable at version {version}: {reason}")]
    Log {
        /// Which table's.
        dataset: Dataset,
        /// The version that was read.
        version: u64,
        /// What is odd about it.
        reason: String,
    },
    /// The table was written by a newer version of this program; nothing was changed.
    #[error(
        "the table `{dataset}` has layout {found} (property `weir.layout`), newer than this weir \
         reads: use the newer weir, or another `lake.url`; nothing was changed"
    )]
    Newer {
        /// Which table.
        dataset: Dataset,
        /// Its layout.
        found: u64,
    },
    /// The table was changed by another program in a way that forbids writing to it.
    #[error("the Delta table of `{dataset}` cannot be written: {reason}")]
    Unsupported {
        /// Which table's.
        dataset: Dataset,
        /// What stands in the way.
        reason: String,
    },
    /// Other writers were faster, again and again; nothing was stored.
    #[error("`{dataset}` had another writer at each of {attempts} attempts")]
    Contended {
        /// Which table's.
        dataset: Dataset,
        /// How often the commit was tried.
        attempts: u32,
    },
    /// The rows do not have the dataset's schema, or Parquet cannot hold them; nothing was stored.
    #[error("rows of `{dataset}` cannot be written as Parquet: {reason}")]
    Rows {
        /// Which table's.
        dataset: Dataset,
        /// What is wrong, without a value.
        reason: String,
    },
    /// A data file could not be read.
    #[error("the data file `{path}` is not readable")]
    File {
        /// Its path in the table.
        path: String,
        /// Why.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A lake that some tenants have for themselves fails; why is the source.
    #[error("the lake of {tenants}")]
    Own {
        /// Whose.
        tenants: String,
        /// Why.
        #[source]
        source: Box<LakeError>,
    },
    /// A helper thread ended before its work did; nothing was stored.
    #[error("a helper thread of the lake ended early")]
    Stopped,
}

impl LakeError {
    /// Whether the place gave no answer, as opposed to one that refuses: waiting may mend that, and
    /// it says nothing of the configuration.
    pub fn is_silence(&self) -> bool {
        if let Self::Own { source, .. } = self {
            return source.is_silence();
        }
        matches!(
            self,
            Self::Store(
                object_store::Error::Generic { .. } | object_store::Error::JoinError { .. }
            )
        )
    }
}

impl Classify for LakeError {
    fn fault(&self) -> Fault {
        match self {
            Self::Rows { .. } => Fault::Permanent,
            Self::Own { source, .. } => source.fault(),
            // The rows are good: an operator, another attempt or a better network mends the rest.
            Self::Location { .. }
            | Self::Option { .. }
            | Self::Store(_)
            | Self::Delta { .. }
            | Self::Log { .. }
            | Self::Newer { .. }
            | Self::Unsupported { .. }
            | Self::Contended { .. }
            | Self::File { .. }
            | Self::Stopped => Fault::Transient { after: None },
        }
    }
}
