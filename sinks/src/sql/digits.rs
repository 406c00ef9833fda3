//! Days, times and money as text, exact.

use chrono::{DateTime, SecondsFormat};

/// Digits after the point of money columns.
const SCALE: usize = 12;

const DAY_SECONDS: i64 = 86_400;

/// The day `days` after 1970-01-01 as `YYYY-MM-DD`; beyond the years that calendars count, the
/// number itself.
pub(crate) fn days_text(days: i64) -> String {
    let seconds = days.checked_mul(DAY_SECONDS);
    let moment = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    moment.map_or_else(
        || days.to_string(),
        |moment| moment.date_naive().to_string(),
    )
}

/// Microseconds since the epoch as RFC 3339 in UTC with six digits, which sort as the times do;
/// beyond the years that calendars count, the number itself.
pub(crate) fn time_text(micros: i64) -> String {
    let moment = DateTime::from_timestamp_micros(micros);
    moment.map_or_else(
        || micros.to_string(),
        |moment| moment.to_rfc3339_opts(SecondsFormat::Micros, true),
    )
}

/// Money in units of 10^-12 as a decimal number with all twelve digits after the point.
pub(crate) fn decimal_text(units: i128) -> String {
    let digits = format!("{:0width$}", units.unsigned_abs(), width = SCALE + 1);
    let (whole, rest) = digits.split_at(digits.len() - SCALE);
    let sign = if units < 0 { "-" } else { "" };
    format!("{sign}{whole}.{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_those_of_the_calendar() {
        assert_eq!(days_text(0), "1970-01-01");
        assert_eq!(days_text(20_454), "2026-01-01");
        assert_eq!(days_text(-1), "1969-12-31");
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time_text(-1), "1969-12-31T23:59:59.999999Z");
        // The ends of nanoseconds in 64 bits.
        assert_eq!(time_text(i64::MAX / 1000), "2262-04-11T23:47:16.854775Z");
        assert_eq!(time_text(i64::MIN / 1000), "1677-09-21T00:12:43.145225Z");
        assert_eq!(time_text(i64::MAX), i64::MAX.to_string());
        assert_eq!(days_text(i64::MIN), i64::MIN.to_string());
    }

    #[test]
    fn money_keeps_every_digit() {
        for (units, text) in [
            (0, "0.000000000000"),
            (1, "0.000000000001"),
            (-1, "-0.000000000001"),
            (15_000_000, "0.000015000000"),
            (-1_500_000_000_000, "-1.500000000000"),
            (999_999_999_999_999_999_999_999, "999999999999.999999999999"),
        ] {
            assert_eq!(decimal_text(units), text);
        }
        let least = decimal_text(i128::MIN);
        assert_eq!(least.replace('.', ""), i128::MIN.to_string());
    }
}
