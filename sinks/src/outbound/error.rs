//! How posts fail, and what that says about the rows in them.

use std::time::Duration;

use http::StatusCode;
use weir_model::{Classify, Fault};

use crate::SinkError;

/// A post failed. No message quotes a row, a credential or what the other side said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboundError {
    /// The configuration cannot be used; nothing was asked.
    #[error("`{setting}` cannot be used: {why}")]
    Config {
        /// Which setting.
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No answer came; the rows may have been stored all the same.
    #[error("no answer came from {to}")]
    NoAnswer {
        /// The host.
        to: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The other side cannot take anything just now.
    #[error("{to} answered {status}: it takes nothing just now")]
    Busy {
        /// The host.
        to: String,
        /// The status.
        status: StatusCode,
        /// The wait that it asks for.
        after: Option<Duration>,
    },
    /// The other side does not let us in, or is not what it is taken for; a person must act.
    #[error("{to} answered {status}: {advice}")]
    Misconfigured {
        /// The host.
        to: String,
        /// The status.
        status: StatusCode,
        /// What to look at.
        advice: &'static str,
    },
    /// The other side will never take these rows.
    #[error("{to} answered {status}: it does not take these rows")]
    Refused {
        /// The host.
        to: String,
        /// The status.
        status: StatusCode,
    },
    /// The other side took the request and refused some of its rows.
    #[error("{to} refused {rows} of the rows")]
    Partly {
        /// The host.
        to: String,
        /// How many.
        rows: i64,
    },
    /// Rows could not be written in the form that the other side takes: a fault of this program.
    #[error("rows could not be encoded")]
    Encode {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody can say how many rows are there.
    #[error("what a sink of this kind has sent cannot be counted at the other side")]
    Uncounted,
}

impl Classify for OutboundError {
    fn fault(&self) -> Fault {
        match self {
            Self::Busy { after, .. } => Fault::Transient { after: *after },
            Self::NoAnswer { .. } | Self::Config { .. } | Self::Misconfigured { .. } => {
                Fault::Transient { after: None }
            }
            Self::Refused { .. } | Self::Partly { .. } | Self::Encode { .. } | Self::Uncounted => {
                Fault::Permanent
            }
        }
    }
}

impl From<OutboundError> for SinkError {
    fn from(error: OutboundError) -> Self {
        Box::new(error)
    }
}
