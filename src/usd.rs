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
}
