//! Amounts of money as text: integers of 10^-12 US dollars, never binary floats on the way.

/// 10^12.
const SCALE: u128 = 1_000_000_000_000;

/// The amount with all 12 digits behind the point, as SQL answers have it.
pub(crate) fn text(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let whole = amount.unsigned_abs();
    format!("{sign}{}.{:012}", whole / SCALE, whole % SCALE)
}

/// The same for people: at least cents, and no zeros at the end.
pub(crate) fn short(amount: i128) -> String {
    let text = text(amount);
    let Some((whole, digits)) = text.split_once('.') else {
        return text;
    };
    let kept = digits.trim_end_matches('0');
    format!("{whole}.{kept:0<2}")
}

/// Reads an amount: digits, a point, an exponent, perhaps a sign, `$` and commas between
/// thousands. What lies behind 10^-12 is cut off. `None` for anything else.
pub(crate) fn parse(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let plain: String = text.trim_start_matches('$').replace(',', "");
    let (digits, exponent) = match plain.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (plain.as_str(), 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut amount = 0_i128;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        amount = amount.checked_mul(10)?.checked_add(digit)?;
    }
    let shift = 12 - i32::try_from(fraction.len()).ok()? + exponent;
    let by = 10_i128.checked_pow(shift.unsigned_abs());
    let amount = match (shift >= 0, by) {
        (true, Some(by)) => amount.checked_mul(by)?,
        (true, None) => return (amount == 0).then_some(0),
        (false, by) => by.map_or(0, |by| amount / by),
    };
    Some(if negative { -amount } else { amount })
}

/// The nearest JSON number, for contracts that want one.
pub(crate) fn number(amount: i128) -> serde_json::Value {
    let near: Option<f64> = text(amount).parse().ok();
    near.map_or(serde_json::Value::Null, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_to_the_last_digit() {
        assert_eq!(text(0), "0.000000000000");
        assert_eq!(text(-1), "-0.000000000001");
        assert_eq!(text(35_784_000_000), "0.035784000000");
        assert_eq!(short(35_784_000_000), "0.035784");
        assert_eq!(short(5 * 10_i128.pow(12)), "5.00");
        assert_eq!(short(-1_500_000_000_000), "-1.50");
        assert_eq!(number(35_784_000_000).to_string(), "0.035784");
    }

    #[test]
    fn amounts_are_read_as_people_and_programs_write_them() {
        for (text, amount) in [
            ("0.035784", 35_784_000_000),
            ("-1.5", -1_500_000_000_000),
            ("$1,234.50", 1_234_500_000_000_000),
            ("1e-3", 1_000_000_000),
            ("6.0E-13", 0),
            ("12", 12_000_000_000_000),
            (".5", 500_000_000_000),
        ] {
            assert_eq!(parse(text), Some(amount), "{text}");
        }
        for text in ["", "USD", "1.2.3", "0x1", "1e99"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&text(-35_784_000_001)), Some(-35_784_000_001));
    }
}
