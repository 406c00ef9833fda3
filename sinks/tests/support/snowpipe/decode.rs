//! What a reader finds, as Arrow again.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    ListArray, MapArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, FieldRef, Fields};
use serde_json::{Map, Value};
use weir_model::Dataset;

/// The rows in the dataset's sealed schema.
pub(crate) fn batch(dataset: Dataset, rows: &[Arc<Map<String, Value>>]) -> RecordBatch {
    let schema = dataset.schema();
    let columns = schema.fields().iter().map(|field| {
        let name = field.name().to_uppercase();
        let values: Vec<Option<&Value>> = rows.iter().map(|row| row.get(&name)).collect();
        array(field.data_type(), &values)
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap()
}

/// The names of rows alone: what counting them needs.
pub(crate) fn names(rows: &[Arc<Map<String, Value>>]) -> RecordBatch {
    let column = |name: &str, kind: DataType| {
        let upper = name.to_uppercase();
        let values: Vec<Option<&Value>> = rows.iter().map(|row| row.get(&upper)).collect();
        (name.to_owned(), array(&kind, &values))
    };
    let columns = [
        column("_node", DataType::Utf8),
        column("_batch", DataType::Int64),
        column("_row", DataType::Int32),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// The column of JSON texts as what they say.
pub(crate) fn parsed(field: &FieldRef, texts: &StringArray) -> ArrayRef {
    let values: Vec<Option<Value>> = texts
        .iter()
        .map(|text| text.map(|text| serde_json::from_str(text).unwrap()))
        .collect();
    let values: Vec<Option<&Value>> = values.iter().map(Option::as_ref).collect();
    array(field.data_type(), &values)
}

fn whole<T: std::str::FromStr>(value: &Value) -> T
where
    T::Err: std::fmt::Debug,
{
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string()).parse().unwrap()
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "Arrow has many types, and the datasets few"
)]
fn array(kind: &DataType, values: &[Option<&Value>]) -> ArrayRef {
    let some = || values.iter().map(|v| v.filter(|v| !v.is_null()));
    match kind {
        DataType::Utf8 => Arc::new(
            some()
                .map(|v| v.map(|v| v.as_str().unwrap()))
                .collect::<StringArray>(),
        ),
        DataType::Int32 => Arc::new(some().map(|v| v.map(whole::<i32>)).collect::<Int32Array>()),
        DataType::Int64 => Arc::new(some().map(|v| v.map(whole::<i64>)).collect::<Int64Array>()),
        DataType::Float64 => {
            let values = some().map(|v| v.map(|v| v.as_f64().unwrap()));
            Arc::new(values.collect::<Float64Array>())
        }
        DataType::Boolean => {
            let values = some().map(|v| v.map(|v| v.as_bool().unwrap()));
            Arc::new(values.collect::<BooleanArray>())
        }
        DataType::Date32 => Arc::new(some().map(|v| v.map(day)).collect::<Date32Array>()),
        DataType::Timestamp(_, zone) => {
            let times = some().map(|v| v.map(whole::<i64>));
            let times: TimestampMicrosecondArray = times.collect();
            Arc::new(times.with_timezone_opt(zone.clone()))
        }
        DataType::Decimal128(precision, scale) => {
            let units: Decimal128Array = some().map(|v| v.map(whole::<i128>)).collect();
            let units = units.with_precision_and_scale(*precision, *scale).unwrap();
            Arc::new(units)
        }
        DataType::List(item) => list(item, &some().collect::<Vec<_>>()),
        DataType::Map(entries, _) => map(entries, &some().collect::<Vec<_>>()),
        DataType::Struct(fields) => structs(fields, &some().collect::<Vec<_>>()),
        other => panic!("no column has {other}"),
    }
}

fn day(value: &Value) -> i32 {
    let text = value.as_str().unwrap();
    let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap();
    let since = day - chrono::NaiveDate::default();
    i32::try_from(since.num_days()).unwrap()
}

fn nulls(values: &[Option<&Value>]) -> Option<NullBuffer> {
    let valid: NullBuffer = values.iter().map(Option::is_some).collect();
    (valid.null_count() > 0).then_some(valid)
}

fn list(item: &FieldRef, values: &[Option<&Value>]) -> ArrayRef {
    let items = values
        .iter()
        .map(|v| v.map_or(&[][..], |v| v.as_array().unwrap()));
    let offsets = OffsetBuffer::from_lengths(items.clone().map(<[Value]>::len));
    let all: Vec<Option<&Value>> = items.flatten().map(Some).collect();
    let all = array(item.data_type(), &all);
    Arc::new(ListArray::new(
        Arc::clone(item),
        offsets,
        all,
        nulls(values),
    ))
}

fn map(entries: &FieldRef, values: &[Option<&Value>]) -> ArrayRef {
    let DataType::Struct(fields) = entries.data_type() else {
        panic!("a map has entries");
    };
    let members = values.iter().map(|v| v.map(|v| v.as_object().unwrap()));
    let offsets = OffsetBuffer::from_lengths(members.clone().map(|m| m.map_or(0, Map::len)));
    let all: Vec<(&String, &Value)> = members.flatten().flatten().collect();
    let keys = StringArray::from_iter_values(all.iter().map(|(key, _)| key));
    let texts: Vec<Option<&Value>> = all.iter().map(|(_, value)| Some(*value)).collect();
    let columns: Vec<ArrayRef> = vec![Arc::new(keys), array(&DataType::Utf8, &texts)];
    let entry = StructArray::new(fields.clone(), columns, None);
    Arc::new(MapArray::new(
        Arc::clone(entries),
        offsets,
        entry,
        nulls(values),
        false,
    ))
}

fn structs(fields: &Fields, values: &[Option<&Value>]) -> ArrayRef {
    let columns = fields.iter().map(|field| {
        let members = values.iter().map(|v| v.and_then(|v| v.get(field.name())));
        array(field.data_type(), &members.collect::<Vec<_>>())
    });
    Arc::new(StructArray::new(
        fields.clone(),
        columns.collect(),
        nulls(values),
    ))
}
