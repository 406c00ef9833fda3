//! What the log tells about itself.

use weir_model::{Dataset, NodeId};

use super::Route;
use crate::wal;
use weir_model::TenantId;

/// What was found when the log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Segments read.
    pub segments: usize,
    /// Good frames read.
    pub frames: u64,
    /// Bytes of the good frames.
    pub bytes: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows that were not sealed when the log was last closed, and are now.
    pub resealed_rows: u64,
    /// Bytes cut from the end of the newest segment: a write that never was acknowledged.
    pub torn_bytes: u64,
    /// The newest segment, where it is shorter than it was made or has no header: a start that a
    /// crash cut short, or a file that somebody cut.
    pub short: Vec<String>,
    /// Copies of damaged segments that were put aside, by file name.
    pub quarantined: Vec<String>,
    /// Ranges of frames that are lost to damage, first and last sequence number.
    pub lost: Vec<(u64, u64)>,
    /// Rows known to be lost to damage, from the seals that name them.
    pub lost_rows: u64,
    /// `node.json` was missing or damaged beside a log, so that the node took a new id.
    pub node_file_lost: bool,
    /// Cursor files that were damaged; their sinks are offered again what the log holds.
    pub cursors_lost: Vec<String>,
}

/// The log could not be opened. Nothing was changed but what [`OpenError`] names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process holds the directory.
    #[error("the data directory is in use by another process")]
    InUse,
    /// The settings contradict each other.
    #[error("the log's settings are wrong: {0}")]
    Config(&'static str),
    /// A file could not be read or written.
    #[error("the log at `{path}` could not be opened")]
    Io {
        /// The file or folder, relative to the data directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The log was written by a newer version of this program.
    #[error(
        "`{file}` has layout {version}, newer than this weir reads: start the newer weir again, or \
         restore a copy from before its upgrade; nothing was changed"
    )]
    Newer {
        /// The file, relative to the data directory.
        file: String,
        /// Its version.
        version: u16,
    },
    /// Rows were written by a newer version of this program.
    #[error(
        "`{file}` holds rows of schema {schema}, newer than this weir reads: start the newer weir \
         again, or restore a copy from before its upgrade; nothing was changed"
    )]
    NewerRows {
        /// The segment, relative to the data directory.
        file: String,
        /// The version of its rows.
        schema: u16,
    },
    /// A frame that passed its checksum does not make sense to this program.
    #[error("frame {seq} cannot be understood: {what}")]
    Frame {
        /// Which frame.
        seq: u64,
        /// What was wrong.
        what: &'static str,
    },
}

/// How one dataset stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatasetStatus {
    /// Which.
    pub dataset: Dataset,
    /// Rows accepted by this data directory since it was made.
    pub accepted_rows: u64,
    /// The number of the last sealed batch; 0 where there is none.
    pub last_sealed: i64,
    /// Accepted rows that are not sealed yet.
    pub unsealed_rows: u64,
    /// Rows that no lake commit is known to hold.
    pub recent_rows: u64,
    /// Rows lost to damage of the log.
    pub lost_rows: u64,
    /// When the oldest of `recent_rows` was accepted, in microseconds since the epoch.
    pub oldest_recent_us: Option<i64>,
}

/// How the log stands.
#[derive(Clone, Debug)]
pub struct LogStatus {
    /// The node's id.
    pub node: NodeId,
    /// One entry for each received dataset.
    pub datasets: Vec<DatasetStatus>,
    /// Segment files.
    pub segments: usize,
    /// Bytes of all segment files, the spare one included.
    pub disk_bytes: u64,
    /// The budget for them.
    pub budget_bytes: u64,
    /// Bytes of rows held in memory.
    pub recent_bytes: usize,
    /// The disk or the budget is full just now.
    pub full: bool,
    /// An fsync failed; the process must exit.
    pub broken: bool,
    /// Counters since the start.
    pub counters: wal::Counters,
}

/// A request found in the retained frames, for folding resends after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentRequest {
    /// Whose.
    pub tenant: TenantId,
    /// Which receiver took it.
    pub route: Route,
    /// The digest of tenant, route and body.
    pub digest: Option<[u8; 16]>,
    /// The sender's own key.
    pub idempotency_key: Option<String>,
    /// The answer it got.
    pub answer: Vec<u8>,
    /// When it was taken, in microseconds since the epoch.
    pub received_at_us: i64,
}
