//! Whether an event is taken, and what is to be said about it.

use serde_json::Value;
use weir_ocsf::{Checks, Code, Edition, Report, coerce, validate_with};

use crate::decode::DecodeError;
use crate::decode::instant::Instant;
use crate::decode::table::{as_integer, first};

/// Where an event says when it happened, the best first.
const TIMES: &[&str] = &[
    "time",
    "time_dt",
    "start_time",
    "event_time",
    "metadata.logged_time",
];

/// What an event must hold to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Refuse events that break their schema, one by one; otherwise they are stored and flagged.
    pub strict: bool,
    /// Take the time of receipt where an event names none that can be read; otherwise such an
    /// event is refused.
    pub time_of_receipt: bool,
    /// Warn of recommended attributes that are missing; most events lack some.
    pub recommended: bool,
}

/// Why an event is refused on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It names no class: it cannot be typed.
    NoClass,
    /// It names no time that can be read: it has no place in the order of events.
    NoTime,
    /// It breaks its schema, and the policy is strict.
    Invalid,
    /// It is no event and no wrapper of events.
    NotAnEvent,
}

impl Refused {
    /// The stable word, as in `rejected_events.reason_code`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoClass => "no_class_uid",
            Self::NoTime => "no_time",
            Self::Invalid => "schema_violated",
            Self::NotAnEvent => "not_an_event",
        }
    }

    /// The same for people.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoClass => "the event has no class_uid that is a number",
            Self::NoTime => "the event has no time that can be read",
            Self::Invalid => "the event breaks the OCSF schema, and ocsf.validation is strict",
            Self::NotAnEvent => "the document is no OCSF event and no list of events",
        }
    }
}

/// What became of an event.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) report: Report,
    pub(super) refused: Option<Refused>,
    /// When it happened, as sent; none is the time of receipt.
    pub(super) time: Option<Value>,
    /// The version that it was held against.
    pub(super) schema: &'static str,
}

/// Judges an event, and makes of it what its schema wants, where that loses nothing.
///
/// # Errors
///
/// [`DecodeError::Internal`] where the program carries no readable schema.
pub(super) fn judge(
    event: &mut Value,
    wrapper: Option<&Value>,
    policy: Policy,
) -> Result<Judged, DecodeError> {
    let mut report = check(event, policy)?;
    let schema = Edition::of_event(event).map_err(|_| DecodeError::Internal)?;
    let (time, oddity) = time_of(event, wrapper);
    let class = first(event, &["class_uid"]).and_then(as_integer);
    let refused = if class.is_none_or(|class| class < 0) {
        Some(Refused::NoClass)
    } else if time.is_none() && !policy.time_of_receipt {
        Some(Refused::NoTime)
    } else if policy.strict && report.errors > 0 {
        Some(Refused::Invalid)
    } else {
        None
    };
    if refused.is_none() {
        if let Some(oddity) = oddity {
            report.add(oddity, "time");
        }
        if COERCIBLE.iter().any(|code| report.codes.contains(*code)) {
            mend(event, &mut report, policy)?;
        }
    }
    Ok(Judged {
        report,
        refused,
        time,
        schema: schema.label(),
    })
}

/// What there may be a remedy for.
const COERCIBLE: &[Code] = &[
    Code::AttributeWrongType,
    Code::AttributeRequiredMissing,
    Code::AttributeUnknown,
    Code::TypeUidIncorrect,
];

fn check(event: &Value, policy: Policy) -> Result<Report, DecodeError> {
    let checks = Checks {
        recommended: policy.recommended,
    };
    validate_with(event, checks).map_err(|_| DecodeError::Internal)
}

fn mend(event: &mut Value, report: &mut Report, policy: Policy) -> Result<(), DecodeError> {
    let unreadable = event.get("class_uid").is_some_and(Value::is_string);
    let done = coerce(event).map_err(|_| DecodeError::Internal)?;
    if unreadable {
        // Only now is it known by which class the rest is to be checked.
        report.merge(check(event, policy)?);
    }
    for code in done.iter() {
        report.add(code, "");
    }
    Ok(())
}

/// The first time that can be read, and what is odd about it.
fn time_of(event: &Value, wrapper: Option<&Value>) -> (Option<Value>, Option<Code>) {
    let sent = first(event, &["time"]);
    if let Some((value, instant)) = sent.and_then(|time| Some((time, Instant::read(time)?))) {
        let odd = instant.text || instant.unit.is_some();
        return (Some(value.clone()), odd.then_some(Code::WeirTimeCoerced));
    }
    let others = TIMES.iter().filter_map(|path| first(event, &[path]));
    let other = others
        .chain(wrapper)
        .find(|time| Instant::read(time).is_some());
    match other {
        Some(time) => (Some(time.clone()), Some(Code::WeirTimeSubstituted)),
        None => (None, Some(Code::WeirTimeReceived)),
    }
}
