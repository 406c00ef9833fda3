//! What goes into the log, and what comes of it.

use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use weir_model::{Classify, Dataset, Fault, TenantId};

use crate::wal::memory_bytes;

/// The receiver that took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Route {
    /// OTLP traces, over HTTP or gRPC.
    Traces = 1,
    /// `POST /v1/proxy/audit`.
    ProxyAudit = 2,
    /// `POST /v1/ocsf/ingest`.
    Ocsf = 3,
    /// `POST /api/v1/telemetry/events`, and its batches.
    TelemetryEvents = 4,
    /// OTLP logs, over HTTP or gRPC.
    Logs = 5,
}

impl Route {
    /// Every route, in the order of their codes.
    pub const ALL: [Self; 5] = [
        Self::Traces,
        Self::ProxyAudit,
        Self::Ocsf,
        Self::TelemetryEvents,
        Self::Logs,
    ];

    /// The number that stands for it in the log; never reused.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The route of that code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.code() == code)
    }
}

/// One request, whole: all of it becomes durable in one frame, or nothing.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Whose request.
    pub tenant: TenantId,
    /// Which receiver took it.
    pub route: Route,
    /// The digest of tenant, route and body, by which a resend is known; `None` where equal bodies
    /// may rightly repeat.
    pub digest: Option<[u8; 16]>,
    /// The sender's own key.
    pub idempotency_key: Option<String>,
    /// The answer, so that a resend gets the same one after a restart.
    pub answer: Vec<u8>,
    /// The rows, each in its dataset's accepted schema; empty batches are left out.
    pub rows: Vec<(Dataset, RecordBatch)>,
}

/// Rows of several requests that were decoded together: small requests cost more for the hundred
/// columns of their own than for their rows.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Which table's.
    pub dataset: Dataset,
    /// All rows, in the accepted schema, those of a request behind those of the one before.
    pub rows: RecordBatch,
    /// How many rows each request has.
    pub counts: Vec<u32>,
}

/// What is appended at once, and is in one frame: a request, or several whose rows are joined.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The requests, with the rows that are theirs alone.
    pub entries: Vec<Entry>,
    /// The rows that they share a batch for.
    pub joined: Option<Joined>,
}

impl From<Entry> for Submission {
    fn from(entry: Entry) -> Self {
        Self {
            entries: vec![entry],
            joined: None,
        }
    }
}

/// A request is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The sequence number of the frame that holds it.
    pub seq: u64,
    /// When the node took it, in microseconds since the epoch.
    pub committed_at_us: i64,
}

/// The request was not taken. It is certain that nothing of it will ever be delivered, except after
/// [`AppendError::Broken`] and [`AppendError::Closed`], and after [`AppendError::Refused`] where the
/// process ends before the next frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The disk or the log's budget is full; it recovers by itself when space returns.
    #[error("the log is full")]
    Full {
        /// How long the sender should wait.
        retry_after: Duration,
    },
    /// The disk refused the write; the next attempt goes to another place on it.
    #[error("the disk refused a write")]
    Refused {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The disk failed to make data durable. Nothing is known about the request, and the process
    /// must exit with status 74: a later fsync would lie.
    #[error("the log is broken: the disk failed to make data durable")]
    Broken,
    /// The log is closing. Nothing is known about the request where it was already queued.
    #[error("the log is closed")]
    Closed,
    /// The request alone makes a frame beyond the limit.
    #[error("the request makes a frame of {bytes} bytes, and {bytes_max} are allowed")]
    TooLarge {
        /// The frame's size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The rows are not of their dataset's accepted schema.
    #[error("rows that are not of the schema of `{dataset}`")]
    Rows {
        /// Which table's.
        dataset: Dataset,
        /// Why.
        #[source]
        source: ArrowError,
    },
}

impl Classify for AppendError {
    fn fault(&self) -> Fault {
        match self {
            Self::Full { retry_after } => Fault::Transient {
                after: Some(*retry_after),
            },
            Self::Refused { .. } | Self::Broken | Self::Closed => Fault::Transient { after: None },
            Self::TooLarge { .. } | Self::Rows { .. } => Fault::Permanent,
        }
    }
}

/// Refuses what no frame could hold; gives what the rows take in memory.
pub(super) fn check(submission: &Submission) -> Result<usize, AppendError> {
    let mut bytes: usize = 0;
    if let Some(joined) = &submission.joined {
        let counted = joined.counts.iter().map(|n| usize::try_from(*n));
        let counted: usize = counted.map(|n| n.unwrap_or(usize::MAX)).sum();
        let own = submission.entries.iter().flat_map(|e| &e.rows);
        let each = joined.counts.len() == submission.entries.len();
        if !each
            || counted != joined.rows.num_rows()
            || own.into_iter().any(|(d, _)| *d == joined.dataset)
        {
            return Err(refused(
                joined.dataset,
                "joined rows that are not its requests'",
            ));
        }
        bytes = check_rows(joined.dataset, &joined.rows)?;
    }
    for entry in &submission.entries {
        bytes = bytes.saturating_add(check_entry(entry)?);
    }
    Ok(bytes)
}

fn refused(dataset: Dataset, why: &str) -> AppendError {
    AppendError::Rows {
        dataset,
        source: ArrowError::SchemaError(why.to_owned()),
    }
}

fn check_rows(dataset: Dataset, rows: &RecordBatch) -> Result<usize, AppendError> {
    if rows.schema() != dataset.accepted_schema() {
        return Err(refused(dataset, "not the accepted schema"));
    }
    if !Dataset::RECEIVED.contains(&dataset) {
        return Err(refused(dataset, "not a received dataset"));
    }
    Ok(memory_bytes(rows))
}

fn check_entry(entry: &Entry) -> Result<usize, AppendError> {
    let mut bytes = entry.answer.len();
    for (dataset, rows) in &entry.rows {
        bytes = bytes.saturating_add(check_rows(*dataset, rows)?);
    }
    let key_bytes = entry.idempotency_key.as_ref().map_or(0, String::len);
    if key_bytes > usize::from(u16::MAX) {
        return Err(AppendError::TooLarge {
            bytes: key_bytes,
            bytes_max: usize::from(u16::MAX),
        });
    }
    Ok(bytes)
}
