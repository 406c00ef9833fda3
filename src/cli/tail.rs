//! `weir tail`: what arrives from now on, one line a row.

use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::remote::Remote;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Print the lines as JSON.
    #[arg(long)]
    json: bool,
    /// End after this many lines.
    #[arg(long, value_name = "LINES")]
    lines: Option<usize>,
}

/// Runs it until the server stops or the reader leaves.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let mut response = client.stream("/v1/tail").await?;
    if !response.status().is_success() {
        let body = response.into_body().collect().await?.to_bytes();
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem
            .get("detail")
            .and_then(Value::as_str)
            .unwrap_or("refused");
        anyhow::bail!("{detail}");
    }
    out::complain("weir: watching; what was accepted before is in `weir query`. Ctrl-C ends");
    let mut rest = Vec::new();
    let mut shown = 0;
    while let Some(frame) = response.body_mut().frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        rest.extend_from_slice(&piece);
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let Ok(row) = serde_json::from_slice::<Value>(&line) else {
                continue;
            };
            let text = if args.json {
                row.to_string()
            } else {
                text(&row)
            };
            out::line(&text)?;
            shown += 1;
            if args.lines.is_some_and(|most| shown >= most) {
                return Ok(Exit::OK);
            }
        }
    }
    Ok(Exit::OK)
}

/// One row for people: the time, the dataset, then what is set, without its name where that is
/// plain.
fn text(row: &Value) -> String {
    let Some(fields) = row.as_object() else {
        return row.to_string();
    };
    let mut out = String::new();
    if let Some(us) = fields.get("received_at_us").and_then(Value::as_i64) {
        let time = chrono::DateTime::from_timestamp_micros(us);
        let time = time.map(|t| t.format("%H:%M:%S%.3f").to_string());
        out.push_str(&time.unwrap_or_default());
        out.push(' ');
    }
    for (name, value) in fields {
        let value = value.as_str().map_or_else(|| value.to_string(), out_of);
        match name.as_str() {
            "received_at_us" => {}
            "dataset" => out.push_str(&format!("{value:<12}")),
            "name" | "class_name" | "event_type" => out.push_str(&format!(" {value}")),
            "more_rows" => out.push_str(&format!(" ... and {value} more")),
            other => out.push_str(&format!(" {other}={value}")),
        }
    }
    out
}

/// Sent text on a terminal: one line, no control characters, not too long.
pub(crate) fn out_of(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(CHARS_MAX)
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_is_one_line_that_a_terminal_can_take() {
        let row = json!({"dataset": "spans", "received_at_us": 0, "name": "chat\u{1b}[2J\n",
            "model": "m", "usage_input_tokens": 5});
        assert_eq!(
            text(&row),
            "00:00:00.000 spans        chat [2J  model=m usage_input_tokens=5"
        );
        assert_eq!(out_of(&"x".repeat(100)).len(), 63);
    }
}
