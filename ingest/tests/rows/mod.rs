//! Rows by number, so that each can be told wherever it turns up.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, new_null_array,
};
use arrow_schema::{DataType, Field};
use weir_ingest::log::{Entry, Route};
use weir_model::{Dataset, TenantId};

/// The column that carries the number, and one for a payload.
fn number_column(dataset: Dataset) -> &'static str {
    match dataset {
        Dataset::Spans => "start_time_unix_nano",
        Dataset::ProxyAudit
        | Dataset::OcsfEvents
        | Dataset::CostLedger
        | Dataset::CostHourly
        | Dataset::CostDaily
        | Dataset::TelemetryEvents
        | Dataset::LogEvents => "event_time_unix_nano",
        Dataset::RejectedEvents => "item_index",
    }
}

fn column(dataset: Dataset, field: &Field, numbers: &[i64]) -> ArrayRef {
    let rows = numbers.len();
    if field.name() == number_column(dataset) {
        return Arc::new(Int64Array::from(numbers.to_vec()));
    }
    if field.name() == "payload" || field.name() == "trace_id" {
        let text = numbers
            .iter()
            .map(|n| format!("{n:032x}{}", "x".repeat((n % 61) as usize)));
        return Arc::new(StringArray::from_iter_values(text));
    }
    if field.is_nullable() {
        return new_null_array(field.data_type(), rows);
    }
    let kind = field.data_type();
    if matches!(kind, DataType::Timestamp(..)) {
        let times = TimestampMicrosecondArray::from(vec![7; rows]);
        return Arc::new(times.with_timezone("UTC"));
    }
    if *kind == DataType::Date32 {
        return Arc::new(Date32Array::from(vec![20_000; rows]));
    }
    if *kind == DataType::Boolean {
        return Arc::new(BooleanArray::from(vec![true; rows]));
    }
    assert_eq!(*kind, DataType::Utf8, "no value for {}", field.name());
    Arc::new(StringArray::from(vec!["a"; rows]))
}

/// Rows with these numbers.
pub(crate) fn rows(dataset: Dataset, numbers: &[i64]) -> RecordBatch {
    let schema = dataset.accepted_schema();
    let columns = schema
        .fields()
        .iter()
        .map(|f| column(dataset, f, numbers))
        .collect();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// The numbers of rows.
pub(crate) fn numbers(dataset: Dataset, rows: &RecordBatch) -> Vec<i64> {
    let column = rows.column_by_name(number_column(dataset)).unwrap();
    assert_eq!(column.null_count(), 0);
    column.as_primitive::<Int64Type>().values().to_vec()
}

/// A request with such rows.
pub(crate) fn entry(rows: Vec<(Dataset, RecordBatch)>) -> Entry {
    Entry {
        tenant: TenantId::local(),
        route: Route::Ocsf,
        digest: Some([3; 16]),
        idempotency_key: Some("key".to_owned()),
        answer: b"{\"ok\":true}".to_vec(),
        rows,
    }
}
