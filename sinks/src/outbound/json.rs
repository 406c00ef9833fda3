//! Rows as JSON objects, one text each.
//!
//! NULL members are left out, but for entries of maps, where a name without a value is not a name that is
//! missing. Every value can be read back exactly: decimals are text, and so are integers beyond 2^53
//! on either side, which a reader's doubles would round; times are RFC 3339.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Decimal128Array, MapArray, PrimitiveArray, RecordBatch};
use arrow_json::LineDelimitedWriter;
use arrow_json::WriterBuilder;
use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, LineDelimited, NullableEncoder};
use arrow_schema::{ArrowError, FieldRef};

/// The largest integer that a double holds exactly together with all below it.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// `rows` as one JSON object a line: NULL members left out, money and large numbers as text.
///
/// # Errors
///
/// Where a column has no JSON form; no dataset has such a one.
pub fn lines(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let builder = WriterBuilder::new().with_encoder_factory(Arc::new(Exact));
    let mut writer: LineDelimitedWriter<Vec<u8>> = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// Encoders of the types that JSON's numbers would round.
#[derive(Debug)]
struct Exact;

impl EncoderFactory for Exact {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let money = array.as_any().downcast_ref::<Decimal128Array>();
        let whole = array.as_primitive_opt::<Int64Type>();
        let texts = array.as_map_opt().filter(|map| {
            let entries = map.entries().columns();
            entries.iter().all(|c| c.as_string_opt::<i32>().is_some())
        });
        let encoder: Box<dyn Encoder + 'a> = match (money, whole, texts) {
            (Some(money), _, _) => Box::new(Money(money)),
            (None, Some(whole), _) => Box::new(Whole(whole)),
            (None, None, Some(texts)) => Box::new(Texts(texts)),
            (None, None, None) => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

struct Money<'a>(&'a Decimal128Array);

impl Encoder for Money<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(self.0.value_as_string(row).as_bytes());
        out.push(b'"');
    }
}

struct Whole<'a>(&'a PrimitiveArray<Int64Type>);

impl Encoder for Whole<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let value = self.0.value(row);
        let text = if value.unsigned_abs() <= EXACT_MAX {
            value.to_string()
        } else {
            format!("\"{value}\"")
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// Names and texts, each of which may be NULL.
struct Texts<'a>(&'a MapArray);

impl Encoder for Texts<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let entries = self.0.value(row);
        let [names, texts] = [0, 1].map(|at| entries.column(at).as_string::<i32>());
        out.push(b'{');
        for (at, (name, text)) in names.iter().zip(texts).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *out, name.unwrap_or_default());
            out.push(b':');
            let _ = serde_json::to_writer(&mut *out, &text);
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::{Dataset, NodeId};

    #[test]
    fn every_dataset_has_a_form_and_one_line_a_row() {
        for dataset in Dataset::ALL {
            let batch = crate::contract::sample_batch(dataset, &NodeId::from_bits(7), 1);
            let text = String::from_utf8(lines(batch.rows()).unwrap()).unwrap();
            let rows: Vec<serde_json::Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(rows.len(), batch.rows().num_rows(), "{dataset}");
            for (at, row) in rows.iter().enumerate() {
                assert_eq!(row["_row"].as_u64(), Some(at as u64), "{dataset}");
                assert!(
                    row["received_at"].as_str().unwrap().ends_with('Z'),
                    "{dataset}"
                );
            }
        }
    }

    /// The sample rows have names without a value, odd characters and empty maps.
    #[test]
    fn maps_keep_every_name_with_or_without_a_value() {
        let batch = crate::contract::sample_batch(Dataset::Spans, &NodeId::from_bits(7), 1);
        let text = String::from_utf8(lines(batch.rows()).unwrap()).unwrap();
        let map = batch.rows()["attributes"].as_map();
        let mut unset = 0;
        for (at, line) in text.lines().enumerate() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let wanted: Option<serde_json::Value> = map.is_valid(at).then(|| {
                let entries = map.value(at);
                let names = entries.column(0).as_string::<i32>().iter();
                let texts = entries.column(1).as_string::<i32>().iter();
                unset += entries.column(1).null_count();
                names
                    .map(|n| n.unwrap().to_owned())
                    .zip(texts.map(serde_json::Value::from))
                    .collect()
            });
            assert_eq!(row.get("attributes"), wanted.as_ref(), "row {at}");
        }
        assert!(unset > 0, "the sample has no name without a value");
    }

    #[test]
    fn money_and_large_numbers_are_text() {
        let batch = crate::contract::sample_batch(Dataset::Spans, &NodeId::from_bits(7), 1);
        let text = String::from_utf8(lines(batch.rows()).unwrap()).unwrap();
        assert!(text.contains("\"cost_usd\":\"0.000000000001\""), "{text}");
        assert!(text.contains("\"9223372036854775807\""));
        assert!(text.contains(":9007199254740991") || text.contains(":42"));
    }
}
