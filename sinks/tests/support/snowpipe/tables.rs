//! Tables with Snowflake's types: what a column takes, and what it makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The most that a text or a variant may hold, in bytes.
const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Varchar,
    Number { precision: usize, scale: usize },
    Float,
    Boolean,
    Date,
    Timestamp { digits: usize },
    Variant,
}

impl Kind {
    /// Reads a type with its arguments.
    pub(crate) fn of(name: &str, arguments: &[usize]) -> Option<Self> {
        Some(match (name, arguments) {
            ("VARCHAR", [] | [_]) => Self::Varchar,
            ("NUMBER", [precision, scale]) if *precision <= 38 && scale <= precision => {
                Self::Number {
                    precision: *precision,
                    scale: *scale,
                }
            }
            ("FLOAT", []) => Self::Float,
            ("BOOLEAN", []) => Self::Boolean,
            ("DATE", []) => Self::Date,
            ("TIMESTAMP_NTZ", [digits]) => Self::Timestamp { digits: *digits },
            ("VARIANT", []) => Self::Variant,
            _ => return None,
        })
    }

    /// What the column holds for a value of JSON; the reason where it takes none such.
    fn take(&self, value: &Value) -> Result<Value, String> {
        let no = || Err(format!("Value '{value}' is not recognized as {self:?}"));
        let text = value.as_str();
        let taken = match self {
            Self::Varchar => match value {
                Value::String(text) if text.len() <= VALUE_BYTES_MAX => value.clone(),
                Value::Number(number) => number.to_string().into(),
                Value::Bool(bool) => bool.to_string().into(),
                Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    return no();
                }
            },
            Self::Number { precision, scale } => {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Number(number) => number.to_string(),
                    Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                        return no();
                    }
                };
                match number(&text, *precision, *scale) {
                    Some(units) => units.to_string().into(),
                    None => return no(),
                }
            }
            Self::Float => match text {
                Some("NaN" | "inf" | "-inf") => value.clone(),
                Some(_) => return no(),
                None if value.is_number() => value.clone(),
                None => return no(),
            },
            Self::Boolean if value.is_boolean() => value.clone(),
            Self::Date if text.is_some_and(is_date) => value.clone(),
            Self::Timestamp { digits } => match text.and_then(|t| micros(t, *digits)) {
                Some(micros) => micros.into(),
                None => return no(),
            },
            Self::Variant if value.to_string().len() <= VALUE_BYTES_MAX => sorted(value),
            Self::Boolean | Self::Date | Self::Variant => return no(),
        };
        Ok(taken)
    }
}

/// A decimal in units of its last digit, if it is exact and fits.
fn number(text: &str, precision: usize, scale: usize) -> Option<i128> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all(whole) || !all(part) || part.len() > scale {
        return None;
    }
    let units: i128 = format!("{whole}{part:0<scale$}").parse().ok()?;
    let fits = units < 10_i128.checked_pow(u32::try_from(precision).ok()?)?;
    fits.then_some(sign * units)
}

fn is_date(text: &str) -> bool {
    chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

/// A time in microseconds; `None` where it has digits that the column would cut.
fn micros(text: &str, digits: usize) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let part = text.split_once('.').map_or("", |(_, part)| part);
    if part.len() > digits {
        return None;
    }
    let at = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
    Some(at.and_utc().timestamp_micros())
}

/// Objects with their keys in order, as a `VARIANT` keeps them.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let ordered: BTreeMap<&String, &Value> = members.iter().collect();
            let members = ordered.into_iter().map(|(k, v)| (k.clone(), sorted(v)));
            Value::Object(members.collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    /// In capitals.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Arc<Map<String, Value>>>,
    /// The row of this batch and number is rejected: a stand-in for what cannot be loaded.
    pub(crate) poison: Option<(i64, i32)>,
}

impl Table {
    /// What the table would hold for `row`, its columns matched without regard to case.
    pub(crate) fn take(&self, row: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let given: BTreeMap<String, &Value> =
            row.iter().map(|(k, v)| (k.to_uppercase(), v)).collect();
        let mut taken = Map::new();
        for column in &self.columns {
            let value = given.get(&column.name).copied();
            // A JSON null in a variant is a value; elsewhere it is NULL.
            let null = value.is_none_or(|v| v.is_null() && column.kind != Kind::Variant);
            if null && !column.nullable {
                return Err(format!(
                    "NULL result in a non-nullable column {}",
                    column.name
                ));
            }
            if let Some(value) = value.filter(|_| !null) {
                taken.insert(column.name.clone(), column.kind.take(value)?);
            }
        }
        let text = |name: &str| taken.get(name).and_then(Value::as_str);
        if let Some((batch, row)) = self.poison
            && text("_BATCH") == Some(&batch.to_string())
            && text("_ROW") == Some(&row.to_string())
        {
            return Err(format!("the value 'secret' of row {row} is poison"));
        }
        Ok(taken)
    }
}
