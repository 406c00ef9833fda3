//! Decimal text as money, exactly.

use weir_model::schema::MONEY;

/// The largest amount of the schema's precision.
const AMOUNT_MAX: i128 = 10_i128.pow(MONEY.0 as u32) - 1;

/// Reads a decimal number, also with an exponent, as units of the schema's scale (10^-12),
/// rounded half to even. None where it is no number or beyond the precision.
pub(super) fn parse(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let kept = point.checked_add(i32::from(MONEY.1))?;
    let amount = rounded(&digits, kept)?;
    Some(if negative { -amount } else { amount })
}

/// The first `kept` digits as a number, rounded half to even by those that follow.
fn rounded(digits: &[u8], kept: i32) -> Option<i128> {
    let Ok(kept) = usize::try_from(kept) else {
        return Some(0);
    };
    let mut amount = 0_i128;
    for place in 0..kept {
        let digit = digits.get(place).map_or(0, |digit| digit - b'0');
        amount = amount.checked_mul(10)?.checked_add(i128::from(digit))?;
        if amount > AMOUNT_MAX {
            return None;
        }
        if amount == 0 && place > digits.len() {
            return Some(0);
        }
    }
    let rest = digits.get(kept..).unwrap_or_default();
    let up = match rest.split_first() {
        None => false,
        Some((b'5', tail)) => amount % 2 == 1 || tail.iter().any(|digit| *digit != b'0'),
        Some((first, _)) => *first > b'5',
    };
    Some(amount + i128::from(up)).filter(|amount| *amount <= AMOUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_to_a_trillionth_and_round_half_to_even() {
        let cases = [
            ("0", 0),
            ("1", 1_000_000_000_000),
            ("-0.043284", -43_284_000_000),
            ("1e-12", 1),
            ("5E-13", 0),
            ("1.5e-12", 2),
            ("2.5e-12", 2),
            ("2.50001e-12", 3),
            ("0.0000000000005", 0),
            ("123e3", 123_000_000_000_000_000),
            ("1e-400", 0),
        ];
        for (text, units) in cases {
            assert_eq!(parse(text), Some(units), "{text}");
        }
        for bad in [
            "",
            "-",
            "abc",
            "1.2.3",
            "1e",
            "NaN",
            "1e400",
            "1000000000000",
            "0x10",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("0e2000000000"), Some(0), "and no long loop");
    }
}
