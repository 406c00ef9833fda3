//! A table of any dataset, filled by column name: for records whose members lie anywhere.
//!
//! Audit and security events are thousands a second where spans are millions, so that a look-up
//! a cell costs nothing that matters, and keeps the mapping readable.

use std::collections::HashMap;

use arrow_array::{ArrayRef, RecordBatch};
use serde_json::Value;
use weir_model::Dataset;
use weir_model::schema::ColumnType;

use super::columns::{Numbers, Text, TextLists, Truths, assemble};
use super::{Acceptance, DecodeError};

/// A growing table.
#[derive(Debug)]
pub(super) struct Table {
    dataset: Dataset,
    places: HashMap<&'static str, usize>,
    columns: Vec<TableColumn>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
struct TableColumn {
    name: &'static str,
    /// How many rows it has: one more than the table once the open row is set here.
    filled: usize,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    Text(Text),
    Texts(TextLists),
    Int32(Numbers<i32>),
    Int64(Numbers<i64>),
    Float64(Numbers<f64>),
    Bool(Truths),
    Date(Numbers<i32>),
    Time(Numbers<i64>),
    Money(Numbers<i128>),
    /// A kind that such records do not have.
    Unused,
}

impl Cells {
    fn new(kind: ColumnType) -> Self {
        match kind {
            ColumnType::Text => Self::Text(Text::new(0, 0)),
            ColumnType::Texts => Self::Texts(TextLists::new(0)),
            ColumnType::Int32 => Self::Int32(Numbers::new(0)),
            ColumnType::Int64 => Self::Int64(Numbers::new(0)),
            ColumnType::Float64 => Self::Float64(Numbers::new(0)),
            ColumnType::Bool => Self::Bool(Truths::new(0)),
            ColumnType::Date => Self::Date(Numbers::new(0)),
            ColumnType::Time => Self::Time(Numbers::new(0)),
            ColumnType::Money => Self::Money(Numbers::new(0)),
            // Sums are derived from what is in the lake, never decoded.
            ColumnType::Attributes
            | ColumnType::SpanEvents
            | ColumnType::SpanLinks
            | ColumnType::MoneySum
            | ColumnType::Ints => Self::Unused,
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Text(column) => column.push_null(),
            Self::Texts(column) => column.end_row(),
            Self::Int32(column) | Self::Date(column) => column.push_opt(None),
            Self::Int64(column) | Self::Time(column) => column.push_opt(None),
            Self::Float64(column) => column.push_opt(None),
            Self::Bool(column) => column.push_opt(None),
            Self::Money(column) => column.push_opt(None),
            Self::Unused => {}
        }
    }

    fn finish(self) -> Result<Option<ArrayRef>, DecodeError> {
        Ok(Some(match self {
            Self::Text(column) => column.finish()?,
            Self::Texts(column) => column.finish()?,
            Self::Int32(column) => column.finish_int32(),
            Self::Int64(column) => column.finish(),
            Self::Float64(column) => column.finish_doubles(),
            Self::Bool(column) => column.finish(),
            Self::Date(column) => column.finish_dates(),
            Self::Time(column) => column.finish_times(),
            Self::Money(column) => column.finish_money()?,
            Self::Unused => return Ok(None),
        }))
    }
}

/// What a cell is set to.
#[derive(Clone, Debug)]
pub(super) enum Cell<'a> {
    Text(&'a str),
    Texts(Vec<String>),
    Int32(i32),
    Int64(i64),
    Float64(f64),
    Bool(bool),
    Date(i32),
    /// Microseconds since the epoch.
    Time(i64),
    /// US dollars in units of the schema's scale.
    Money(i128),
}

impl Table {
    /// An empty table of `dataset`.
    pub(super) fn new(dataset: Dataset) -> Self {
        let kept = dataset.accepted_schema().fields().len();
        let columns: Vec<TableColumn> = dataset
            .columns()
            .iter()
            .take(kept)
            .map(|column| TableColumn {
                name: column.name,
                filled: 0,
                cells: Cells::new(column.kind),
            })
            .collect();
        let places = columns
            .iter()
            .enumerate()
            .map(|(i, c)| (c.name, i))
            .collect();
        Self {
            dataset,
            places,
            columns,
            rows: 0,
            bytes: 0,
        }
    }

    /// The bytes of all texts so far.
    pub(super) fn byte_len(&self) -> usize {
        self.bytes
    }

    /// Sets a cell of the open row, once; a cell of another kind than its column's stays NULL.
    pub(super) fn set(&mut self, name: &'static str, cell: Cell<'_>) {
        let place = self.places.get(name);
        debug_assert!(place.is_some(), "{name} is no column of {}", self.dataset);
        let Some(column) = place.and_then(|place| self.columns.get_mut(*place)) else {
            return;
        };
        if column.filled > self.rows {
            return;
        }
        column.filled += 1;
        match (&mut column.cells, cell) {
            (Cells::Text(column), Cell::Text(text)) => {
                self.bytes += text.len();
                column.push(text.as_bytes());
            }
            (Cells::Texts(column), Cell::Texts(texts)) => {
                for text in texts {
                    self.bytes += text.len();
                    column.items().push(text.as_bytes());
                }
                column.end_row();
            }
            (Cells::Int32(column), Cell::Int32(value))
            | (Cells::Date(column), Cell::Date(value)) => column.push(value),
            (Cells::Int64(column), Cell::Int64(value))
            | (Cells::Time(column), Cell::Time(value)) => column.push(value),
            (Cells::Float64(column), Cell::Float64(value)) => column.push(value),
            (Cells::Bool(column), Cell::Bool(value)) => column.push_opt(Some(value)),
            (Cells::Money(column), Cell::Money(value)) => column.push(value),
            (cells, cell) => {
                debug_assert!(false, "{name} does not hold {cell:?}");
                cells.push_null();
            }
        }
    }

    /// Sets a text that may be missing.
    pub(super) fn text(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.set(name, Cell::Text(text));
        }
    }

    /// Sets a text from a JSON value: text as it is, numbers and truth values as written. Empty
    /// text, like a missing value, says nothing.
    pub(super) fn json(&mut self, name: &'static str, value: Option<&Value>) {
        if let Some(text) = value.and_then(as_text) {
            self.set(name, Cell::Text(&text));
        }
    }

    /// Sets an integer from a JSON number, or from its digits.
    pub(super) fn integer(&mut self, name: &'static str, value: Option<&Value>) {
        if let Some(value) = value.and_then(as_integer) {
            self.set(name, Cell::Int64(value));
        }
    }

    /// Sets a list of texts that may be missing.
    pub(super) fn texts(&mut self, name: &'static str, value: Option<&Value>) {
        let texts: Vec<String> = match value {
            Some(Value::Array(items)) => items.iter().filter_map(as_text).collect(),
            Some(one) => as_text(one).into_iter().collect(),
            None => Vec::new(),
        };
        self.set(name, Cell::Texts(texts));
    }

    /// Ends the open row with what the acceptance decides; what was not set is NULL.
    pub(super) fn end_row(&mut self, at: &Acceptance) {
        self.set("tenant_id", Cell::Text(at.tenant.as_str()));
        self.set("received_at", Cell::Time(at.received_at_us));
        for column in &mut self.columns {
            if column.filled == self.rows {
                column.cells.push_null();
                column.filled += 1;
            }
        }
        self.rows += 1;
    }

    /// The finished table, in the accepted schema.
    pub(super) fn finish(self) -> Result<RecordBatch, DecodeError> {
        let mut named = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            if let Some(array) = column.cells.finish()? {
                named.push((column.name, array));
            }
        }
        assemble(self.dataset, self.rows, named)
    }
}

/// A JSON value as text, if it says something.
pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

/// A JSON number or its digits as an integer; never rounded.
pub(super) fn as_integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| exact(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The integer that a double is exactly, up to 2^53, above which doubles skip some.
fn exact(value: f64) -> Option<i64> {
    let whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    whole.then(|| format!("{value:.0}").parse().ok()).flatten()
}

/// The value at a path of members; an index is a number.
pub(super) fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, step| match value {
        Value::Object(members) => members.get(step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

/// The first of several paths that says something.
pub(super) fn first<'v>(value: &'v Value, paths: &[&str]) -> Option<&'v Value> {
    paths.iter().find_map(|path| {
        at(value, path).filter(|found| !found.is_null() && found.as_str() != Some(""))
    })
}

/// US dollars as units of the schema's scale (10^-12), rounded half to even; none where it is no
/// number or out of range.
pub(super) fn as_money(value: &Value) -> Option<i128> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    super::money::parse(&text)
}

/// The first 128 bits of the BLAKE3, as 32 digits.
pub(super) fn digest_hex(bytes: &[u8]) -> String {
    let digest = blake3::hash(bytes);
    digest
        .as_bytes()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
