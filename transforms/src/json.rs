//! Objects inside attribute values: JSON text, or what Python prints for a dict.

use serde_json::{Map, Value};

/// The longest value that is looked into, in bytes: what hides in a megabyte is content.
const BYTES_MAX: usize = 65_536;

/// Reads `text` as an object.
pub(crate) fn object(text: &str) -> Option<Map<String, Value>> {
    let text = text.trim_ascii();
    if !text.starts_with('{') || text.len() > BYTES_MAX {
        return None;
    }
    if let Ok(object) = serde_json::from_str(text) {
        return Some(object);
    }
    serde_json::from_str(&python_to_json(text)).ok()
}

/// The only text of a list, where that can be seen without reading it as JSON.
pub(crate) fn only_text(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("[\"")?.strip_suffix("\"]")?;
    (!inner.contains(['"', '\\'])).then_some(inner)
}

/// Reads `text` as a list of texts, or takes it as the only one.
pub(crate) fn texts(text: &str) -> Vec<String> {
    if text.starts_with('[')
        && let Ok(values) = serde_json::from_str::<Vec<Value>>(text)
    {
        return values.iter().map(plain).collect();
    }
    vec![text.to_owned()]
}

/// A value as an attribute would hold it: text bare, the rest as JSON.
pub(crate) fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Rewrites a Python literal as JSON text; what is none comes out as no JSON either.
fn python_to_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '\'' || c == '"' {
            rest = quoted(rest, c, &mut out);
        } else if c.is_ascii_alphabetic() {
            let end = rest
                .find(|c: char| !c.is_ascii_alphanumeric())
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            out.push_str(match word {
                "True" => "true",
                "False" => "false",
                "None" => "null",
                other => other,
            });
            rest = after;
        } else {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    out
}

/// Copies the string literal that `text` begins with as JSON, and returns what follows.
fn quoted<'a>(text: &'a str, quote: char, out: &mut String) -> &'a str {
    let mut plain = String::new();
    let mut chars = text.char_indices().skip(1);
    let mut after = "";
    while let Some((at, c)) = chars.next() {
        if c == quote {
            after = text.get(at + 1..).unwrap_or_default();
            break;
        }
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next().map(|(_, c)| c) {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some(c @ ('\\' | '\'' | '"')) => plain.push(c),
            Some(other) => plain.extend(['\\', other]),
            None => {}
        }
    }
    out.push_str(&Value::String(plain).to_string());
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_dicts_and_json_objects_read_alike() {
        let json = r#"{"skill": "it's", "n": [1, null, true], "o": {"a": "b\n"}}"#;
        let python = r#"{'skill': "it's", 'n': [1, None, True], 'o': {'a': 'b\n'}}"#;
        assert!(object(json).is_some());
        assert_eq!(object(python), object(json));
    }

    #[test]
    fn a_list_of_one_text_is_seen_without_reading_it() {
        for text in [r#"["stop"]"#, r#"[""]"#, r#"["a, b"]"#] {
            assert_eq!(
                only_text(text).map(|t| vec![t.to_owned()]),
                Some(texts(text)),
                "{text}"
            );
        }
        for text in [r#"["a","b"]"#, r#"["a\n"]"#, "[]", "[1]", "stop", r#"[""#] {
            assert_eq!(only_text(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in [
            "",
            "x",
            "[1]",
            "{",
            "{'a'",
            "{'a': f(1)}",
            "{\"a\": }",
            "{'\\",
        ] {
            assert_eq!(object(text), None, "{text:?}");
        }
        assert_eq!(
            object(&format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX))),
            None
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "\\{[ -~\u{e9}'\"\\\\]{0,40}") {
            let _ = object(&text);
        }
    }
}
