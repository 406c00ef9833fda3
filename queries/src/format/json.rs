//! Answers as one JSON object.
//!
//! ```json
//! {"columns":[{"name":"skill","type":"text"},{"name":"cost_usd","type":"decimal(34,12)"}],
//!  "rows":[["search","0.012300000000"]],
//!  "row_count":1,"truncated":false,"elapsed_ms":3}
//! ```
//!
//! Rows are arrays in the order of `columns`, since a query may give two columns one name.
//! Every value can be read back exactly:
//!
//! | type | form |
//! |---|---|
//! | NULL | `null`, always written |
//! | decimals | text with all digits of their scale: a reader's doubles would round money |
//! | integers | a number up to 2^53 - 1 on either side, beyond that text, for the same reason |
//! | doubles | a number in the shortest exact form; `"NaN"`, `"Infinity"`, `"-Infinity"` as text |
//! | times | RFC 3339, `Z` for UTC; days `YYYY-MM-DD` |
//! | maps, structs | an object, NULL members included |
//! | bytes | lower-case hex |

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch};
use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder, make_encoder};
use arrow_schema::{ArrowError, DataType, FieldRef, Schema, TimeUnit};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::FormatError;
use crate::Answer;

/// The largest integer that a double holds exactly together with all below it.
const EXACT_MAX: i64 = (1 << 53) - 1;

/// Writes `answer` as one JSON object; see the [module](self) for its form.
///
/// # Errors
///
/// Where a column has a type without a JSON form, before anything is written; or where `out`
/// fails, with a part written.
pub fn write_json<W: Write>(answer: &Answer, mut out: W) -> Result<(), FormatError> {
    let options = options();
    check_types(&answer.schema, &options)?;
    out.write_all(b"{\"columns\":[")?;
    for (i, field) in answer.schema.fields().iter().enumerate() {
        if i > 0 {
            out.write_all(b",")?;
        }
        let name = serde_json::Value::from(field.name().as_str());
        let kind = serde_json::Value::from(type_name(field.data_type()));
        write!(out, "{{\"name\":{name},\"type\":{kind}}}")?;
    }
    out.write_all(b"],\"rows\":[")?;
    let mut first = true;
    for batch in &answer.batches {
        write_rows(batch, &options, &mut first, &mut out)?;
    }
    let elapsed = answer.elapsed.as_millis();
    write!(
        out,
        "],\"row_count\":{},\"truncated\":{},\"elapsed_ms\":{elapsed}}}",
        answer.rows(),
        answer.truncated
    )?;
    out.flush()?;
    Ok(())
}

/// One JSON text for each row of `array`; NULL stays NULL.
pub(super) fn texts(
    field: &FieldRef,
    array: &dyn Array,
) -> Result<Vec<Option<String>>, FormatError> {
    let options = options();
    let mut encoder = make_encoder(field, array, &options)?;
    let mut texts = Vec::with_capacity(array.len());
    for row in 0..array.len() {
        if encoder.is_null(row) {
            texts.push(None);
            continue;
        }
        let mut text = Vec::new();
        encoder.encode(row, &mut text);
        texts.push(Some(String::from_utf8_lossy(&text).into_owned()));
    }
    Ok(texts)
}

fn options() -> EncoderOptions {
    EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(ExactValues))
}

/// Asks for an encoder of each column once, on no rows, so that a type without a form is found
/// before the first byte is written.
fn check_types(schema: &Schema, options: &EncoderOptions) -> Result<(), FormatError> {
    for field in schema.fields() {
        let none = arrow_array::new_empty_array(field.data_type());
        make_encoder(field, none.as_ref(), options)?;
    }
    Ok(())
}

fn write_rows<W: Write>(
    batch: &RecordBatch,
    options: &EncoderOptions,
    first: &mut bool,
    out: &mut W,
) -> Result<(), FormatError> {
    let schema = batch.schema_ref();
    let mut encoders = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        encoders.push(make_encoder(field, column.as_ref(), options)?);
    }
    let mut line = Vec::new();
    for row in 0..batch.num_rows() {
        line.clear();
        if !*first {
            line.push(b',');
        }
        *first = false;
        line.push(b'[');
        for (i, encoder) in encoders.iter_mut().enumerate() {
            if i > 0 {
                line.push(b',');
            }
            if encoder.is_null(row) {
                line.extend_from_slice(b"null");
            } else {
                encoder.encode(row, &mut line);
            }
        }
        line.push(b']');
        out.write_all(&line)?;
    }
    Ok(())
}

/// A type's name as SQL readers know it.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the many other Arrow types go by their own name"
)]
pub(crate) fn type_name(of: &DataType) -> String {
    match of {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            of.to_string().to_lowercase()
        }
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
            of.to_string().to_lowercase()
        }
        DataType::Float32 | DataType::Float64 => of.to_string().to_lowercase(),
        DataType::Boolean => "boolean".into(),
        DataType::Null => "null".into(),
        DataType::Date32 | DataType::Date64 => "date".into(),
        DataType::Timestamp(unit, zone) => timestamp_name(*unit, zone.is_some()),
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => format!("list({})", type_name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) => {
                let parts: Vec<_> = pair.iter().map(|f| type_name(f.data_type())).collect();
                format!("map({})", parts.join(","))
            }
            _ => "map".into(),
        },
        DataType::Struct(members) => {
            let parts = members
                .iter()
                .map(|f| format!("{} {}", f.name(), type_name(f.data_type())));
            format!("struct({})", parts.collect::<Vec<_>>().join(","))
        }
        DataType::Dictionary(_, values) => type_name(values),
        other => other.to_string().to_lowercase(),
    }
}

fn timestamp_name(unit: TimeUnit, zoned: bool) -> String {
    let digits = match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    let zone = if zoned { " with time zone" } else { "" };
    format!("timestamp({digits}){zone}")
}

/// Overrides the forms of arrow-json that a reader could not read back exactly.
#[derive(Debug)]
struct ExactValues;

impl EncoderFactory for ExactValues {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other types keep arrow-json's form"
    )]
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Int64 => Box::new(Wide(array.as_primitive::<Int64Type>())),
            DataType::UInt64 => Box::new(Wide(array.as_primitive::<UInt64Type>())),
            DataType::Float32 => Box::new(Real(array.as_primitive::<Float32Type>())),
            DataType::Float64 => Box::new(Real(array.as_primitive::<Float64Type>())),
            DataType::Decimal32(_, _)
            | DataType::Decimal64(_, _)
            | DataType::Decimal128(_, _)
            | DataType::Decimal256(_, _) => {
                let plain = FormatOptions::new();
                Box::new(Quoted(ArrayFormatter::try_new(array, &plain)?))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// 64-bit integers: text where a double would round them.
struct Wide<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> Encoder for Wide<'_, T>
where
    T::Native: std::fmt::Display + TryInto<i64> + Copy,
{
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        let exact = value
            .try_into()
            .is_ok_and(|v| (-EXACT_MAX..=EXACT_MAX).contains(&v));
        let text = if exact {
            value.to_string()
        } else {
            format!("\"{value}\"")
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Doubles: text where JSON has no number.
struct Real<'a, T: ArrowPrimitiveType>(&'a PrimitiveArray<T>);

impl<T: ArrowPrimitiveType> Encoder for Real<'_, T>
where
    T::Native: Into<f64> + serde::Serialize + Copy,
{
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let native = self.0.value(row);
        let value: f64 = native.into();
        let text = if value.is_nan() {
            "\"NaN\"".to_owned()
        } else if value.is_infinite() {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("\"{sign}Infinity\"")
        } else {
            // Serialised in its own width: 0.1 as a 32-bit value is not 0.10000000149011612.
            serde_json::to_string(&native).unwrap_or_else(|_| "null".to_owned())
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Values whose plain form needs no escapes, between quotes.
struct Quoted<'a>(ArrayFormatter<'a>);

impl Encoder for Quoted<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // Writing to memory does not fail, and a decimal always has a form.
        let _ = write!(out, "\"{}\"", self.0.value(row));
    }
}
