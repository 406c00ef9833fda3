//! US dollars as integers of 10^-12, from text, without a binary float on the way.

/// Digits behind the point of a money column.
pub(crate) const SCALE: i32 = 12;

/// The first amount that 24 digits cannot hold.
const LIMIT: i128 = 10_i128.pow(24);

/// Reads an amount of dollars: digits, a point, an exponent. Rounded half to even at 10^-12.
///
/// `None` for what is no number, not finite, negative, or a trillion dollars and more.
pub(crate) fn parse(text: &str) -> Option<i128> {
    let amount = decimal(text, SCALE)?;
    (0..LIMIT).contains(&amount).then_some(amount)
}

/// Reads a decimal number as an integer of 10^-`scale`, rounded half to even.
pub(crate) fn decimal(text: &str, scale: i32) -> Option<i128> {
    let text = text.trim();
    let (negative, body) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, exponent) = match body.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i16>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = digit.is_ascii_digit().then(|| i128::from(digit - b'0'))?;
        mantissa = mantissa.checked_mul(10)?.checked_add(digit)?;
    }
    let behind = i32::try_from(fraction.len()).ok()?;
    let shift = scale - behind + i32::from(exponent);
    let amount = match u32::try_from(shift) {
        Ok(_) if mantissa == 0 => 0,
        Ok(up) => mantissa.checked_mul(10_i128.checked_pow(up)?)?,
        Err(_) => match 10_i128.checked_pow(shift.unsigned_abs()) {
            Some(by) => divide_half_even(mantissa, by),
            None => 0,
        },
    };
    Some(if negative { -amount } else { amount })
}

/// `value / by`, rounded half to even; `by` is positive.
pub(crate) fn divide_half_even(value: i128, by: i128) -> i128 {
    let mut quotient = value / by;
    let mut rest = value - quotient * by;
    if rest < 0 {
        (quotient, rest) = (quotient - 1, rest + by);
    }
    match rest.cmp(&(by - rest)) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Equal => quotient + (quotient & 1),
        std::cmp::Ordering::Greater => quotient + 1,
    }
}

/// `value * by / one / unit`, rounded half to even once; all but `value` are positive, and `value`
/// is not negative. Exact also where the product has more digits than an `i128`.
///
/// `None` where the quotient does not fit.
pub(crate) fn scale_half_even(value: i128, by: i128, one: i128, unit: i128) -> Option<i128> {
    // value = high * unit + low, high * by = whole * one + rest; so the quotient is
    // whole + (rest * unit + low * by) / (one * unit), and only the fraction is rounded.
    let (high, low) = (value.div_euclid(unit), value.rem_euclid(unit));
    let product = high.checked_mul(by)?;
    let (whole, rest) = (product.div_euclid(one), product.rem_euclid(one));
    let parts = rest.checked_mul(unit)?.checked_add(low.checked_mul(by)?)?;
    let below = one.checked_mul(unit)?;
    let (more, left) = (parts.div_euclid(below), parts.rem_euclid(below));
    let floor = whole.checked_add(more)?;
    let up = match left.cmp(&(below - left)) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => floor & 1,
        std::cmp::Ordering::Greater => 1,
    };
    floor.checked_add(up)
}

/// A number of 10^-`scale` as decimal text, without zeros at its end.
pub(crate) fn shown(number: i128, scale: u32) -> String {
    let unit = 10_u128.pow(scale);
    let (whole, fraction) = (number.unsigned_abs() / unit, number.unsigned_abs() % unit);
    let sign = if number < 0 { "-" } else { "" };
    let digits = usize::try_from(scale).unwrap_or_default();
    let text = format!("{sign}{whole}.{fraction:0digits$}");
    let text = text.trim_end_matches('0');
    text.strip_suffix('.').unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_and_rounded_half_to_even() {
        let cases = [
            ("0", Some(0)),
            ("0.002365", Some(2_365_000_000)),
            ("1.6E-7", Some(160_000)),
            ("2e3", Some(2_000_000_000_000_000)),
            ("+.5", Some(500_000_000_000)),
            ("5.", Some(5_000_000_000_000)),
            ("0.0000000000005", Some(0)),
            ("0.0000000000015", Some(2)),
            ("0.0000000000025", Some(2)),
            ("0.00000000000250001", Some(3)),
            ("1e-300", Some(0)),
            ("999999999999.999999999999", Some(LIMIT - 1)),
            ("1000000000000", None),
            ("1e300", None),
            ("-0.1", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            (".", None),
            ("1,5", None),
            ("0x10", None),
            ("1e", None),
        ];
        for (text, amount) in cases {
            assert_eq!(parse(text), amount, "{text:?}");
        }
        assert_eq!(decimal("-2.5", 0), Some(-2));
        assert_eq!(decimal("-3.5", 0), Some(-4));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(amount in 0..LIMIT) {
            let unit = 10_i128.pow(12);
            let text = format!("{}.{:012}", amount / unit, amount % unit);
            proptest::prop_assert_eq!(parse(&text), Some(amount));
        }
    }
}
