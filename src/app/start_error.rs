//! Why a node does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use weir_ingest::log::OpenError;
use weir_lake::LakeError;
use weir_model::FoundLayout;

use crate::app::prices::{self, PricesError};
use crate::cli::exit::Exit;
use crate::config::tree::Wrong;
use crate::tls::TlsError;

/// The node could not start; nothing runs, and the directory's lock is free.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StartError {
    /// The data directory cannot be made.
    #[error("the data directory {path} cannot be made")]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another process has the data directory.
    #[error(
        "the data directory {} is in use by another weir process; stop that one, or choose another \
         with --data-dir",
        path.display()
    )]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The log cannot be opened.
    #[error(
        "the write-ahead log in {} cannot be opened; `weir wal check` says more",
        path.display()
    )]
    Log {
        /// The data directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The lake cannot be opened.
    #[error("the lake cannot be opened; look at `lake.url` and `lake.options`")]
    Lake {
        /// Why.
        #[source]
        source: LakeError,
    },
    /// Another part of the node's state cannot be opened.
    #[error("{what} cannot be opened")]
    State {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something was written by a newer weir; nothing was changed.
    #[error(
        "`{}` ({}) has version {}, newer than the {} that this weir reads: start the newer weir \
         again, or restore a copy from before its upgrade; nothing was changed",
        layout.file,
        layout.format,
        layout.found.unwrap_or_default(),
        layout.known
    )]
    Newer {
        /// What.
        layout: FoundLayout,
    },
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} ({name}); set another with --{name}, or port 0 for a free one"
    )]
    Bind {
        /// The flag.
        name: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A sink's configuration cannot be used.
    #[error("`sinks.{name}` cannot be used: {why}")]
    Sink {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// Other machines could reach the node without a key.
    #[error(
        "{address} can be reached by other machines, and there is no key: make one with \
         `weir keys create --tenant NAME` and the same --data-dir or --config, or listen on \
         127.0.0.1"
    )]
    NoKeys {
        /// The address.
        address: SocketAddr,
    },
    /// Keys would travel in the clear.
    #[error(
        "{address} can be reached by other machines, and there is no TLS: set --tls-cert-file and \
         --tls-key-file, or say --insecure-http on a private network"
    )]
    Insecure {
        /// The address.
        address: SocketAddr,
    },
    /// The certificates cannot be used.
    #[error("TLS cannot be served; look at the settings below `tls`")]
    Tls {
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The operator's file of additions to the mapping has faults.
    #[error("{}", prices::faults(path, wrong))]
    Mapping {
        /// Which.
        path: PathBuf,
        /// All of them.
        wrong: Wrong,
    },
    /// The prices cannot be used.
    #[error("prices cannot be put into effect; look at `prices.file`")]
    Prices {
        /// Why.
        #[source]
        source: PricesError,
    },
    /// A thread of ours failed.
    #[error("an internal thread failed while starting")]
    Worker,
}

impl StartError {
    /// Of a log in `dir` that cannot be opened.
    pub(crate) fn of_log(dir: &std::path::Path, source: OpenError) -> Self {
        let path = dir.to_path_buf();
        if matches!(source, OpenError::InUse) {
            return Self::InUse { path };
        }
        Self::Log { path, source }
    }

    /// The code to end with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::InUse { .. } => Exit::IN_USE,
            Self::NoKeys { .. }
            | Self::Insecure { .. }
            | Self::Sink { .. }
            | Self::Tls { .. }
            | Self::Mapping { .. }
            | Self::Prices { .. } => Exit::USAGE,
            Self::Folder { .. }
            | Self::Log { .. }
            | Self::Lake { .. }
            | Self::State { .. }
            | Self::Newer { .. }
            | Self::Bind { .. }
            | Self::Worker => Exit::FAILURE,
        }
    }
}
