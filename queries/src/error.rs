//! Why a query was not answered, in words that are safe to show to whoever asked.
//!
//! A message speaks of the caller's own SQL and of the public tables only. It never holds a row's
//! contents, another tenant's name or a place in storage; what an operator needs beyond that is
//! logged where the error is made.

use std::fmt;
use std::time::Duration;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use weir_model::{Classify, Fault};

/// The longest message, in bytes: an error is an answer, not a dump of the plan.
const MESSAGE_BYTES_MAX: usize = 600;

/// What went wrong, by what the caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The SQL is wrong: correct it. 400.
    Invalid,
    /// It ran longer than allowed and was stopped: narrow it. 408.
    TimedOut,
    /// The SQL text is longer than allowed. 413.
    TooLarge,
    /// It is SQL that this server does not run, or that needs more than a query may use. 422.
    Refused,
    /// Too many queries run at once: ask again. 429.
    Busy,
    /// The lake or the log could not be read just now: ask again. 503.
    Unavailable,
    /// A fault of ours. 500.
    Internal,
}

impl ErrorKind {
    /// The HTTP status that says the same.
    pub const fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::TimedOut => 408,
            Self::TooLarge => 413,
            Self::Refused => 422,
            Self::Busy => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

/// A query was not answered; nothing was changed, since a query changes nothing.
#[derive(Debug)]
pub struct QueryError {
    kind: ErrorKind,
    code: &'static str,
    message: String,
}

impl QueryError {
    pub(crate) fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            message: shorten(message.into()),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "sql_invalid", message)
    }

    pub(crate) fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, code, message)
    }

    pub(crate) fn timed_out(limit: Duration) -> Self {
        let message = format!(
            "the query was stopped after {} s; narrow it by time, or select fewer rows",
            limit.as_secs_f64()
        );
        Self::new(ErrorKind::TimedOut, "query_timeout", message)
    }

    pub(crate) fn stopped() -> Self {
        Self::new(
            ErrorKind::TimedOut,
            "query_stopped",
            "the query was stopped",
        )
    }

    pub(crate) fn unavailable() -> Self {
        let message = "stored rows cannot be read just now; ask again in a few seconds";
        Self::new(ErrorKind::Unavailable, "storage_unavailable", message)
    }

    pub(crate) fn internal() -> Self {
        let message = "the query failed by a fault of this server; its log says more";
        Self::new(ErrorKind::Internal, "internal", message)
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The HTTP status of [`kind`](Self::kind).
    pub fn status(&self) -> u16 {
        self.kind.status()
    }

    /// A stable word for this error, for programs.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The same for people, at most 600 bytes, safe to show to whoever asked.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// How long to wait before asking again, where that can help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            ErrorKind::Busy => Some(Duration::from_secs(1)),
            ErrorKind::Unavailable => Some(Duration::from_secs(5)),
            ErrorKind::Invalid
            | ErrorKind::TimedOut
            | ErrorKind::TooLarge
            | ErrorKind::Refused
            | ErrorKind::Internal => None,
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueryError {}

impl Classify for QueryError {
    fn fault(&self) -> Fault {
        match self.kind {
            ErrorKind::Busy | ErrorKind::Unavailable => Fault::Transient {
                after: self.retry_after(),
            },
            ErrorKind::Invalid
            | ErrorKind::TimedOut
            | ErrorKind::TooLarge
            | ErrorKind::Refused
            | ErrorKind::Internal => Fault::Permanent,
        }
    }
}

impl QueryError {
    /// An error of a plan that runs. What a function cannot do is told in the words of a value that
    /// it cannot take: a column that holds one value throughout a file becomes a constant, so which
    /// of the two is found, and which first, depends on the file, and in a file of several tenants
    /// on rows of others.
    pub(crate) fn of_running(error: DataFusionError) -> Self {
        let safe = Self::from(error);
        match safe.code {
            "sql_unsupported" => misfit(),
            _ => safe,
        }
    }
}

/// What is said of a value that an expression cannot take, whatever it is.
fn misfit() -> QueryError {
    QueryError::refused(
        "query_failed",
        "a value does not fit the function it is given to",
    )
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        let safe = safe_error(&error);
        if matches!(safe.kind, ErrorKind::Unavailable | ErrorKind::Internal) {
            tracing::warn!(code = safe.code, error = %error, "query.failed");
        }
        safe
    }
}

/// Says of DataFusion's error what may be shown: planning errors speak of the caller's SQL and are
/// passed on; errors of running may quote values and are put into words of our own.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the enum has variants by feature, and what is not known must not be quoted"
)]
fn safe_error(error: &DataFusionError) -> QueryError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            safe_error(inner)
        }
        DataFusionError::Shared(inner) => safe_error(inner),
        DataFusionError::Collection(all) => {
            all.first().map_or_else(QueryError::internal, safe_error)
        }
        DataFusionError::SQL(error, _) => QueryError::invalid(error.to_string()),
        DataFusionError::Plan(text) => QueryError::invalid(text.as_str()),
        DataFusionError::SchemaError(error, _) => QueryError::invalid(error.to_string()),
        DataFusionError::NotImplemented(text) => {
            QueryError::refused("sql_unsupported", text.as_str())
        }
        DataFusionError::Configuration(_) => {
            QueryError::refused("sql_unsupported", "this setting cannot be used here")
        }
        DataFusionError::ResourcesExhausted(_) => out_of_resources(),
        DataFusionError::ArrowError(error, _) => arrow_error(error),
        DataFusionError::Execution(_) => misfit(),
        DataFusionError::External(error) => external_error(error.as_ref()),
        DataFusionError::Internal(text) if is_about_a_pattern(text) => bad_pattern(),
        DataFusionError::ParquetError(error) => parquet_error(&error.to_string()),
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => QueryError::unavailable(),
        _ => QueryError::internal(),
    }
}

/// What our own scans and functions raise inside DataFusion comes back out as it was.
fn external_error(error: &(dyn std::error::Error + 'static)) -> QueryError {
    if let Some(own) = error.downcast_ref::<QueryError>() {
        return QueryError::new(own.kind, own.code, own.message.clone());
    }
    if let Some(inner) = error.downcast_ref::<DataFusionError>() {
        return safe_error(inner);
    }
    if let Some(inner) = error.downcast_ref::<ArrowError>() {
        return arrow_error(inner);
    }
    if error.is::<object_store::Error>() || error.is::<parquet::errors::ParquetError>() {
        return QueryError::unavailable();
    }
    if error.is::<std::io::Error>() {
        return QueryError::unavailable();
    }
    if is_about_a_pattern(&error.to_string()) {
        return bad_pattern();
    }
    tracing::warn!(%error, "query.failed.outside");
    QueryError::internal()
}

/// Whether an error of a function is about a regular expression; its type does not say so.
fn is_about_a_pattern(text: &str) -> bool {
    [
        "regex parse error",
        "Regular expression did not compile",
        "CompiledTooBig",
    ]
    .iter()
    .any(|part| text.contains(part))
}

fn bad_pattern() -> QueryError {
    QueryError::invalid("a regular expression cannot be read, or is too large")
}

fn out_of_resources() -> QueryError {
    QueryError::refused(
        "query_memory",
        "the query needs more memory or spill space than one query may use; select fewer columns \
         or rows, or group by fewer values",
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not known must not be quoted"
)]
fn arrow_error(error: &ArrowError) -> QueryError {
    let refused = |text| QueryError::refused("query_failed", text);
    match error {
        ArrowError::ExternalError(inner) => external_error(inner.as_ref()),
        ArrowError::DivideByZero => refused("division by zero"),
        ArrowError::ArithmeticOverflow(_) => refused("a number grows beyond its type"),
        ArrowError::CastError(_) | ArrowError::ParseError(_) => {
            refused("a value cannot be read as the type asked for; try_cast gives NULL there")
        }
        ArrowError::ComputeError(text) => {
            predicate_failure(text).unwrap_or_else(|| refused("a value does not fit the operation"))
        }
        ArrowError::InvalidArgumentError(_) => refused("a value does not fit the operation"),
        ArrowError::MemoryError(_) => out_of_resources(),
        ArrowError::ParquetError(text) => parquet_error(text),
        ArrowError::IoError(_, _) => QueryError::unavailable(),
        _ => QueryError::internal(),
    }
}

/// A file that cannot be read, unless it is the query's own predicate that failed on it.
fn parquet_error(text: &str) -> QueryError {
    predicate_failure(text).unwrap_or_else(QueryError::unavailable)
}

/// A predicate that is evaluated while a file is decoded fails as part of a text, which quotes
/// values: the name of the error that comes first in it says which one it was.
fn predicate_failure(text: &str) -> Option<QueryError> {
    let (_, failure) = text.split_once("Error evaluating filter predicate")?;
    let misread = "a value cannot be read as the type asked for; try_cast gives NULL there";
    let unfit = "a value does not fit the operation";
    let known = [
        ("DivideByZero", "division by zero"),
        ("ArithmeticOverflow(", "a number grows beyond its type"),
        ("CastError(", misread),
        ("ParseError(", misread),
        ("ComputeError(", unfit),
        ("InvalidArgumentError(", unfit),
    ];
    let places = known
        .iter()
        .filter_map(|(name, what)| Some((failure.find(name)?, what)));
    if let Some((place, what)) = places.min() {
        let before = failure.get(..place).unwrap_or_default();
        if !before.contains("Execution(") {
            return Some(QueryError::refused("query_failed", *what));
        }
    }
    if is_about_a_pattern(failure) {
        return Some(bad_pattern());
    }
    if failure.contains("query_memory") {
        return Some(out_of_resources());
    }
    Some(misfit())
}

/// Cuts at a character's edge.
fn shorten(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES_MAX {
        let mut end = MESSAGE_BYTES_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
    text
}
