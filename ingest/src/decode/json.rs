//! What the readers of JSON bodies share.

use super::DecodeError;

/// The mark that some senders put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The body without a byte order mark.
pub(super) fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body)
}

/// Whether objects and arrays nest deeper than `max`.
pub(super) fn is_deeper_than(body: &[u8], max: usize) -> bool {
    measure(body, max, usize::MAX) == Extent::TooDeep
}

/// How far a body goes, told without parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Within both limits.
    Fits,
    /// Objects and arrays nest deeper than the limit.
    TooDeep,
    /// There are more values than the limit: parsed, each takes many times its two bytes.
    TooMany,
}

/// Measures a body; what stands inside strings does not count. What is no JSON gets some answer,
/// and fails later.
pub(super) fn measure(body: &[u8], depth_max: usize, values_max: usize) -> Extent {
    let (mut depth, mut values) = (0_usize, 0_usize);
    let mut rest = body;
    while let Some((byte, tail)) = rest.split_first() {
        rest = match byte {
            b'"' => after_string(tail),
            b'{' | b'[' => {
                depth += 1;
                values += 1;
                if depth > depth_max {
                    return Extent::TooDeep;
                }
                tail
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                tail
            }
            b',' => {
                values += 1;
                tail
            }
            _ => tail,
        };
        if values > values_max {
            return Extent::TooMany;
        }
    }
    Extent::Fits
}

/// What follows a string whose first quote has been read.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(place) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest.get(place) == Some(&b'"');
        let skip = if is_end { 1 } else { 2 };
        rest = rest.get(place + skip..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

/// What a failed parse means; `what` says what was expected of the shape.
pub(super) fn refusal(error: &serde_json::Error, what: &'static str) -> DecodeError {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Data => DecodeError::Shape { what, line, column },
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => DecodeError::Syntax { line, column },
    }
}

/// Replaces escaped halves of surrogate pairs that stand alone by the replacement character.
/// JavaScript and Python write such halves where a text was cut inside a character, and no
/// reader of UTF-8 can take them. None where there are none.
pub(super) fn repair_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut place = 0;
    while let Some(found) = body
        .get(place..)
        .and_then(|rest| memchr::memchr(b'\\', rest))
    {
        let at = place + found;
        place = at + 2;
        match unit(body, at) {
            Some(0xd800..=0xdbff) if matches!(unit(body, at + 6), Some(0xdc00..=0xdfff)) => {
                place = at + 12;
            }
            Some(0xd800..=0xdfff) => {
                let out = out.get_or_insert_with(|| body.to_vec());
                out.get_mut(at + 2..at + 6)?.copy_from_slice(b"fffd");
                place = at + 6;
            }
            Some(_) | None => {}
        }
    }
    out
}

/// The number of the escape `\uXXXX` at `at`, if there is one.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let escape = body.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings_only() {
        assert!(!is_deeper_than(br#"{"a":[1,{"b":"[[[[\"[["}]}"#, 3));
        assert!(is_deeper_than(br#"{"a":[1,{"b":"[[[["}]}"#, 2));
        assert!(!is_deeper_than(b"[],[],[],[]", 1));
        assert!(is_deeper_than(&[b'['; 1000], 64));
    }

    #[test]
    fn values_are_counted_by_what_stands_between_them() {
        // Two lists, and two commas outside of strings.
        let body = br#"[[1,"a,b,c,[[["],2]"#;
        assert_eq!(measure(body, 2, 4), Extent::Fits);
        assert_eq!(measure(body, 2, 3), Extent::TooMany);
        assert_eq!(measure(body, 1, 4), Extent::TooDeep);
    }

    #[test]
    fn halves_of_pairs_are_replaced_and_pairs_are_kept() {
        let repaired = repair_surrogates(br#"["\ud83d","\ud83d\ude00","\udc00x","\\ud800"]"#);
        let expected = br#"["\ufffd","\ud83d\ude00","\ufffdx","\\ud800"]"#;
        assert_eq!(repaired.unwrap(), expected);
        assert_eq!(repair_surrogates(br#"["\u00e4","\n"]"#), None);
    }
}
