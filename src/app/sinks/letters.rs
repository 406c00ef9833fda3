//! Dead letters as they are shown.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use serde_json::{Value, json};
use weir_sinks::DeadLetter;

/// A letter without its rows.
pub(crate) fn letter_json(letter: &DeadLetter) -> Value {
    let part = &letter.id.part;
    let state = match (letter.dropped_us, letter.replayed_us) {
        (Some(_), _) => "dropped",
        (None, Some(_)) => "replayed",
        (None, None) => "kept",
    };
    json!({
        "id": letter.id.to_string(),
        "sink": letter.id.sink,
        "dataset": part.dataset.name(),
        "node": part.node.as_str(),
        "batch": part.batch,
        "rows": letter.rows,
        "reason": letter.reason,
        "at": crate::cli::place::time(letter.at_us),
        "state": state,
    })
}

/// Rows as JSON objects.
///
/// # Errors
///
/// Where a column has no JSON form.
pub(crate) fn rows_json(rows: &[RecordBatch]) -> Result<Value, ArrowError> {
    let mut all = Vec::new();
    for piece in rows {
        let lines = weir_sinks::outbound::json_lines(piece)?;
        let lines = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        for line in lines {
            let row = serde_json::from_slice(line);
            all.push(row.map_err(|e| ArrowError::JsonError(e.to_string()))?);
        }
    }
    Ok(Value::Array(all))
}
