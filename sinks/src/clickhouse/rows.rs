//! Rows as they go over the wire: ArrowStream without copies of what is large.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, ListArray, RecordBatch, StructArray, UInt8Array};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use bytes::Bytes;
use weir_model::schema::{ColumnType, attributes};
use weir_model::{Dataset, schema};

use super::types::{NULLS, has_nulls, loses_null};

/// Buffers below this are put together: each piece costs the client a message and a chunk.
const SMALL: usize = 16 * 1024;
/// How large they get together.
const TOGETHER: usize = 128 * 1024;

static SCHEMAS: LazyLock<Vec<SchemaRef>> =
    LazyLock::new(|| Dataset::ALL.into_iter().map(schema_of).collect());

/// What is sent of a dataset: its columns, and which of their NULLs ClickHouse cannot store.
pub(super) fn wire_schema(dataset: Dataset) -> SchemaRef {
    let at = Dataset::ALL.iter().position(|d| *d == dataset);
    let known = at.and_then(|at| SCHEMAS.get(at)).cloned();
    known.unwrap_or_else(|| schema_of(dataset))
}

fn schema_of(dataset: Dataset) -> SchemaRef {
    let columns = dataset.columns().iter();
    let mut fields: Vec<FieldRef> = columns
        .map(|column| match column.kind {
            ColumnType::SpanEvents => list_field(column.name, &schema::event_fields()),
            ColumnType::SpanLinks => list_field(column.name, &schema::link_fields()),
            ColumnType::Text
            | ColumnType::Texts
            | ColumnType::Int32
            | ColumnType::Int64
            | ColumnType::Float64
            | ColumnType::Bool
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::Money
            | ColumnType::MoneySum
            | ColumnType::Ints
            | ColumnType::Attributes => column.field(),
        })
        .collect();
    if has_nulls(dataset) {
        fields.push(Arc::new(Field::new(NULLS, DataType::Int64, false)));
    }
    Arc::new(Schema::new(fields))
}

fn list_field(name: &str, members: &Fields) -> FieldRef {
    let element = element_field(members);
    Arc::new(Field::new(name, DataType::List(element), true))
}

fn element_field(members: &Fields) -> FieldRef {
    let mask: FieldRef = Arc::new(Field::new(NULLS, DataType::UInt8, false));
    let members = Fields::from_iter(members.iter().cloned().chain([mask]));
    Arc::new(Field::new("element", DataType::Struct(members), true))
}

/// Which rows of `columns` are NULL, a bit for each column in their order.
fn mask(rows: usize, columns: impl Iterator<Item = Option<NullBuffer>>) -> Vec<i64> {
    let mut masks = vec![0_i64; rows];
    for (bit, nulls) in columns.enumerate() {
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
            continue;
        };
        let bit = 1_i64 << bit.min(62);
        if nulls.null_count() == nulls.len() {
            masks.iter_mut().for_each(|mask| *mask |= bit);
            continue;
        }
        for (mask, valid) in masks.iter_mut().zip(nulls.iter()) {
            *mask |= bit * i64::from(!valid);
        }
    }
    masks
}

/// `rows` of the sealed schema as they are sent.
///
/// # Errors
///
/// Where they are not of the dataset's schema.
pub(super) fn wire(dataset: Dataset, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let all = dataset.columns().iter().zip(rows.columns());
    let mut columns = Vec::with_capacity(rows.num_columns() + 1);
    for (column, array) in all.clone() {
        columns.push(match column.kind {
            ColumnType::SpanEvents | ColumnType::SpanLinks => masked(array)?,
            ColumnType::Text
            | ColumnType::Texts
            | ColumnType::Int32
            | ColumnType::Int64
            | ColumnType::Float64
            | ColumnType::Bool
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::Money
            | ColumnType::MoneySum
            | ColumnType::Ints
            | ColumnType::Attributes => Arc::clone(array),
        });
    }
    if has_nulls(dataset) {
        let nested = all.filter(|(column, _)| loses_null(column));
        let masks = mask(
            rows.num_rows(),
            nested.map(|(_, array)| array.logical_nulls()),
        );
        columns.push(Arc::new(Int64Array::from(masks)));
    }
    RecordBatch::try_new(wire_schema(dataset), columns)
}

/// A list of structs with a mask of their NULL maps as one more member.
fn masked(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let unfit = || ArrowError::SchemaError("no list of structs".to_owned());
    let list = array.as_list_opt::<i32>().ok_or_else(unfit)?;
    let structs = list.values().as_struct_opt().ok_or_else(unfit)?;
    let maps = structs.columns().iter().zip(structs.fields());
    let maps = maps.filter(|(_, field)| *field.data_type() == attributes());
    let masks = mask(structs.len(), maps.map(|(map, _)| map.logical_nulls()));
    let masks = masks
        .into_iter()
        .map(|m| u8::try_from(m).unwrap_or(u8::MAX));
    let element = element_field(structs.fields());
    let DataType::Struct(members) = element.data_type().clone() else {
        return Err(unfit());
    };
    let mut columns = structs.columns().to_vec();
    columns.push(Arc::new(UInt8Array::from_iter_values(masks)));
    let structs = StructArray::try_new(members, columns, structs.nulls().cloned())?;
    let list = ListArray::try_new(
        element,
        list.offsets().clone(),
        Arc::new(structs),
        list.nulls().cloned(),
    )?;
    Ok(Arc::new(list))
}

/// An Arrow buffer as the client takes it.
struct Owner(Buffer);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// One ArrowStream with one record batch, in pieces that share the batch's memory.
///
/// # Errors
///
/// Where Arrow cannot write a type, which the schemas do not have.
pub(super) fn body(rows: &RecordBatch) -> Result<Vec<Bytes>, ArrowError> {
    let mut encoder = StreamEncoder::try_new(rows.schema_ref())?;
    let mut buffers = encoder.encode(rows)?;
    buffers.extend(encoder.finish()?);
    let (mut pieces, mut small) = (Vec::new(), Vec::new());
    for buffer in buffers {
        if buffer.len() < SMALL {
            small.extend_from_slice(buffer.as_slice());
            if small.len() < TOGETHER {
                continue;
            }
        }
        if !small.is_empty() {
            pieces.push(Bytes::from(std::mem::take(&mut small)));
        }
        if buffer.len() >= SMALL {
            pieces.push(Bytes::from_owner(Owner(buffer)));
        }
    }
    if !small.is_empty() {
        pieces.push(Bytes::from(small));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use arrow_ipc::reader::StreamReader;
    use weir_model::NodeId;

    use super::*;
    use crate::contract::sample_batch;

    #[test]
    fn a_body_is_one_stream_of_the_rows() {
        for dataset in Dataset::ALL {
            let batch = sample_batch(dataset, &NodeId::from_bits(7), 3);
            for rows in [batch.rows().clone(), batch.rows().slice(13, 21)] {
                let wire = wire(dataset, &rows).unwrap();
                let bytes: Vec<u8> = body(&wire).unwrap().concat();
                let read: Vec<_> = StreamReader::try_new(bytes.as_slice(), None)
                    .unwrap()
                    .map(Result::unwrap)
                    .collect();
                assert_eq!(read.len(), 1, "one record batch is one block");
                assert_eq!(read[0], wire, "{dataset}");
            }
        }
    }

    #[test]
    fn large_columns_are_not_copied() {
        let numbers = Int64Array::from_iter_values(0..100_000);
        let at = numbers.values().inner().as_ptr();
        let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        let rows = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(numbers)]).unwrap();
        let pieces = body(&rows).unwrap();
        assert!(pieces.iter().any(|piece| piece.as_ptr() == at));
    }
}
