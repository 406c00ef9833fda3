//! What Snowflake may answer, what is to be done about it, and what it means for the rows.
//!
//! The answers are those of Snowflake's pages on error handling and channels; what is done about
//! them is what Snowflake's own client was seen to do.

use std::fmt;
use std::time::Duration;

use weir_model::{Classify, Fault};

/// What is to be done about an answer that is no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// Send the same once more, under the same request id: it is busy, or was away.
    Resend,
    /// Get new tokens, and send the same once more.
    Refresh,
    /// The channel is no longer ours or no longer sound: open it, see how far it is, go on there.
    Reopen,
    /// Rows are still being committed, or another opens the channel: ask again a little later.
    Wait,
    /// The table or pipe is not there, or not for us: make what is missing, then open the channel.
    Missing,
    /// The request is too large: smaller runs are needed.
    TooLarge,
    /// Nothing that the program could do: a person has to.
    Wrong,
}

/// Answers that a code of Snowflake tells apart. Where the code is not here the status decides.
const CODES: &[(&str, Reaction)] = &[
    ("STALE_CONTINUATION_TOKEN_SEQUENCER", Reaction::Reopen),
    ("STALE_PIPE_CACHE", Reaction::Reopen),
    ("ERR_CHANNEL_HAS_INVALID_ROW_SEQUENCER", Reaction::Reopen),
    ("ERR_CHANNEL_HAS_INVALID_CLIENT_SEQUENCER", Reaction::Reopen),
    ("ERR_CHANNEL_MUST_BE_REOPENED", Reaction::Reopen),
    (
        "ERR_CHANNEL_MUST_BE_REOPENED_DUE_TO_ROW_SEQ_GAP",
        Reaction::Reopen,
    ),
    (
        "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED",
        Reaction::Reopen,
    ),
    // Asks for files in place of rows, which this sink does not send; slower is the way out.
    ("SWITCH_TO_FILE_MODE", Reaction::Reopen),
    ("ERR_OPEN_CHANNEL_IN_PROGRESS", Reaction::Wait),
    ("ERR_CHANNEL_HAS_UNCOMMITTED_DATA", Reaction::Wait),
    (
        "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
        Reaction::Missing,
    ),
    ("ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED", Reaction::Missing),
];

/// What is to be done about an answer with this status and code.
pub(super) fn reaction(status: u16, code: &str) -> Reaction {
    // An answer of a proxy in between may have any body, so what is busy goes by the status alone.
    if matches!(status, 408 | 429) || status >= 500 {
        return Reaction::Resend;
    }
    if matches!(status, 401 | 403) {
        return Reaction::Refresh;
    }
    if let Some((_, reaction)) = CODES.iter().find(|(known, _)| *known == code) {
        return *reaction;
    }
    match status {
        413 => Reaction::TooLarge,
        400 | 404 | 409 => Reaction::Reopen,
        _ => Reaction::Wrong,
    }
}

/// Whether a channel with this status code takes rows.
pub(super) fn is_sound(code: &str) -> bool {
    // Snowflake's pages show both.
    matches!(code, "SUCCESS" | "ACTIVE")
}

/// An answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Snowflake's word for it; empty where there was none.
    pub code: String,
    /// Snowflake's sentence, cut.
    pub message: String,
    /// The least wait that it asks for.
    pub after: Option<Duration>,
}

impl Refusal {
    /// What is to be done about it.
    pub(super) fn reaction(&self) -> Reaction {
        reaction(self.status, &self.code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        for text in [&self.code, &self.message] {
            if !text.is_empty() {
                write!(f, ", {text}")?;
            }
        }
        Ok(())
    }
}

/// Why rows are not in Snowflake.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnowflakeError {
    /// The configuration cannot be used.
    #[error("snowflake: {0}")]
    Config(String),
    /// Snowflake could not be reached, or did not answer in time.
    #[error("{what}: no answer from {host}")]
    Unreachable {
        /// What was asked.
        what: &'static str,
        /// Who was asked.
        host: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Snowflake refused.
    #[error("{what}: Snowflake refused: {refusal}{hint}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        refusal: Refusal,
        /// What a person may do about it; empty, or a sentence after a dash.
        hint: &'static str,
    },
    /// Snowflake answered something that its interface does not have.
    #[error("{what}: the answer cannot be read: {why}")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// What is odd.
        why: String,
    },
    /// Rows were taken, and are not committed yet; the next attempt goes on waiting.
    #[error("channel {channel}: not committed after {waited:?}")]
    NotCommitted {
        /// The channel.
        channel: String,
        /// How long this attempt has waited.
        waited: Duration,
    },
    /// The channel is not to be trusted; it is opened again.
    #[error("channel {channel}: {why}")]
    Channel {
        /// The channel.
        channel: String,
        /// What is wrong with it.
        why: String,
    },
    /// A row does not fit a request.
    #[error("a row of {bytes} bytes does not fit a request of {max}")]
    RowTooLarge {
        /// What it takes on the wire.
        bytes: u64,
        /// What may be sent.
        max: u64,
    },
    /// Snowflake took the request and left rows out.
    #[error("Snowflake rejected {rows} rows: {message}")]
    Rejected {
        /// How many.
        rows: usize,
        /// Its reason for the last one.
        message: String,
    },
    /// Snowflake left rows out, or rows are in doubt, and the table could not be asked which.
    #[error("it must be looked up which rows the table holds, which failed (is `warehouse` set?)")]
    Lookup(#[source] Box<SnowflakeError>),
    /// The rows cannot be written as Snowflake reads them: a fault of the program.
    #[error("rows could not be encoded")]
    Encode(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The stage could not be written or read.
    #[error("the stage cannot be used: {0}")]
    Stage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl SnowflakeError {
    pub(super) fn config(text: impl Into<String>) -> Self {
        Self::Config(text.into())
    }

    pub(super) fn encode(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Encode(Box::new(error))
    }

    /// What Snowflake refused with, where it did.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        if let Self::Refused { refusal, .. } = self {
            Some(refusal)
        } else {
            None
        }
    }

    /// The same with what a person may do about it.
    pub(super) fn with_hint(self, text: &'static str) -> Self {
        if let Self::Refused { what, refusal, .. } = self {
            return Self::Refused {
                what,
                refusal,
                hint: text,
            };
        }
        self
    }
}

impl Classify for SnowflakeError {
    fn fault(&self) -> Fault {
        match self {
            Self::RowTooLarge { .. } | Self::Rejected { .. } => Fault::Permanent,
            Self::Refused { refusal, .. } if refusal.reaction() == Reaction::TooLarge => {
                Fault::Permanent
            }
            Self::Refused { refusal, .. } => Fault::Transient {
                after: refusal.after,
            },
            Self::Lookup(source) => match source.fault() {
                Fault::Transient { after } => Fault::Transient { after },
                Fault::Permanent => Fault::Transient { after: None },
            },
            // The rest may be mended by a person, and no row is at fault.
            Self::Config(_)
            | Self::Unreachable { .. }
            | Self::Answer { .. }
            | Self::NotCommitted { .. }
            | Self::Channel { .. }
            | Self::Encode(_)
            | Self::Stage(_) => Fault::Transient { after: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_reaction_and_no_refusal_of_a_run_sets_rows_aside() {
        let table = [
            (429, "", Reaction::Resend),
            (408, "", Reaction::Resend),
            (500, "", Reaction::Resend),
            (503, "STALE_PIPE_CACHE", Reaction::Resend),
            (401, "390144", Reaction::Refresh),
            (403, "", Reaction::Refresh),
            (400, "STALE_CONTINUATION_TOKEN_SEQUENCER", Reaction::Reopen),
            (400, "STALE_PIPE_CACHE", Reaction::Reopen),
            (400, "SWITCH_TO_FILE_MODE", Reaction::Reopen),
            (400, "anything", Reaction::Reopen),
            (409, "ERR_CHANNEL_MUST_BE_REOPENED", Reaction::Reopen),
            (409, "anything", Reaction::Reopen),
            (409, "ERR_OPEN_CHANNEL_IN_PROGRESS", Reaction::Wait),
            (409, "ERR_CHANNEL_HAS_UNCOMMITTED_DATA", Reaction::Wait),
            (
                404,
                "ERR_CHANNEL_DOES_NOT_EXIST_OR_IS_NOT_AUTHORIZED",
                Reaction::Reopen,
            ),
            (
                404,
                "ERR_TABLE_DOES_NOT_EXIST_NOT_AUTHORIZED",
                Reaction::Missing,
            ),
            (
                404,
                "ERR_PIPE_DOES_NOT_EXIST_OR_NOT_AUTHORIZED",
                Reaction::Missing,
            ),
            (413, "ERR_PAYLOAD_TOO_LARGE", Reaction::TooLarge),
            (422, "002003", Reaction::Wrong),
            (418, "", Reaction::Wrong),
        ];
        for (status, code, wanted) in table {
            assert_eq!(reaction(status, code), wanted, "{status} {code}");
            let after = Some(Duration::from_secs(3));
            let error = SnowflakeError::Refused {
                what: "append",
                refusal: Refusal {
                    status,
                    code: code.to_owned(),
                    message: String::new(),
                    after,
                },
                hint: "",
            };
            let permanent = wanted == Reaction::TooLarge;
            let fault = if permanent {
                Fault::Permanent
            } else {
                Fault::Transient { after }
            };
            assert_eq!(error.fault(), fault, "{status} {code}");
        }
    }
}
