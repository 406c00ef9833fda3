//! What a reader of the tables makes of them: rows of the sealed schema, NULLs and all.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type};
use arrow_array::{Array, ArrayRef, ListArray, MapArray, RecordBatch, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Fields};
use weir_model::Dataset;
use weir_model::schema::{Column, ColumnType};

/// The rows in the dataset's schema.
pub(crate) fn sealed(dataset: Dataset, rows: &RecordBatch) -> RecordBatch {
    let masks = rows.column_by_name("_nulls");
    let masks = masks.map(|m| m.as_primitive::<Int64Type>().values().to_vec());
    let mut bit = 0;
    let columns = dataset.columns().iter().map(|column| {
        let array = rows.column_by_name(column.name).expect(column.name);
        let nulls = loses_null(column).then(|| {
            let masks = masks.as_ref().expect("a mask");
            let this = 1 << bit;
            bit += 1;
            NullBuffer::from_iter(masks.iter().map(|mask| mask & this == 0))
        });
        refit(array, &column.kind.arrow(), nulls)
    });
    let columns: Vec<ArrayRef> = columns.collect();
    RecordBatch::try_new(dataset.schema(), columns).expect("the sealed schema")
}

fn loses_null(column: &Column) -> bool {
    let nested = [
        ColumnType::Texts,
        ColumnType::Ints,
        ColumnType::Attributes,
        ColumnType::SpanEvents,
        ColumnType::SpanLinks,
    ];
    column.nullable && nested.contains(&column.kind)
}

/// The same values under the names of `wanted`; `nulls` are those of maps and lists.
fn refit(array: &ArrayRef, wanted: &DataType, nulls: Option<NullBuffer>) -> ArrayRef {
    if let DataType::List(element) = wanted {
        let list = array.as_list::<i32>();
        let values = refit(list.values(), element.data_type(), None);
        let list = ListArray::try_new(Arc::clone(element), list.offsets().clone(), values, nulls);
        Arc::new(list.unwrap())
    } else if let DataType::Map(entry, sorted) = wanted {
        let map = array.as_map();
        let DataType::Struct(fields) = entry.data_type() else {
            panic!("a map of structs");
        };
        let columns = vec![Arc::clone(map.keys()), Arc::clone(map.values())];
        let entries = StructArray::try_new(fields.clone(), columns, None).unwrap();
        let offsets = map.offsets().clone();
        let map = MapArray::try_new(Arc::clone(entry), offsets, entries, nulls, *sorted);
        Arc::new(map.unwrap())
    } else if let DataType::Struct(fields) = wanted {
        Arc::new(members(array.as_struct(), fields))
    } else {
        assert_eq!(array.data_type(), wanted);
        Arc::clone(array)
    }
}

fn members(array: &StructArray, fields: &Fields) -> StructArray {
    let masks = array.column_by_name("_nulls").expect("a mask");
    let masks = masks.as_primitive::<UInt8Type>().values();
    let mut bit = 0;
    let columns = fields.iter().map(|field| {
        let member = array.column_by_name(field.name()).expect("a member");
        let nulls = matches!(field.data_type(), DataType::Map(_, _)).then(|| {
            let this = 1 << bit;
            bit += 1;
            NullBuffer::from_iter(masks.iter().map(|mask| mask & this == 0))
        });
        refit(member, field.data_type(), nulls)
    });
    let columns: Vec<ArrayRef> = columns.collect();
    StructArray::try_new(fields.clone(), columns, None).unwrap()
}
