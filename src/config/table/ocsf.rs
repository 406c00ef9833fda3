//! The settings of security events.

use crate::config::setting::{Kind, Setting, Value};

/// In the order of the reference page.
pub(super) const SETTINGS: &[Setting] = &[
    setting!(
        "ocsf.validation",
        Kind::OneOf(&["lenient", "strict"]),
        Text,
        ocsf.validation,
        "What becomes of an event that breaks the OCSF schema of the version that it names. `lenient` stores it, with `validation_status` and `validation_codes`; `strict` refuses it alone. The answer names it either way."
    ),
    setting!(
        "ocsf.missing_time",
        Kind::OneOf(&["refuse", "received"]),
        Text,
        ocsf.missing_time,
        "What becomes of an event without a time that can be read, neither in `time` nor where else events have one: it is refused alone, or gets the time of receipt and a flag."
    ),
    setting!(
        "ocsf.events",
        Kind::Count,
        Count,
        ocsf.events,
        "The most events of one request; more are answered with 422."
    ),
];
