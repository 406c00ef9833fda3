//! The statistics of a data file: which ones are kept, how they are found and how the Delta log
//! spells them.
//!
//! Only named columns have them, since a log entry is read by every reader of the table:
//! the dataset's time, `received_at`, the trace's id, `_node` and `_batch`. Times
//! are written to the millisecond, as Delta asks for; the upper bound is rounded up, so that both
//! stay true bounds. A bound that cannot be written (a year beyond 9999, a long text) is left
//! out, which reads as "may be anything".

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use chrono::{DateTime, Datelike, SecondsFormat};
use serde_json::{Map, Value};
use weir_model::Dataset;
use weir_model::schema::ColumnType;

/// The longest text that is kept as a bound, in bytes: a trace id has 32.
const TEXT_BOUND_BYTES_MAX: usize = 64;

/// The least and the greatest value of a column in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// Microseconds since the epoch.
    Time {
        /// No value lies before this.
        min: i64,
        /// No value lies after this.
        max: i64,
    },
    /// Integers.
    Int {
        /// The least value.
        min: i64,
        /// The greatest value.
        max: i64,
    },
    /// Texts, by their bytes.
    Text {
        /// The least value.
        min: String,
        /// The greatest value.
        max: String,
    },
}

/// What is known of a column in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnStats {
    /// Its bounds; `None` where they are not known or all values are NULL.
    pub bounds: Option<Bounds>,
    /// How many values are NULL; `None` where that is not known.
    pub nulls: Option<u64>,
}

/// The columns of `dataset` that have statistics.
pub fn columns(dataset: Dataset) -> Vec<&'static str> {
    let mut names = vec![dataset.time_column()];
    let rest = ["received_at", "trace_id", "trace_uid", "_node", "_batch"];
    for name in rest {
        let exists = dataset.columns().iter().any(|c| c.name == name);
        if exists && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Gathers the statistics of a file while its rows are written, piece by piece.
#[derive(Debug)]
pub(crate) struct Gather {
    rows: u64,
    columns: BTreeMap<&'static str, ColumnStats>,
}

impl Gather {
    /// Starts with no rows.
    pub(crate) fn new(dataset: Dataset) -> Self {
        let nothing = || ColumnStats {
            bounds: None,
            nulls: Some(0),
        };
        let columns = columns(dataset).into_iter();
        Self {
            rows: 0,
            columns: columns.map(|c| (c, nothing())).collect(),
        }
    }

    /// Adds the rows of `piece`.
    pub(crate) fn add(&mut self, piece: &RecordBatch) {
        self.rows += piece.num_rows() as u64;
        for (name, stats) in &mut self.columns {
            let Some(column) = piece.column_by_name(name) else {
                continue;
            };
            stats.nulls = stats.nulls.map(|n| n + column.null_count() as u64);
            stats.bounds = widen(stats.bounds.take(), bounds(column));
        }
    }

    /// The `stats` text of an `add` action.
    pub(crate) fn to_json(&self) -> String {
        let (mut min, mut max, mut nulls) = (Map::new(), Map::new(), Map::new());
        for (name, stats) in &self.columns {
            let spelt = stats.bounds.as_ref().and_then(spell);
            if let Some((low, high)) = spelt {
                min.insert((*name).to_owned(), low);
                max.insert((*name).to_owned(), high);
            }
            nulls.insert((*name).to_owned(), stats.nulls.into());
        }
        let mut all = Map::new();
        all.insert("numRecords".to_owned(), self.rows.into());
        all.insert("minValues".to_owned(), min.into());
        all.insert("maxValues".to_owned(), max.into());
        all.insert("nullCount".to_owned(), nulls.into());
        Value::from(all).to_string()
    }
}

/// The bounds of a column in memory.
fn bounds(column: &ArrayRef) -> Option<Bounds> {
    if let Some(times) = column.as_primitive_opt::<TimestampMicrosecondType>() {
        let (min, max) = extremes(times.iter().flatten())?;
        return Some(Bounds::Time { min, max });
    }
    if let Some(ints) = column.as_primitive_opt::<Int64Type>() {
        let (min, max) = extremes(ints.iter().flatten())?;
        return Some(Bounds::Int { min, max });
    }
    let texts = column.as_string_opt::<i32>()?;
    let (min, max) = extremes(texts.iter().flatten())?;
    Some(Bounds::Text {
        min: min.to_owned(),
        max: max.to_owned(),
    })
}

/// The least and the greatest of `values`, in one pass.
fn extremes<T: Ord + Copy>(mut values: impl Iterator<Item = T>) -> Option<(T, T)> {
    let first = values.next()?;
    Some(values.fold((first, first), |(low, high), v| (low.min(v), high.max(v))))
}

/// The bounds of two pieces together.
fn widen(one: Option<Bounds>, other: Option<Bounds>) -> Option<Bounds> {
    let (Some(one), Some(other)) = (one.clone(), other.clone()) else {
        return one.or(other);
    };
    match (one, other) {
        (Bounds::Time { min: a, max: b }, Bounds::Time { min: c, max: d }) => Some(Bounds::Time {
            min: a.min(c),
            max: b.max(d),
        }),
        (Bounds::Int { min: a, max: b }, Bounds::Int { min: c, max: d }) => Some(Bounds::Int {
            min: a.min(c),
            max: b.max(d),
        }),
        (Bounds::Text { min: a, max: b }, Bounds::Text { min: c, max: d }) => Some(Bounds::Text {
            min: a.min(c),
            max: b.max(d),
        }),
        (Bounds::Time { .. } | Bounds::Int { .. } | Bounds::Text { .. }, _) => None,
    }
}

/// The two bounds as JSON, where both can be written.
fn spell(bounds: &Bounds) -> Option<(Value, Value)> {
    match bounds {
        Bounds::Time { min, max } => Some((time(*min)?, time(up_to_milli(*max)?)?)),
        Bounds::Int { min, max } => Some(((*min).into(), (*max).into())),
        Bounds::Text { min, max } => {
            let fits = min.len().max(max.len()) <= TEXT_BOUND_BYTES_MAX;
            fits.then(|| (min.as_str().into(), max.as_str().into()))
        }
    }
}

/// The next whole millisecond at or after `micros`.
fn up_to_milli(micros: i64) -> Option<i64> {
    let over = micros.rem_euclid(1000);
    if over == 0 {
        Some(micros)
    } else {
        micros.checked_add(1000 - over)
    }
}

/// A time as the Delta log writes it, to the millisecond below.
fn time(micros: i64) -> Option<Value> {
    let millis = micros.div_euclid(1000);
    let at = DateTime::from_timestamp_millis(millis)?;
    let plain = (0..=9999).contains(&at.year());
    plain.then(|| at.to_rfc3339_opts(SecondsFormat::Millis, true).into())
}

/// Reads the `stats` text of an `add` action: the number of rows, and what is known of the columns
/// of `dataset`. Text that is not understood gives nothing, which is always safe.
pub(crate) fn parse(dataset: Dataset, text: &str) -> (u64, BTreeMap<String, ColumnStats>) {
    let all: Value = serde_json::from_str(text).unwrap_or_default();
    let rows = all.get("numRecords").and_then(Value::as_u64).unwrap_or(0);
    let mut found = BTreeMap::new();
    for name in columns(dataset) {
        let of = |group: &str| all.get(group).and_then(|g| g.get(name));
        let kind = dataset.columns().iter().find(|c| c.name == name);
        let bounds = match (of("minValues"), of("maxValues"), kind) {
            (Some(min), Some(max), Some(column)) => read(column.kind, min, max),
            _ => None,
        };
        let nulls = of("nullCount").and_then(Value::as_u64);
        if bounds.is_some() || nulls.is_some() {
            found.insert(name.to_owned(), ColumnStats { bounds, nulls });
        }
    }
    (rows, found)
}

fn read(kind: ColumnType, min: &Value, max: &Value) -> Option<Bounds> {
    let micros = |v: &Value| {
        let at = DateTime::parse_from_rfc3339(v.as_str()?).ok()?;
        Some(at.timestamp_micros())
    };
    if kind == ColumnType::Time {
        let (min, max) = (micros(min)?, micros(max)?);
        return Some(Bounds::Time { min, max });
    }
    if let (Some(min), Some(max)) = (min.as_i64(), max.as_i64()) {
        return Some(Bounds::Int { min, max });
    }
    let (min, max) = (min.as_str()?.to_owned(), max.as_str()?.to_owned());
    Some(Bounds::Text { min, max })
}

#[cfg(test)]
mod tests;
