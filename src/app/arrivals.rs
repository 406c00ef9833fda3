//! What arrives, in short lines, for those who watch (`weir tail`).
//!
//! Lines are made only while somebody watches, after the rows are durable; a watcher who is too
//! slow misses lines and is told how many.

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use serde_json::{Map, Value, json};
use tokio::sync::broadcast;
use weir_model::{Dataset, TenantId};

/// How many requests a slow watcher may lag behind.
const LAG_MAX: usize = 256;

/// The most rows of one request that are shown.
const ROWS_MAX: usize = 20;

/// Money columns have 12 digits behind the point.
const MONEY_UNIT: f64 = 1e12;

/// The lines of one request.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// Whose.
    pub(crate) tenant: TenantId,
    /// One object a row, and one that says how many were left out.
    pub(crate) lines: Vec<Value>,
}

/// Where watchers hear of arrivals.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals(broadcast::Sender<Arrival>);

impl Arrivals {
    /// Nobody watches yet.
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(LAG_MAX))
    }

    /// Begins to watch; requests from now on are heard.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arrival> {
        self.0.subscribe()
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells those who watch of accepted rows, if anybody does.
    pub(crate) fn tell(&self, tenant: &TenantId, rows: &[(Dataset, RecordBatch)], at_us: i64) {
        if !self.is_watched() {
            return;
        }
        let mut lines = Vec::new();
        for (dataset, rows) in rows {
            let shown = rows.num_rows().min(ROWS_MAX);
            lines.extend((0..shown).map(|row| line(*dataset, rows, row, at_us)));
            if rows.num_rows() > shown {
                let more = rows.num_rows() - shown;
                lines.push(json!({ "dataset": dataset.name(), "more_rows": more }));
            }
        }
        let arrival = Arrival {
            tenant: tenant.clone(),
            lines,
        };
        // Nobody left between the check and here: nobody misses it.
        let _ = self.0.send(arrival);
    }
}

/// The columns worth a line.
fn columns(dataset: Dataset) -> &'static [&'static str] {
    match dataset {
        Dataset::Spans => &[
            "trace_id",
            "name",
            "service_name",
            "op_kind",
            "provider",
            "model",
            "agent_name",
            "skill_name",
            "tool_name",
            "usage_input_tokens",
            "usage_output_tokens",
            "cost_usd",
            "error_type",
        ],
        Dataset::ProxyAudit => &[
            "source_id",
            "event_type",
            "decision_raw",
            "severity",
            "tool_name",
            "agent_id",
            "detector",
        ],
        Dataset::OcsfEvents => &[
            "class_uid",
            "class_name",
            "severity",
            "product_name",
            "message",
        ],
        Dataset::RejectedEvents => &["source", "reason_code", "reason"],
        Dataset::TelemetryEvents => &[
            "skill_name",
            "skill_version",
            "user_id",
            "model",
            "usage_input_tokens",
            "usage_output_tokens",
            "cost_usd",
            "error_type",
        ],
        Dataset::LogEvents => &[
            "event_name",
            "service_name",
            "model",
            "session_id",
            "skill_name",
            "usage_input_tokens",
            "usage_output_tokens",
            "cost_usd",
            "error_type",
        ],
        Dataset::CostLedger | Dataset::CostHourly | Dataset::CostDaily => &[],
    }
}

fn line(dataset: Dataset, rows: &RecordBatch, row: usize, at_us: i64) -> Value {
    let mut fields = Map::new();
    fields.insert("dataset".into(), dataset.name().into());
    fields.insert("received_at_us".into(), at_us.into());
    for name in columns(dataset) {
        if let Some(value) = rows
            .column_by_name(name)
            .and_then(|c| cell(c.as_ref(), row))
        {
            fields.insert((*name).into(), value);
        }
    }
    Value::Object(fields)
}

/// A cell as JSON; `None` where it is NULL or of a kind that no line shows.
pub(crate) fn cell(column: &dyn Array, row: usize) -> Option<Value> {
    if row >= column.len() || column.is_null(row) {
        return None;
    }
    if let Some(text) = column.as_string_opt::<i32>() {
        return Some(text.value(row).into());
    }
    if let Some(number) = column.as_primitive_opt::<Int64Type>() {
        return Some(number.value(row).into());
    }
    if let Some(number) = column.as_primitive_opt::<Float64Type>() {
        return Some(number.value(row).into());
    }
    let money = column.as_primitive_opt::<Decimal128Type>()?;
    Some(usd(money.value(row)).into())
}

/// Money as a number to show; sums are never made from it.
#[expect(
    clippy::cast_precision_loss,
    reason = "shown to people with six digits; exact values stay decimal"
)]
pub(crate) fn usd(units: i128) -> f64 {
    units as f64 / MONEY_UNIT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_made_while_nobody_watches_and_lines_are_bounded_when_somebody_does() {
        let rows = RecordBatch::new_empty(Dataset::Spans.accepted_schema());
        let arrivals = Arrivals::new();
        arrivals.tell(&TenantId::local(), &[(Dataset::Spans, rows.clone())], 0);
        let mut watch = arrivals.watch();
        arrivals.tell(&TenantId::local(), &[(Dataset::Spans, rows)], 1);
        let heard = watch.try_recv().unwrap();
        assert_eq!((heard.tenant.as_str(), heard.lines.len()), ("default", 0));
        assert!(watch.try_recv().is_err());
    }

    #[test]
    fn every_column_of_a_line_is_in_its_schema() {
        for dataset in Dataset::ALL {
            for name in columns(dataset) {
                assert!(dataset.schema().index_of(name).is_ok(), "{dataset}.{name}");
            }
        }
    }
}
