//! From text and type name back to the value.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{AnyValue, InvalidValue};

/// The value that a row's text and type name stand for, as [described](super).
///
/// # Errors
///
/// [`InvalidValue`] where the text is none of that type, or the type is unknown.
pub fn any_value(text: Option<&str>, kind: Option<&str>) -> Result<AnyValue, InvalidValue> {
    let Some(text) = text else {
        return match kind {
            None | Some("unset") => Ok(AnyValue::Unset),
            Some(_) => Err(InvalidValue),
        };
    };
    match kind {
        None => Ok(AnyValue::Text(text.to_owned())),
        Some("int") => text.parse().map(AnyValue::Int).map_err(|_| InvalidValue),
        Some("double") => double(text).map(AnyValue::Double),
        Some("bool") => text.parse().map(AnyValue::Bool).map_err(|_| InvalidValue),
        Some("bytes") => bytes(text).map(AnyValue::Bytes),
        Some("array") => {
            let value = nested(text)?;
            let fits = matches!(value, AnyValue::Array(_));
            fits.then_some(value).ok_or(InvalidValue)
        }
        Some("kvlist") => {
            let value = nested(text)?;
            let fits = matches!(value, AnyValue::KvList(_));
            fits.then_some(value).ok_or(InvalidValue)
        }
        Some(_) => Err(InvalidValue),
    }
}

fn nested(text: &str) -> Result<AnyValue, InvalidValue> {
    serde_json::from_str(text).map_err(|_| InvalidValue)
}

fn bytes(text: &str) -> Result<Vec<u8>, InvalidValue> {
    STANDARD.decode(text).map_err(|_| InvalidValue)
}

fn double(text: &str) -> Result<f64, InvalidValue> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or(InvalidValue),
    }
}

impl<'de> Deserialize<'de> for AnyValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nested)
    }
}

struct Nested;

impl<'de> Visitor<'de> for Nested {
    type Value = AnyValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a nested attribute value")
    }

    fn visit_unit<E>(self) -> Result<AnyValue, E> {
        Ok(AnyValue::Unset)
    }

    fn visit_bool<E>(self, value: bool) -> Result<AnyValue, E> {
        Ok(AnyValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<AnyValue, E> {
        Ok(AnyValue::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<AnyValue, E> {
        let value = i64::try_from(value).map_err(|_| E::custom(InvalidValue))?;
        Ok(AnyValue::Int(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<AnyValue, E> {
        Ok(AnyValue::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<AnyValue, E> {
        Ok(AnyValue::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<AnyValue, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(AnyValue::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnyValue, A::Error> {
        let mut entries: Vec<(String, AnyValue)> = Vec::new();
        let mut first = true;
        while let Some(key) = map.next_key::<String>()? {
            if first && key.starts_with('$') {
                let value = tagged(&key, &mut map)?;
                return match map.next_key::<String>()? {
                    None => Ok(value),
                    Some(_) => Err(serde::de::Error::custom(InvalidValue)),
                };
            }
            first = false;
            entries.push((key, map.next_value()?));
        }
        Ok(AnyValue::KvList(entries))
    }
}

/// The value of an object whose first key is a mark.
fn tagged<'de, A: MapAccess<'de>>(mark: &str, map: &mut A) -> Result<AnyValue, A::Error> {
    let fail = serde::de::Error::custom::<InvalidValue>;
    match mark {
        "$bytes" => {
            let text: String = map.next_value()?;
            bytes(&text).map(AnyValue::Bytes).map_err(fail)
        }
        "$double" => {
            let text: String = map.next_value()?;
            double(&text).map(AnyValue::Double).map_err(fail)
        }
        "$kvlist" => map.next_value().map(|Entries(list)| AnyValue::KvList(list)),
        _ => Err(fail(InvalidValue)),
    }
}

/// A list of entries whose first key is no mark, whatever it begins with.
struct Entries(Vec<(String, AnyValue)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of entries")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_of_its_type_is_refused() {
        let bad = [
            (Some("1.5"), "int"),
            (Some("inf"), "double"),
            (Some("yes"), "bool"),
            (Some("%%"), "bytes"),
            (Some("{}"), "array"),
            (Some("[]"), "kvlist"),
            (Some("[1"), "array"),
            (Some(r#"[{"$date":1}]"#), "array"),
            (Some(r#"[{"$bytes":"","a":1}]"#), "array"),
            (Some("x"), "unset"),
            (Some("x"), "colour"),
            (None, "int"),
        ];
        for (text, kind) in bad {
            assert_eq!(any_value(text, Some(kind)), Err(InvalidValue), "{kind}");
        }
    }

    #[test]
    fn nested_values_keep_their_kinds() {
        let text = r#"[1,1.0,"1",{"$bytes":"AQ=="},{"$double":"-Infinity"},null,{"a":1,"a":2},{"$kvlist":{"$x":true}}]"#;
        let AnyValue::Array(values) = any_value(Some(text), Some("array")).unwrap() else {
            panic!("an array");
        };
        assert_eq!(
            values,
            [
                AnyValue::Int(1),
                AnyValue::Double(1.0),
                AnyValue::Text("1".into()),
                AnyValue::Bytes(vec![1]),
                AnyValue::Double(f64::NEG_INFINITY),
                AnyValue::Unset,
                AnyValue::KvList(vec![
                    ("a".into(), AnyValue::Int(1)),
                    ("a".into(), AnyValue::Int(2))
                ]),
                AnyValue::KvList(vec![("$x".into(), AnyValue::Bool(true))]),
            ]
        );
    }
}
