//! What can go wrong, and which of the server's exceptions are the rows' own fault.

use std::time::Duration;

use ::clickhouse::error::Error;
use weir_model::{Classify, Fault};

/// How long to leave a server alone whose configuration does not let us in or on: hammering it
/// helps nobody, and some lock out a user who tries too often.
const MEND_WAIT: Duration = Duration::from_secs(5);
/// How much of a message is kept.
const MESSAGE_MAX: usize = 400;

/// Whose fault an exception is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The server cannot just now, or the network stood between.
    Moment,
    /// Credentials, rights, names, types or settings: the same rows work once somebody has mended
    /// that, so no row may be given up for it.
    Setup,
    /// The rows: they will never be taken.
    Rows,
}

/// The exceptions that we know, by ClickHouse's `ErrorCodes`; what is not here is of the moment,
/// since a needless retry costs time and a wrong refusal costs rows.
const EXCEPTIONS: &[(u32, &str, Blame)] = &[
    (3, "UNEXPECTED_END_OF_FILE", Blame::Moment),
    (6, "CANNOT_PARSE_TEXT", Blame::Rows),
    (10, "NOT_FOUND_COLUMN_IN_BLOCK", Blame::Setup),
    (16, "NO_SUCH_COLUMN_IN_TABLE", Blame::Setup),
    (26, "CANNOT_PARSE_QUOTED_STRING", Blame::Rows),
    (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", Blame::Rows),
    (33, "CANNOT_READ_ALL_DATA", Blame::Moment),
    (36, "BAD_ARGUMENTS", Blame::Setup),
    (38, "CANNOT_PARSE_DATE", Blame::Rows),
    (41, "CANNOT_PARSE_DATETIME", Blame::Rows),
    (44, "ILLEGAL_COLUMN", Blame::Setup),
    (47, "UNKNOWN_IDENTIFIER", Blame::Setup),
    (48, "NOT_IMPLEMENTED", Blame::Setup),
    (50, "UNKNOWN_TYPE", Blame::Setup),
    (53, "TYPE_MISMATCH", Blame::Setup),
    (57, "TABLE_ALREADY_EXISTS", Blame::Setup),
    (60, "UNKNOWN_TABLE", Blame::Setup),
    (62, "SYNTAX_ERROR", Blame::Setup),
    (69, "ARGUMENT_OUT_OF_BOUND", Blame::Rows),
    (70, "CANNOT_CONVERT_TYPE", Blame::Setup),
    (72, "CANNOT_PARSE_NUMBER", Blame::Rows),
    (73, "UNKNOWN_FORMAT", Blame::Setup),
    (81, "UNKNOWN_DATABASE", Blame::Setup),
    (115, "UNKNOWN_SETTING", Blame::Setup),
    (117, "INCORRECT_DATA", Blame::Rows),
    (128, "TOO_LARGE_ARRAY_SIZE", Blame::Rows),
    (130, "CANNOT_READ_ARRAY_FROM_TEXT", Blame::Rows),
    (131, "TOO_LARGE_STRING_SIZE", Blame::Rows),
    (159, "TIMEOUT_EXCEEDED", Blame::Moment),
    (164, "READONLY", Blame::Setup),
    (170, "CLUSTER_DOESNT_EXIST", Blame::Setup),
    (192, "UNKNOWN_USER", Blame::Setup),
    (193, "WRONG_PASSWORD", Blame::Setup),
    (194, "REQUIRED_PASSWORD", Blame::Setup),
    (195, "IP_ADDRESS_NOT_ALLOWED", Blame::Setup),
    (201, "QUOTA_EXCEEDED", Blame::Moment),
    (202, "TOO_MANY_SIMULTANEOUS_QUERIES", Blame::Moment),
    (209, "SOCKET_TIMEOUT", Blame::Moment),
    (210, "NETWORK_ERROR", Blame::Moment),
    (241, "MEMORY_LIMIT_EXCEEDED", Blame::Moment),
    (242, "TABLE_IS_READ_ONLY", Blame::Moment),
    (243, "NOT_ENOUGH_SPACE", Blame::Moment),
    (252, "TOO_MANY_PARTS", Blame::Moment),
    (271, "CANNOT_DECOMPRESS", Blame::Moment),
    (279, "ALL_CONNECTION_TRIES_FAILED", Blame::Moment),
    (285, "TOO_FEW_LIVE_REPLICAS", Blame::Moment),
    (286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", Blame::Moment),
    (291, "DATABASE_ACCESS_DENIED", Blame::Setup),
    (319, "UNKNOWN_STATUS_OF_INSERT", Blame::Moment),
    (321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", Blame::Rows),
    (349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", Blame::Setup),
    (359, "TABLE_SIZE_EXCEEDS_MAX_DROP_SIZE_LIMIT", Blame::Setup),
    (386, "NO_COMMON_TYPE", Blame::Setup),
    (392, "QUERY_IS_PROHIBITED", Blame::Setup),
    (394, "QUERY_WAS_CANCELLED", Blame::Moment),
    (395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", Blame::Rows),
    (407, "DECIMAL_OVERFLOW", Blame::Rows),
    (425, "SYSTEM_ERROR", Blame::Moment),
    (439, "CANNOT_SCHEDULE_TASK", Blame::Moment),
    (452, "SETTING_CONSTRAINT_VIOLATION", Blame::Setup),
    (469, "VIOLATED_CONSTRAINT", Blame::Rows),
    (473, "DEADLOCK_AVOIDED", Blame::Moment),
    (497, "ACCESS_DENIED", Blame::Setup),
    (516, "AUTHENTICATION_FAILED", Blame::Setup),
    (999, "KEEPER_EXCEPTION", Blame::Moment),
    (1000, "POCO_EXCEPTION", Blame::Moment),
    (1001, "STD_EXCEPTION", Blame::Moment),
    (1002, "UNKNOWN_EXCEPTION", Blame::Moment),
];

/// Why a ClickHouse destination failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClickHouseError {
    /// The server answered with an exception.
    #[error("ClickHouse says: {text} (code {code})")]
    Exception {
        code: u32,
        blame: Blame,
        text: String,
    },
    /// Something else answered, or nothing did.
    #[error("no good answer from ClickHouse: {0}")]
    Link(String),
    /// The time was over; whether the rows are stored is open.
    #[error("no answer from ClickHouse within {0:?}")]
    Late(Duration),
    /// What only whoever runs the server or wrote the configuration can mend.
    #[error("{0}")]
    Setup(String),
    /// Rows that are not of their dataset's schema: a fault of ours.
    #[error("the rows cannot be encoded: {0}")]
    Encode(#[from] arrow_schema::ArrowError),
}

impl ClickHouseError {
    /// Reads what the client makes of a failed request.
    pub(super) fn of(error: &Error) -> Self {
        if let Error::BadResponse(text) = error {
            return Self::answered(text);
        }
        if matches!(error, Error::TimedOut) {
            return Self::Link("it took too long".to_owned());
        }
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        Self::Link(shortened(&text))
    }

    /// Reads the body of an answer that is no success.
    fn answered(text: &str) -> Self {
        let Some((code, message)) = exception_in(text) else {
            return Self::Link(shortened(text));
        };
        let mut blame = blame(code);
        // A view behind the table, ours or another's, does not take the rows. The table has them;
        // they go through once the view is mended or gone.
        if blame == Blame::Rows && message.contains("while pushing to view") {
            blame = Blame::Setup;
        }
        let text = match blame {
            // Its own words quote the row.
            Blame::Rows => refusal(code, message),
            Blame::Moment | Blame::Setup => shortened(message),
        };
        Self::Exception { code, blame, text }
    }

    /// The exception's code, where it is one.
    pub(super) fn code(&self) -> Option<u32> {
        match self {
            Self::Exception { code, .. } => Some(*code),
            Self::Link(_) | Self::Late(_) | Self::Setup(_) | Self::Encode(_) => None,
        }
    }

    /// Whether tables may not be what they were when they were last looked at.
    pub(super) fn doubts_tables(&self) -> bool {
        match self {
            Self::Exception { blame, .. } => *blame == Blame::Setup,
            Self::Setup(_) => true,
            Self::Link(_) | Self::Late(_) | Self::Encode(_) => false,
        }
    }

    /// Whether another replica might answer.
    pub(super) fn blames_link(&self) -> bool {
        match self {
            Self::Link(_) | Self::Late(_) => true,
            Self::Exception { code, .. } => *code == 242,
            Self::Setup(_) | Self::Encode(_) => false,
        }
    }
}

impl Classify for ClickHouseError {
    fn fault(&self) -> Fault {
        match self {
            Self::Exception { blame, .. } => match blame {
                Blame::Moment => Fault::Transient { after: None },
                Blame::Setup => Fault::Transient {
                    after: Some(MEND_WAIT),
                },
                Blame::Rows => Fault::Permanent,
            },
            Self::Link(_) | Self::Late(_) => Fault::Transient { after: None },
            Self::Setup(_) => Fault::Transient {
                after: Some(MEND_WAIT),
            },
            Self::Encode(_) => Fault::Permanent,
        }
    }
}

/// Whose fault the exception with this code is.
fn blame(code: u32) -> Blame {
    let known = EXCEPTIONS.iter().find(|(known, _, _)| *known == code);
    known.map_or(Blame::Moment, |(_, _, blame)| *blame)
}

/// The code of an exception and its message: `Code: 60. DB::Exception: Table ...`.
fn exception_in(text: &str) -> Option<(u32, &str)> {
    let (_, rest) = text.split_once("Code: ")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let code = rest.get(..digits)?.parse().ok()?;
    let message = rest.get(digits..)?.trim_start_matches(['.', ' ']);
    let message = message.strip_prefix("DB::Exception: ").unwrap_or(message);
    Some((code, message))
}

/// Names a refusal of rows without quoting any.
fn refusal(code: u32, message: &str) -> String {
    let name = EXCEPTIONS.iter().find(|(known, _, _)| *known == code);
    let name = name.map_or("refused", |(_, name, _)| name);
    let constraint = message
        .strip_prefix("Constraint `")
        .and_then(|rest| rest.split_once('`'));
    match constraint {
        Some((constraint, _)) => format!("{name}: constraint {constraint}"),
        None => name.to_owned(),
    }
}

/// The first line, without the version that the server adds, and not too long.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" (version ").next().unwrap_or_default();
    line.chars().take(MESSAGE_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: u32) -> ClickHouseError {
        let text = format!("Code: {code}. DB::Exception: Some text 'secret row'. (NAME)");
        ClickHouseError::of(&Error::BadResponse(text))
    }

    fn transient(code: u32) -> bool {
        matches!(of(code).fault(), Fault::Transient { .. })
    }

    #[test]
    fn each_exception_is_classified_by_its_code() {
        for code in [159, 202, 209, 210, 241, 242, 252, 319, 999, 425, 31_337] {
            assert_eq!(
                of(code).fault(),
                Fault::Transient { after: None },
                "{code} is of the moment"
            );
        }
        // A wrong password, a missing table or right: never the rows' fault.
        for code in [16, 60, 81, 115, 164, 192, 193, 194, 497, 516, 53, 349] {
            let after = Some(MEND_WAIT);
            assert_eq!(of(code).fault(), Fault::Transient { after }, "{code}");
            assert!(of(code).doubts_tables());
        }
        for code in [6, 27, 38, 41, 72, 117, 131, 321, 407, 469] {
            assert_eq!(of(code).fault(), Fault::Permanent, "{code} is the rows'");
        }
        let codes: Vec<u32> = EXCEPTIONS.iter().map(|(code, _, _)| *code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "one row for each code");
    }

    #[test]
    fn what_is_refused_is_not_quoted() {
        for (code, _, blame) in EXCEPTIONS {
            let shown = of(*code).to_string();
            assert_eq!(
                shown.contains("secret row"),
                *blame != Blame::Rows,
                "{code}"
            );
        }
        let text = "Code: 469. DB::Exception: Constraint `short` for table weir.spans is violated \
                    at row 1. Expression: (x < 1). Column values: x = 'secret row'. \
                    (VIOLATED_CONSTRAINT) (version 26.9.2.1 (official build))";
        let error = ClickHouseError::of(&Error::BadResponse(text.to_owned()));
        assert_eq!(
            error.to_string(),
            "ClickHouse says: VIOLATED_CONSTRAINT: constraint short (code 469)"
        );
        assert_eq!(error.fault(), Fault::Permanent);
    }

    #[test]
    fn a_view_that_fails_costs_no_row() {
        let text = "Code: 469. DB::Exception: Constraint `x` for table a.b is violated at row 1: \
                    while pushing to view a.c. (VIOLATED_CONSTRAINT)";
        let error = ClickHouseError::of(&Error::BadResponse(text.to_owned()));
        assert!(matches!(error.fault(), Fault::Transient { .. }));
    }

    #[test]
    fn other_answers_are_of_the_moment() {
        for text in [
            "503 Service Unavailable",
            "<html>Code</html>",
            "Code: x",
            "",
        ] {
            let error = ClickHouseError::of(&Error::BadResponse(text.to_owned()));
            assert_eq!(error.fault(), Fault::Transient { after: None }, "{text}");
        }
        let error = ClickHouseError::of(&Error::BadResponse("Code: 516".to_owned()));
        assert_eq!(error.code(), Some(516));
        assert!(transient(0));
    }
}
