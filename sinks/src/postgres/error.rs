//! What can go wrong with Postgres, by its own codes.

use std::time::Duration;

use arrow_schema::ArrowError;
use tokio_postgres::error::DbError;
use weir_model::{Classify, Fault};

use crate::SinkError;

/// What is to blame for a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// The rows: the same ones will never be taken.
    Rows,
    /// The server's state, or what a person has configured: it can be mended, and the rows wait.
    Passing,
    /// The tables are not as this program believes them to be: it looks again.
    Tables,
}

/// Codes (five letters) and classes of codes (two) of Appendix A of Postgres's manual, with what a
/// person can do about them. A code goes before its class; what is not here passes.
const STATES: &[(&str, Blame, &str)] = &[
    ("22", Blame::Rows, "the database does not take a value"),
    ("23", Blame::Rows, "a constraint of the table does not hold"),
    ("54", Blame::Rows, "a row is beyond a limit of Postgres"),
    (
        "28P01",
        Blame::Passing,
        "the password is wrong: mend it in `url`",
    ),
    (
        "28",
        Blame::Passing,
        "the server does not let this role in: look at the role in `url`, at the server's \
         pg_hba.conf, and whether it wants TLS (`sslmode=require`)",
    ),
    (
        "3D",
        Blame::Passing,
        "there is no such database: create it, or mend its name in `url`",
    ),
    (
        "42501",
        Blame::Passing,
        "the role lacks a right: let it own the schema, or grant it CREATE on the database",
    ),
    (
        "42704",
        Blame::Passing,
        "something that is named does not exist: look at `reader_role`",
    ),
    ("42", Blame::Tables, "the tables have been changed"),
    ("3F", Blame::Tables, "the schema has gone"),
    (
        "25006",
        Blame::Passing,
        "the database is read-only for this role: name the primary server, or a role that may write",
    ),
    (
        "53100",
        Blame::Passing,
        "the server's disk is full: make room there",
    ),
    (
        "53300",
        Blame::Passing,
        "the server has no connection left: lower `connections_max`, or raise max_connections there",
    ),
    ("53", Blame::Passing, "the server is short of something"),
    ("55", Blame::Passing, "another session is in the way"),
    (
        "57",
        Blame::Passing,
        "the server stops, starts or was told to stop this",
    ),
    ("40", Blame::Passing, "another transaction was in the way"),
    ("08", Blame::Passing, "the connection failed"),
    ("0A", Blame::Passing, "the server cannot do this"),
];

/// What is known about a code.
fn state(code: &str) -> (Blame, &'static str) {
    let class = code.get(..2).unwrap_or_default();
    let known = |wanted: &str| STATES.iter().find(|(code, ..)| *code == wanted);
    match known(code).or_else(|| known(class)) {
        Some((_, blame, help)) => (*blame, help),
        None => (Blame::Passing, "the server failed"),
    }
}

/// The rows were not written, or the database was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The server refused. No value of a row is repeated.
    #[error("{place}: {help} ({code}{said})")]
    Server {
        /// Where.
        place: String,
        /// What can be done.
        help: &'static str,
        /// Its code.
        code: String,
        /// Its words, where they are about no row.
        said: String,
        /// Whether the rows are to blame: the same ones will never be taken.
        rows: bool,
        /// Whether the tables are not what they were, and are to be looked at again.
        tables: bool,
    },
    /// The server was not reached, or was lost.
    #[error("{place} cannot be reached, or was lost")]
    Link {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Nothing was heard in time.
    #[error("{place} did not answer within {after:?}")]
    Silent {
        /// Where.
        place: String,
        /// How long was waited.
        after: Duration,
    },
    /// A setting cannot be used.
    #[error("`{setting}`: {reason}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The server, the database or the role is not fit.
    #[error("{place}: {reason}")]
    Unfit {
        /// Where.
        place: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The rows are not of a dataset.
    #[error("the rows cannot be read")]
    Rows(#[from] ArrowError),
}

impl PostgresError {
    /// Says of an error of the client where it happened. Values of rows, which the server quotes
    /// in the words and details of some refusals, are left out.
    pub(super) fn of(place: &str, error: tokio_postgres::Error) -> Self {
        let place = place.to_owned();
        match error.as_db_error() {
            Some(refusal) => Self::refused(place, refusal),
            None => Self::Link {
                place,
                source: error,
            },
        }
    }

    fn refused(place: String, refusal: &DbError) -> Self {
        let code = refusal.code().code();
        let (mut blame, mut help) = state(code);
        // A row without a partition has the code of a broken constraint, but names none.
        if code == "23514" && refusal.constraint().is_none() {
            (blame, help) = (Blame::Tables, "a partition has gone");
        }
        let said = if blame == Blame::Rows {
            let names = [
                ("column", refusal.column()),
                ("constraint", refusal.constraint()),
                ("type", refusal.datatype()),
            ];
            let named = names
                .into_iter()
                .filter_map(|(kind, name)| Some((kind, name?)));
            named
                .map(|(kind, name)| format!(", {kind} {name}"))
                .collect()
        } else {
            format!(", {}", refusal.message())
        };
        Self::Server {
            place,
            help,
            code: code.to_owned(),
            said,
            rows: blame == Blame::Rows,
            tables: blame == Blame::Tables,
        }
    }

    /// The same where no row had been sent yet, so that none can be to blame.
    pub(super) fn before_rows(mut self) -> Self {
        if let Self::Server { rows, .. } = &mut self {
            *rows = false;
        }
        self
    }

    /// Whether the tables have to be looked at again.
    pub(super) fn tables_changed(&self) -> bool {
        matches!(self, Self::Server { tables: true, .. })
    }
}

impl From<PostgresError> for SinkError {
    fn from(error: PostgresError) -> Self {
        Box::new(error)
    }
}

impl Classify for PostgresError {
    fn fault(&self) -> Fault {
        match self {
            Self::Server { rows: true, .. } | Self::Rows(_) => Fault::Permanent,
            Self::Server { .. }
            | Self::Link { .. }
            | Self::Silent { .. }
            | Self::Setting { .. }
            | Self::Unfit { .. } => Fault::Transient { after: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data exceptions are for ever; what a person or time can mend is not.
    #[test]
    fn each_code_has_its_blame() {
        for (code, blame) in [
            ("22001", Blame::Rows),
            ("22003", Blame::Rows),
            ("22008", Blame::Rows),
            ("22021", Blame::Rows),
            ("22P02", Blame::Rows),
            ("22P05", Blame::Rows),
            ("23502", Blame::Rows),
            ("23505", Blame::Rows),
            ("23514", Blame::Rows),
            ("54000", Blame::Rows),
            ("54001", Blame::Rows),
            ("28P01", Blame::Passing),
            ("28000", Blame::Passing),
            ("3D000", Blame::Passing),
            ("25006", Blame::Passing),
            ("42501", Blame::Passing),
            ("53100", Blame::Passing),
            ("53200", Blame::Passing),
            ("53300", Blame::Passing),
            ("40001", Blame::Passing),
            ("40P01", Blame::Passing),
            ("55P03", Blame::Passing),
            ("57014", Blame::Passing),
            ("57P01", Blame::Passing),
            ("57P03", Blame::Passing),
            ("08006", Blame::Passing),
            ("58030", Blame::Passing),
            ("XX000", Blame::Passing),
            ("XX001", Blame::Passing),
            ("42P01", Blame::Tables),
            ("42703", Blame::Tables),
            ("3F000", Blame::Tables),
            ("", Blame::Passing),
        ] {
            assert_eq!(state(code).0, blame, "{code}");
        }
        for (at, (code, _, help)) in STATES.iter().enumerate() {
            assert!(matches!(code.len(), 2 | 5) && !help.is_empty(), "{code}");
            let again = STATES.iter().skip(at + 1).any(|(other, ..)| other == code);
            assert!(!again, "{code} is there twice");
        }
    }
}
