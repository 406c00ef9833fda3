//! Compact dates in model names.

use chrono::NaiveDate;

/// The name with each compact date (`-20251211`, at the end or before `-` or `:`) written out
/// (`-2025-12-11`), as the list's names have it; `None` where there is none.
pub(super) fn written_out(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len() + 2);
    let mut rest = name;
    let mut changed = false;
    while let Some(at) = rest.find('-') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        if let Some((date, after)) = date(from) {
            out.push_str(&date.format("-%Y-%m-%d").to_string());
            rest = after;
            changed = true;
        } else {
            out.push('-');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// The date that `text` begins with, behind its dash, and what follows.
fn date(text: &str) -> Option<(NaiveDate, &str)> {
    let (digits, after) = text.get(1..)?.split_at_checked(8)?;
    let ends = after.is_empty() || after.starts_with(['-', ':']);
    if !ends || !digits.starts_with("20") || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date = NaiveDate::parse_from_str(digits, "%Y%m%d").ok()?;
    Some((date, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_dates_are_written_out_and_nothing_else_is() {
        let cases = [
            ("gpt-5.2-20251211", Some("gpt-5.2-2025-12-11")),
            ("model-20251211:free", Some("model-2025-12-11:free")),
            ("a-20251211-20240229", Some("a-2025-12-11-2024-02-29")),
            ("claude-20251211-v1", Some("claude-2025-12-11-v1")),
            ("model-20250230", None),
            ("model-202512110", None),
            ("model-19991231", None),
            ("model20251211", None),
            ("model", None),
            ("-", None),
            ("\u{fc}-2025121\u{fc}", None),
        ];
        for (name, expected) in cases {
            assert_eq!(written_out(name).as_deref(), expected, "{name}");
        }
    }
}
