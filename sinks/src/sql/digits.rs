//! Days, times and money as text, exact.

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// Digits after the point of money columns.
const SCALE: usize = 12;

/// The day `days` after 1970-01-01 as `YYYY-MM-DD`. Years before 0 or after 9999 have a sign or
/// more digits; every number has a day.
pub(crate) fn days_text(days: i64) -> String {
    // Howard Hinnant's `civil_from_days`: eras of 400 years that begin on 1 March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let sign = if year < 0 { "-" } else { "" };
    let year = year.unsigned_abs();
    format!("{sign}{year:04}-{month:02}-{day:02}")
}

/// Microseconds since the epoch as RFC 3339 in UTC with six digits, which sort as the times do.
pub(crate) fn time_text(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(DAY_US), micros.rem_euclid(DAY_US));
    let (seconds, micros) = (of_day / 1_000_000, of_day % 1_000_000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let day = days_text(days);
    format!("{day}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
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
        for days in (-800_000..800_000).step_by(97) {
            let day = chrono::DateTime::from_timestamp(days * 86_400, 0).unwrap();
            let expected = day.format("%Y-%m-%d").to_string();
            assert_eq!(days_text(days), expected);
        }
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time_text(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            time_text(i64::MAX / 1000),
            "2262-04-11T23:47:16.854775Z",
            "the last microsecond of nanoseconds in 64 bits"
        );
        assert_eq!(time_text(i64::MIN / 1000), "1677-09-21T00:12:43.145225Z");
        assert!(time_text(i64::MAX).starts_with("294247-01-10T"));
        assert!(time_text(i64::MIN).starts_with("-290308-12-21T"));
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
