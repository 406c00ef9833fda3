//! Rows as JSON, one a line, as Snowflake's columns read them.
//!
//! | column | JSON |
//! |---|---|
//! | NULL | left out: an explicit `null` would become a JSON null in a `VARIANT` |
//! | text | string; NUL and other control characters escaped |
//! | integers | number, exact: Snowflake reads up to 38 digits |
//! | money | string, so that nobody reads it as a double |
//! | double | number, in the fewest digits that give it back; `"NaN"`, `"inf"`, `"-inf"` |
//! | time | string, ISO 8601 to the microsecond, UTC |
//! | lists, maps, structs | array and object, for a `VARIANT`; a NULL in a list or map is `null`, a NULL member of a struct is left out |

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, BooleanArray, PrimitiveArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{ArrowError, DataType, TimeUnit};

/// The values of a column, or of one inside of it.
enum Cells<'a> {
    Text(&'a StringArray),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Bool(&'a BooleanArray),
    Date(&'a PrimitiveArray<Date32Type>),
    Time(&'a PrimitiveArray<TimestampMicrosecondType>),
    Decimal(&'a PrimitiveArray<Decimal128Type>),
    List {
        nulls: &'a dyn Array,
        offsets: &'a [i32],
        items: Box<Cells<'a>>,
    },
    Map {
        nulls: &'a dyn Array,
        offsets: &'a [i32],
        keys: &'a StringArray,
        values: Box<Cells<'a>>,
    },
    Struct {
        nulls: &'a StructArray,
        members: Members<'a>,
    },
}

/// Named values, the names as JSON with a colon.
type Members<'a> = Vec<(Vec<u8>, Cells<'a>)>;

fn named<'a>(name: &str, array: &'a dyn Array) -> Result<(Vec<u8>, Cells<'a>), ArrowError> {
    let mut head = Vec::with_capacity(name.len() + 3);
    put_text(&mut head, name);
    head.push(b':');
    Ok((head, Cells::of(array)?))
}

impl<'a> Cells<'a> {
    fn of(array: &'a dyn Array) -> Result<Self, ArrowError> {
        let unknown = || {
            let kind = array.data_type();
            ArrowError::SchemaError(format!("no JSON is known for {kind}"))
        };
        let kind = array.data_type();
        if let Some(text) = array.as_string_opt::<i32>() {
            Ok(Self::Text(text))
        } else if let Some(ints) = array.as_primitive_opt::<Int64Type>() {
            Ok(Self::Int64(ints))
        } else if let Some(ints) = array.as_primitive_opt::<Int32Type>() {
            Ok(Self::Int32(ints))
        } else if let Some(floats) = array.as_primitive_opt::<Float64Type>() {
            Ok(Self::Float64(floats))
        } else if let Some(bools) = array.as_boolean_opt() {
            Ok(Self::Bool(bools))
        } else if let Some(days) = array.as_primitive_opt::<Date32Type>() {
            Ok(Self::Date(days))
        } else if let Some(money) = array.as_primitive_opt::<Decimal128Type>() {
            Ok(Self::Decimal(money))
        } else if matches!(kind, DataType::Timestamp(TimeUnit::Microsecond, Some(_))) {
            let times = array.as_primitive_opt().ok_or_else(unknown)?;
            Ok(Self::Time(times))
        } else if let Some(list) = array.as_list_opt::<i32>() {
            Ok(Self::List {
                nulls: list,
                offsets: list.value_offsets(),
                items: Box::new(Self::of(list.values())?),
            })
        } else if let Some(map) = array.as_map_opt() {
            Ok(Self::Map {
                nulls: map,
                offsets: map.value_offsets(),
                keys: map.keys().as_string_opt().ok_or_else(unknown)?,
                values: Box::new(Self::of(map.values())?),
            })
        } else if let Some(members) = array.as_struct_opt() {
            let names = members.fields().iter().zip(members.columns());
            let all: Result<Members<'a>, ArrowError> = names
                .map(|(field, column)| named(field.name(), column))
                .collect();
            Ok(Self::Struct {
                nulls: members,
                members: all?,
            })
        } else {
            Err(unknown())
        }
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Text(array) => array.is_null(row),
            Self::Int32(array) => array.is_null(row),
            Self::Int64(array) => array.is_null(row),
            Self::Float64(array) => array.is_null(row),
            Self::Bool(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Decimal(array) => array.is_null(row),
            Self::List { nulls, .. } | Self::Map { nulls, .. } => nulls.is_null(row),
            Self::Struct { nulls, .. } => nulls.is_null(row),
        }
    }

    /// Writes the value, or `null`.
    fn put(&self, out: &mut Vec<u8>, row: usize) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match self {
            Self::Text(array) => put_text(out, array.value(row)),
            Self::Int32(array) => put_shown(out, array.value(row)),
            Self::Int64(array) => put_shown(out, array.value(row)),
            Self::Float64(array) => put_float(out, array.value(row)),
            Self::Bool(array) => put_shown(out, array.value(row)),
            Self::Date(array) => match array.value_as_date(row) {
                Some(day) => put_quoted(out, day.format("%Y-%m-%d")),
                None => out.extend_from_slice(b"null"),
            },
            Self::Time(array) => match array.value_as_datetime(row) {
                Some(at) => put_quoted(out, at.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
                None => out.extend_from_slice(b"null"),
            },
            Self::Decimal(array) => put_quoted(out, array.value_as_string(row)),
            Self::List { offsets, items, .. } => {
                out.push(b'[');
                for (n, item) in range_of(offsets, row).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    items.put(out, item);
                }
                out.push(b']');
            }
            Self::Map {
                offsets,
                keys,
                values,
                ..
            } => {
                out.push(b'{');
                for (n, entry) in range_of(offsets, row).enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    put_text(out, keys.value(entry));
                    out.push(b':');
                    values.put(out, entry);
                }
                out.push(b'}');
            }
            Self::Struct { members, .. } => put_members(out, members, row),
        }
    }
}

fn put_members(out: &mut Vec<u8>, members: &Members<'_>, row: usize) {
    out.push(b'{');
    let mut first = true;
    for (head, cells) in members {
        if !cells.is_null(row) {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(head);
            cells.put(out, row);
        }
    }
    out.push(b'}');
}

fn range_of(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |n: usize| {
        let offset = offsets.get(n).copied().unwrap_or(0);
        usize::try_from(offset).unwrap_or(0)
    };
    at(row)..at(row + 1)
}

fn put_shown(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    use std::io::Write as _;
    // Writing into memory does not fail.
    write!(out, "{value}").ok();
}

fn put_quoted(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    out.push(b'"');
    put_shown(out, value);
    out.push(b'"');
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"\"NaN\"");
    } else if value.is_infinite() {
        put_quoted(out, value);
    } else {
        // With an exponent where plain digits would be hundreds.
        serde_json::to_writer(out, &value).ok();
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).ok();
}

/// Writes rows of one batch.
pub(super) struct Rows<'a>(Members<'a>);

impl<'a> Rows<'a> {
    /// Looks at the columns once.
    ///
    /// # Errors
    ///
    /// Where a column has a type that no dataset had when this was written.
    pub(super) fn of(rows: &'a RecordBatch) -> Result<Self, ArrowError> {
        let schema = rows.schema_ref();
        let columns = schema.fields().iter().zip(rows.columns());
        let members: Result<Members<'a>, ArrowError> = columns
            .map(|(field, column)| named(field.name(), column))
            .collect();
        Ok(Self(members?))
    }

    /// Appends a row and the end of its line.
    pub(super) fn put(&self, out: &mut Vec<u8>, row: usize) {
        put_members(out, &self.0, row);
        out.push(b'\n');
    }
}

/// The column as JSON texts; NULL stays NULL.
///
/// # Errors
///
/// Where its type is not known.
pub(super) fn texts(array: &dyn Array) -> Result<StringArray, ArrowError> {
    let cells = Cells::of(array)?;
    let mut out = Vec::new();
    let texts = (0..array.len()).map(|row| {
        if cells.is_null(row) {
            return None;
        }
        out.clear();
        cells.put(&mut out, row);
        Some(String::from_utf8_lossy(&out).into_owned())
    });
    Ok(texts.collect())
}

#[cfg(test)]
mod tests {
    use weir_model::Dataset;

    use super::*;
    use crate::contract::sample_rows;

    #[test]
    fn every_dataset_is_one_object_a_line_without_nulls_at_the_top() {
        for dataset in Dataset::ALL {
            let rows = sample_rows(dataset, 3, 40).unwrap();
            let writer = Rows::of(&rows).unwrap();
            for row in 0..rows.num_rows() {
                let mut line = Vec::new();
                writer.put(&mut line, row);
                assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
                let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
                let object = value.as_object().unwrap();
                assert!(object.values().all(|v| !v.is_null()));
                let there = rows.columns().iter().filter(|c| !c.is_null(row));
                assert_eq!(object.len(), there.count(), "{dataset} {row}");
            }
        }
    }

    #[test]
    fn values_are_spelled_so_that_nothing_is_lost() {
        let mut out = Vec::new();
        for value in [0.1, -0.0, f64::MAX, f64::INFINITY, f64::NAN] {
            put_float(&mut out, value);
            out.push(b' ');
        }
        put_text(&mut out, "nul \0 \u{1f980}");
        let wanted = "0.1 -0.0 1.7976931348623157e+308 \"inf\" \"NaN\" \"nul \\u0000 \u{1f980}\"";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
