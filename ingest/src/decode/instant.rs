//! Times as JSON records have them: numbers of any unit, or text.

use chrono::DateTime;
use serde_json::Value;

use super::acceptance::Acceptance;
use super::table::{Cell, Table, as_integer};

/// A time that was read, and how it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Instant {
    /// Nanoseconds since the epoch.
    pub(super) nanos: i64,
    /// What is odd about how it was written; milliseconds as a number are not.
    pub(super) unit: Option<&'static str>,
    /// It was written as text.
    pub(super) text: bool,
    /// It says its offset from UTC: numbers do, text may not.
    pub(super) zoned: bool,
}

impl Instant {
    /// Microseconds since the epoch, cut.
    pub(super) fn micros(self) -> i64 {
        self.nanos.div_euclid(1000)
    }

    /// Reads a number, its unit told by its size (seconds below 10^11, milliseconds below 10^14,
    /// microseconds below 10^17, else nanoseconds), such digits as text, or RFC 3339.
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(_) => number(value),
            Value::String(text) => {
                let text = text.trim();
                let digits = as_integer(value).map(Value::from);
                let digits = digits.or_else(|| text.parse::<f64>().ok().map(Value::from));
                let read = match digits {
                    Some(digits) => number(&digits),
                    None => parse_text(text),
                };
                read.map(|instant| Self {
                    text: true,
                    ..instant
                })
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

/// Which ways of writing a time are flagged in `time_flags`, beside units: they differ by format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    /// Text where the format wants a number (OCSF).
    Text,
    /// Text that does not say its offset from UTC (proxy audit).
    NoOffset,
}

/// Fills `event_time`, `event_time_unix_nano`, `time_flags` and `part_date` of the row in the making.
pub(super) fn put_time(table: &mut Table, sent: Option<&Value>, odd: Odd, at: &Acceptance) {
    let instant = sent.and_then(Instant::read);
    let (date, by_receipt) = at.part_date(instant.map(Instant::micros));
    let mut flags = Vec::new();
    match (sent, instant) {
        (None, _) => flags.push("missing"),
        (Some(_), None) => flags.push("unreadable"),
        (Some(_), Some(instant)) => {
            table.set("event_time", Cell::Time(instant.micros()));
            table.set("event_time_unix_nano", Cell::Int64(instant.nanos));
            flags.extend(instant.unit);
            match odd {
                Odd::Text if instant.text => flags.push("text"),
                Odd::NoOffset if !instant.zoned => flags.push("no_offset"),
                Odd::Text | Odd::NoOffset => {}
            }
        }
    }
    if by_receipt {
        flags.push("part_date_received");
    }
    let flags = flags.into_iter().map(str::to_owned).collect();
    table.set("time_flags", Cell::Texts(flags));
    table.set("part_date", Cell::Date(date));
}

fn number(value: &Value) -> Option<Instant> {
    let size = value.as_f64()?.abs();
    let (scale, unit) = if size < 1e11 {
        (1_000_000_000, Some("unit_s"))
    } else if size < 1e14 {
        (1_000_000, None)
    } else if size < 1e17 {
        (1_000, Some("unit_us"))
    } else {
        (1, Some("unit_ns"))
    };
    let nanos = match as_integer(value) {
        Some(whole) => whole.checked_mul(scale)?,
        None => fractional(&value.to_string(), scale)?,
    };
    Some(Instant {
        nanos,
        unit,
        text: false,
        zoned: true,
    })
}

/// A decimal number of units, as nanoseconds, by its digits.
fn fractional(text: &str, scale: i64) -> Option<i64> {
    let units = super::money::parse(text)?;
    let nanos = units.checked_mul(i128::from(scale))? / 1_000_000_000_000;
    i64::try_from(nanos).ok()
}

fn parse_text(text: &str) -> Option<Instant> {
    let (nanos, zoned) = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => (time.timestamp_nanos_opt()?, true),
        Err(_) => {
            let time = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
                .iter()
                .find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok())?;
            (time.and_utc().timestamp_nanos_opt()?, false)
        }
    };
    Some(Instant {
        nanos,
        unit: None,
        text: true,
        zoned,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_unit_of_a_number_is_told_by_its_size() {
        let expected = 1_746_033_600_000_000_000;
        let cases = [
            (json!(1_746_033_600), Some("unit_s"), false),
            (json!(1_746_033_600_000_i64), None, false),
            (json!(1_746_033_600_000_000_i64), Some("unit_us"), false),
            (json!(expected), Some("unit_ns"), false),
            (json!("1746033600"), Some("unit_s"), true),
            (json!("2025-04-30T17:20:00Z"), None, true),
            (json!("2025-04-30T19:20:00+02:00"), None, true),
        ];
        for (value, unit, text) in cases {
            let read = Instant::read(&value).unwrap();
            assert_eq!(
                (read.nanos, read.unit, read.text),
                (expected, unit, text),
                "{value}"
            );
            assert!(read.zoned);
        }
    }

    #[test]
    fn fractions_are_read_by_their_digits() {
        let read = Instant::read(&json!(1_746_033_600.5)).unwrap();
        assert_eq!(read.nanos, 1_746_033_600_500_000_000);
        let read = Instant::read(&json!("1746033600.123456")).unwrap();
        assert_eq!(read.nanos, 1_746_033_600_123_456_000);
    }

    #[test]
    fn text_without_an_offset_is_taken_as_utc_and_told_apart() {
        let read = Instant::read(&json!("2026-01-01T00:00:00")).unwrap();
        assert!(!read.zoned);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for bad in [
            json!("not-a-time"),
            json!(null),
            json!(true),
            json!([1]),
            json!(1e300),
            json!(""),
        ] {
            assert_eq!(Instant::read(&bad), None, "{bad}");
        }
    }
}
