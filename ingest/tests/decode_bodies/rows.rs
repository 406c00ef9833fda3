//! Rows read back from a batch, to compare and to look into.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, MapArray, RecordBatch, StructArray};
use weir_ingest::decode::attributes::{AnyValue, any_value};

pub(crate) type Attributes = Vec<(String, AnyValue)>;

/// A span as it was sent.
#[derive(Clone, Debug, Default)]
#[expect(dead_code, reason = "rows are compared as text")]
pub(crate) struct SpanRow {
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent_span_id: Option<String>,
    pub(crate) trace_state: Option<String>,
    pub(crate) flags: Option<i64>,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) start_nanos: Option<i64>,
    pub(crate) end_nanos: Option<i64>,
    pub(crate) status: (String, Option<String>),
    pub(crate) service_name: Option<String>,
    pub(crate) resource: (Attributes, Option<i64>, Option<String>),
    pub(crate) scope: (Attributes, Option<i64>, Option<String>),
    pub(crate) scope_name: (Option<String>, Option<String>),
    pub(crate) attributes: (Attributes, Option<i64>),
    pub(crate) events: Vec<EventRow>,
    pub(crate) dropped_events: Option<i64>,
    pub(crate) links: Vec<LinkRow>,
    pub(crate) dropped_links: Option<i64>,
}

#[derive(Clone, Debug, Default)]
#[expect(dead_code, reason = "rows are compared as text")]
pub(crate) struct EventRow {
    pub(crate) time: Option<i64>,
    pub(crate) name: String,
    pub(crate) attributes: (Attributes, Option<i64>),
}

#[derive(Clone, Debug, Default)]
#[expect(dead_code, reason = "rows are compared as text")]
pub(crate) struct LinkRow {
    pub(crate) trace_id: Option<String>,
    pub(crate) span_id: Option<String>,
    pub(crate) trace_state: Option<String>,
    pub(crate) attributes: (Attributes, Option<i64>),
    pub(crate) flags: Option<i64>,
}

/// What a column says in a row, as text.
pub(crate) fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(column).unwrap().as_string::<i32>();
    array.is_valid(row).then(|| array.value(row).to_owned())
}

pub(crate) fn int(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let array = batch
        .column_by_name(column)
        .unwrap()
        .as_primitive::<Int64Type>();
    array.is_valid(row).then(|| array.value(row))
}

pub(crate) fn micros(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let array = batch
        .column_by_name(column)
        .unwrap()
        .as_primitive::<TimestampMicrosecondType>();
    array.is_valid(row).then(|| array.value(row))
}

pub(crate) fn date(batch: &RecordBatch, row: usize) -> i32 {
    batch
        .column_by_name("part_date")
        .unwrap()
        .as_primitive::<Date32Type>()
        .value(row)
}

/// A list of texts; empty where NULL.
pub(crate) fn texts(batch: &RecordBatch, column: &str, row: usize) -> Vec<String> {
    let lists = batch.column_by_name(column).unwrap().as_list::<i32>();
    if lists.is_null(row) {
        return Vec::new();
    }
    let items = lists.value(row);
    assert!(
        !items.is_empty(),
        "{column}: NULL rather than an empty list"
    );
    items
        .as_string::<i32>()
        .iter()
        .map(|item| item.unwrap().to_owned())
        .collect()
}

fn map_entries(map: &MapArray, row: usize) -> Vec<(String, Option<String>)> {
    if map.is_null(row) {
        return Vec::new();
    }
    let entries = map.value(row);
    assert!(!entries.is_empty(), "NULL rather than an empty map");
    let keys = entries.column(0).as_string::<i32>();
    let values = entries.column(1).as_string::<i32>();
    keys.iter()
        .zip(values.iter())
        .map(|(key, value)| (key.unwrap().to_owned(), value.map(str::to_owned)))
        .collect()
}

fn read_attributes(values: &MapArray, types: &MapArray, row: usize) -> Attributes {
    let mut types: Vec<_> = map_entries(types, row);
    let entries = map_entries(values, row).into_iter().map(|(key, value)| {
        let place = types.iter().position(|(name, _)| *name == key);
        let kind = place.map(|place| types.remove(place).1.unwrap());
        let read = any_value(value.as_deref(), kind.as_deref()).unwrap();
        (key, read)
    });
    let entries = entries.collect();
    assert!(types.is_empty(), "a type without a value");
    entries
}

pub(crate) fn attributes(batch: &RecordBatch, prefix: &str, row: usize) -> Attributes {
    let column = |suffix: &str| {
        batch
            .column_by_name(&format!("{prefix}attribute{suffix}"))
            .unwrap()
            .as_map()
    };
    read_attributes(column("s"), column("_types"), row)
}

fn member_text(items: &StructArray, member: &str, row: usize) -> Option<String> {
    let array = items.column_by_name(member).unwrap().as_string::<i32>();
    array.is_valid(row).then(|| array.value(row).to_owned())
}

fn member_int(items: &StructArray, member: &str, row: usize) -> Option<i64> {
    let array = items
        .column_by_name(member)
        .unwrap()
        .as_primitive::<Int64Type>();
    array.is_valid(row).then(|| array.value(row))
}

fn member_attributes(items: &StructArray, row: usize) -> (Attributes, Option<i64>) {
    let values = items.column_by_name("attributes").unwrap().as_map();
    let types = items.column_by_name("attribute_types").unwrap().as_map();
    let dropped = member_int(items, "dropped_attributes_count", row);
    (read_attributes(values, types, row), dropped)
}

fn events(batch: &RecordBatch, row: usize) -> Vec<EventRow> {
    let lists = batch.column_by_name("events").unwrap().as_list::<i32>();
    if lists.is_null(row) {
        return Vec::new();
    }
    let items = lists.value(row);
    let items = items.as_struct();
    (0..items.len())
        .map(|item| EventRow {
            time: member_int(items, "time_unix_nano", item),
            name: member_text(items, "name", item).unwrap(),
            attributes: member_attributes(items, item),
        })
        .collect()
}

fn links(batch: &RecordBatch, row: usize) -> Vec<LinkRow> {
    let lists = batch.column_by_name("links").unwrap().as_list::<i32>();
    if lists.is_null(row) {
        return Vec::new();
    }
    let items = lists.value(row);
    let items = items.as_struct();
    (0..items.len())
        .map(|item| LinkRow {
            trace_id: member_text(items, "trace_id", item),
            span_id: member_text(items, "span_id", item),
            trace_state: member_text(items, "trace_state", item),
            attributes: member_attributes(items, item),
            flags: member_int(items, "flags", item),
        })
        .collect()
}

/// All spans of a batch.
pub(crate) fn spans(batch: &RecordBatch) -> Vec<SpanRow> {
    (0..batch.num_rows())
        .map(|row| {
            let text = |column| text(batch, column, row);
            let int = |column| int(batch, column, row);
            SpanRow {
                trace_id: text("trace_id").unwrap(),
                span_id: text("span_id").unwrap(),
                parent_span_id: text("parent_span_id"),
                trace_state: text("trace_state"),
                flags: int("flags"),
                name: text("name").unwrap(),
                kind: text("kind").unwrap(),
                start_nanos: int("start_time_unix_nano"),
                end_nanos: int("end_time_unix_nano"),
                status: (text("status_code").unwrap(), text("status_message")),
                service_name: text("service_name"),
                resource: (
                    attributes(batch, "resource_", row),
                    int("resource_dropped_attributes_count"),
                    text("resource_schema_url"),
                ),
                scope: (
                    attributes(batch, "scope_", row),
                    int("scope_dropped_attributes_count"),
                    text("scope_schema_url"),
                ),
                scope_name: (text("scope_name"), text("scope_version")),
                attributes: (attributes(batch, "", row), int("dropped_attributes_count")),
                events: events(batch, row),
                dropped_events: int("dropped_events_count"),
                links: links(batch, row),
                dropped_links: int("dropped_links_count"),
            }
        })
        .collect()
}
