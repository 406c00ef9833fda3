//! Attribute values as text: which count as absent, and what numbers they hold.

/// The words that say nothing; an empty value, list or object does so too.
#[derive(Debug)]
pub(crate) struct Absent {
    words: Vec<String>,
    /// Which bytes a word begins with, or white space around one: most values are told apart by
    /// their first byte alone.
    first: [bool; 256],
}

impl Absent {
    /// With `words`, and what is empty.
    pub(crate) fn new(mut words: Vec<String>) -> Self {
        words.extend(["", "[]", "{}"].map(String::from));
        let begins = |byte: u8| {
            byte.is_ascii_whitespace() || words.iter().any(|w| w.as_bytes().first() == Some(&byte))
        };
        let first = std::array::from_fn(|byte| u8::try_from(byte).is_ok_and(begins));
        Self { words, first }
    }

    /// Whether `value` says nothing.
    #[inline]
    pub(crate) fn is(&self, value: &str) -> bool {
        let first = value.as_bytes().first();
        let may_be = first.is_none_or(|byte| self.first.get(usize::from(*byte)) == Some(&true));
        may_be && self.is_word(value.trim_ascii())
    }
}

impl Absent {
    #[inline(never)]
    fn is_word(&self, value: &str) -> bool {
        self.words.iter().any(|w| w == value)
    }
}

/// Reads a count: an integer, or a double without a fraction when `double` is what was sent.
///
/// Beyond 64 bits it is [`i64::MAX`], which no plausible count reaches; `None` for anything else.
pub(crate) fn count(value: &str, double: impl FnOnce() -> bool) -> Option<i64> {
    if let Some(count) = plain_digits(value) {
        return Some(count);
    }
    let value = value.trim_ascii();
    let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
    if (1..=19).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) {
        let saturated = if value.starts_with('-') {
            i64::MIN
        } else {
            i64::MAX
        };
        return Some(value.parse().unwrap_or(saturated));
    }
    if !double() {
        return None;
    }
    let number: f64 = value.parse().ok()?;
    let whole =
        number.is_finite() && number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    // The text of a whole double below 2^53 is its digits.
    whole.then(|| format!("{number}").parse().ok()).flatten()
}

/// Reads digits and nothing else, at most eighteen, which fit.
#[inline]
fn plain_digits(value: &str) -> Option<i64> {
    if value.len() > 18 {
        return None;
    }
    let mut count = 0;
    for byte in value.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        count = count * 10 + i64::from(digit);
    }
    (!value.is_empty()).then_some(count)
}

/// Reads a truth value.
pub(crate) fn truth(value: &str) -> Option<bool> {
    let value = value.trim_ascii();
    if value.eq_ignore_ascii_case("true") {
        Some(true)
    } else if value.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Reads a finite double.
pub(crate) fn double(value: &str) -> Option<f64> {
    let number: f64 = value.trim_ascii().parse().ok()?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_integers_or_whole_doubles() {
        let cases = [
            ("1234", false, Some(1234)),
            ("0", false, Some(0)),
            ("00000000000000000000007", false, None),
            ("999999999999999999", false, Some(999_999_999_999_999_999)),
            ("9223372036854775807", false, Some(i64::MAX)),
            (" 7 ", false, Some(7)),
            ("-5", false, Some(-5)),
            ("9999999999999999999", false, Some(i64::MAX)),
            ("99999999999999999999", false, None),
            ("12.0", false, None),
            ("12.0", true, Some(12)),
            ("1e3", true, Some(1000)),
            ("12.5", true, None),
            ("1e300", true, None),
            ("NaN", true, None),
            ("true", true, None),
            ("", true, None),
        ];
        for (text, is_double, expected) in cases {
            assert_eq!(count(text, || is_double), expected, "{text:?}");
        }
    }

    #[test]
    fn words_for_nothing_are_absent() {
        let absent = Absent::new(["None", "N/A"].map(String::from).into());
        for value in ["", "  ", "None", " N/A ", "[]", "{}", &" ".repeat(80)] {
            assert!(absent.is(value), "{value:?}");
        }
        for value in ["none", "0", "gpt-4o", &"x".repeat(80)] {
            assert!(!absent.is(value), "{value:?}");
        }
    }
}
