//! Why a whole body was refused.

use weir_model::{Classify, Fault};

/// Which kind of answer a refusal gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// 400: it cannot be read.
    Malformed,
    /// 413: it is more than is taken at once.
    TooLarge,
    /// 422: it can be read but breaks the receiver's contract.
    Unprocessable,
}

impl RefusalKind {
    /// The HTTP status.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
        }
    }
}

/// A body that was refused whole; nothing of it was kept. The texts are safe to send back: they
/// never repeat what the body contained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are no Protobuf message of this kind.
    #[error("the body is not a valid OTLP protobuf message: {what} at byte {offset}")]
    Protobuf {
        /// What is wrong.
        what: &'static str,
        /// Where, counted from the start of the body.
        offset: usize,
    },
    /// Text that is not UTF-8 in a field that must be.
    #[error("a text field of the body is not valid UTF-8")]
    Utf8,
    /// The bytes are no JSON.
    #[error("the body is not valid JSON (line {line}, column {column})")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// It is JSON but not of the expected shape.
    #[error("the body does not have the expected shape: {what} (line {line}, column {column})")]
    Shape {
        /// What is wrong.
        what: &'static str,
        /// The line, from 1; 0 where it is not known.
        line: usize,
        /// The column, from 1; 0 where it is not known.
        column: usize,
    },
    /// The body nests too deeply (400).
    #[error("the body nests deeper than {max} levels")]
    TooDeep {
        /// The deepest level that is taken.
        max: usize,
    },
    /// The body nests too deeply for a receiver whose contract says 422.
    #[error("Request payload is too deeply nested to process")]
    TooDeepForContract,
    /// More rows than are taken at once.
    #[error("the body holds more than {max} records; send fewer at once")]
    TooManyRows {
        /// The most that are taken.
        max: usize,
    },
    /// More events than the contract of their batch route allows (400).
    #[error("a batch holds at most {max} events; send fewer at once")]
    TooManyEvents {
        /// The most that are taken.
        max: usize,
    },
    /// More security events than are taken at once; the contract of their senders says 422.
    #[error("OCSF ingest accepts at most {max} events at once")]
    TooManySecurityEvents {
        /// The most that are taken.
        max: usize,
    },
    /// More values than are taken in one JSON body.
    #[error("the body holds more than {max} JSON values; send fewer at once")]
    TooManyValues {
        /// The most that are taken.
        max: usize,
    },
    /// The rows would take too much memory once decoded.
    #[error("the body takes more than {max} bytes once decoded; send fewer records at once")]
    TooManyBytes {
        /// The most that are taken.
        max: usize,
    },
    /// It breaks the contract of its receiver; the text is the contract's own.
    #[error("{0}")]
    Contract(&'static str),
    /// It is none of the forms that the receiver takes (400); the text is the contract's own.
    #[error("{0}")]
    NotAForm(&'static str),
    /// The rows could not be put together; a defect of this program.
    #[error("the decoded rows do not fit their schema")]
    Internal,
}

impl DecodeError {
    /// Which kind of answer it gets.
    pub fn status(&self) -> RefusalKind {
        match self {
            Self::Protobuf { .. }
            | Self::Utf8
            | Self::Syntax { .. }
            | Self::Shape { .. }
            | Self::TooDeep { .. }
            | Self::TooManyEvents { .. }
            | Self::NotAForm(_)
            | Self::Internal => RefusalKind::Malformed,
            Self::TooManyRows { .. } | Self::TooManyValues { .. } | Self::TooManyBytes { .. } => {
                RefusalKind::TooLarge
            }
            Self::TooDeepForContract | Self::Contract(_) | Self::TooManySecurityEvents { .. } => {
                RefusalKind::Unprocessable
            }
        }
    }

    /// A stable word for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Protobuf { .. } => "malformed_protobuf",
            Self::Utf8 => "invalid_utf8",
            Self::Syntax { .. } => "malformed_json",
            Self::Shape { .. } | Self::NotAForm(_) => "unexpected_shape",
            Self::TooDeep { .. } | Self::TooDeepForContract => "too_deep",
            Self::TooManyRows { .. } => "too_many_records",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::TooManyValues { .. } => "too_many_values",
            Self::TooManyBytes { .. } => "too_many_bytes",
            Self::Contract(_) | Self::TooManySecurityEvents { .. } => "contract_violated",
            Self::Internal => "internal",
        }
    }
}

impl Classify for DecodeError {
    fn fault(&self) -> Fault {
        Fault::Permanent
    }
}
