//! Answers as CSV, Arrow IPC stream and Parquet.

use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_csv::WriterBuilder;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{FormatError, json};
use crate::Answer;

/// Writes `answer` as CSV with a header line: RFC 4180 quotes, `\n` at line ends, NULL as nothing,
/// times as RFC 3339, decimals with all digits; lists, maps and structs as JSON text.
///
/// # Errors
///
/// Where a column has a type without a text form, or where `out` fails; a part may be written.
pub fn write_csv<W: Write>(answer: &Answer, out: W) -> Result<(), FormatError> {
    let flat = flat_schema(&answer.schema);
    let mut writer = WriterBuilder::new().with_header(true).build(out);
    if answer.batches.is_empty() {
        writer.write(&RecordBatch::new_empty(Arc::clone(&flat)))?;
    }
    for batch in &answer.batches {
        writer.write(&flatten(batch, &flat)?)?;
    }
    writer.into_inner().flush()?;
    Ok(())
}

/// Writes `answer` as an Arrow IPC stream, uncompressed, which every Arrow reader takes.
///
/// # Errors
///
/// Where `out` fails; a part may be written.
pub fn write_arrow_stream<W: Write>(answer: &Answer, out: W) -> Result<(), FormatError> {
    let mut writer = StreamWriter::try_new(out, &answer.schema)?;
    for batch in &answer.batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    writer.into_inner()?.flush()?;
    Ok(())
}

/// Writes `answer` as one Parquet file, zstd level 1.
///
/// # Errors
///
/// Where a column has a type that Parquet lacks (intervals), or where `out` fails; a part may be
/// written.
pub fn write_parquet<W: Write + Send>(answer: &Answer, out: W) -> Result<(), FormatError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let mut writer = ArrowWriter::try_new(out, Arc::clone(&answer.schema), Some(properties))?;
    for batch in &answer.batches {
        writer.write(batch)?;
    }
    writer.into_inner()?.flush()?;
    Ok(())
}

/// The same columns with text in the place of what CSV has no form for.
fn flat_schema(schema: &Schema) -> SchemaRef {
    let flat = |field: &FieldRef| {
        if field.data_type().is_nested() {
            Arc::new(Field::new(field.name(), DataType::Utf8, true))
        } else {
            Arc::clone(field)
        }
    };
    let fields: Fields = schema.fields().iter().map(flat).collect();
    Arc::new(Schema::new(fields))
}

fn flatten(batch: &RecordBatch, flat: &SchemaRef) -> Result<RecordBatch, FormatError> {
    let schema = batch.schema();
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let column: ArrayRef = if field.data_type().is_nested() {
            Arc::new(StringArray::from(json::texts(field, column.as_ref())?))
        } else {
            Arc::clone(column)
        };
        columns.push(column);
    }
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(flat),
        columns,
        &arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
    )?)
}
