//! `weir rollup cost-per-skill`: what each skill costs.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::remote::Remote;
use crate::cli::tail::out_of;
use crate::usd;

/// What is summed up.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Calls, tokens, cost and latency by skill, or by whatever else is asked for.
    CostPerSkill(Args),
}

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// From when on: 2026-11-21, 2026-11-21T10:00:00Z, 30d, 12h, or all.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// Until when; without it, until now.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// What to group by: skill, agent, model, provider, team, user, attribution, day, hour, and
    /// others.
    #[arg(long, value_name = "LIST", default_value = "skill")]
    by: String,
    /// Only so many of the most expensive groups; the others together stand below them.
    #[arg(long, value_name = "GROUPS")]
    top: Option<usize>,
    /// How it is written.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// The file to write; Parquet needs one.
    #[arg(long, value_name = "FILE", required_if_eq("output", "parquet"))]
    file: Option<PathBuf>,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
    /// RFC 4180, with a header.
    Csv,
    /// Parquet, into a file.
    Parquet,
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    let Command::CostPerSkill(args) = command;
    let client = args.remote.client()?;
    let path = path(&args);
    let body = match args.output {
        Output::Csv | Output::Parquet => client.get(&path).await?.success()?.to_vec(),
        Output::Table | Output::Json => {
            let whole = whole(&client, &path).await?;
            if args.output == Output::Table {
                table(&whole).into_bytes()
            } else {
                format!("{}\n", serde_json::to_string_pretty(&whole)?).into_bytes()
            }
        }
    };
    match &args.file {
        None => out::bytes(&body)?,
        Some(file) => fs::write(file, body).with_context(|| file.display().to_string())?,
    }
    Ok(Exit::OK)
}

/// The path of the question.
fn path(args: &Args) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("since", &args.since);
    query.append_pair("by", &args.by);
    if let Some(until) = &args.until {
        query.append_pair("until", until);
    }
    if let Some(top) = args.top {
        query.append_pair("top", &top.to_string());
    }
    match args.output {
        Output::Csv => query.append_pair("format", "csv"),
        Output::Parquet => query.append_pair("format", "parquet"),
        Output::Table | Output::Json => query.append_pair("limit", "10000"),
    };
    format!("/v1/rollups/cost-per-skill?{}", query.finish())
}

/// All pages as one.
///
/// # Errors
///
/// What the server says is wrong, or that it could not be reached.
pub(crate) async fn whole(client: &crate::client::Client, path: &str) -> anyhow::Result<Value> {
    let ask = async |path: String| -> anyhow::Result<Value> {
        let body = client.get(&path).await?.success()?;
        serde_json::from_slice(&body).context("the answer is no JSON")
    };
    let mut all = ask(path.to_owned()).await?;
    while let Some(cursor) = all.get("next_cursor").and_then(Value::as_str) {
        let mut next = ask(format!("{path}&cursor={cursor}")).await?;
        let more = next.get_mut("rows").map(Value::take);
        let more = more.as_ref().and_then(Value::as_array).cloned();
        if let Some(rows) = all.get_mut("rows").and_then(Value::as_array_mut) {
            rows.extend(more.unwrap_or_default());
        }
        let cursor = next.get_mut("next_cursor").map(Value::take);
        if let Some(place) = all.get_mut("next_cursor") {
            *place = cursor.unwrap_or_default();
        }
    }
    Ok(all)
}

/// The columns of the table after the groups: their title, and where they are in a row.
const COLUMNS: [(&str, &str); 10] = [
    ("calls", "/calls"),
    ("errors", "/errors"),
    ("input", "/input_tokens"),
    ("output", "/output_tokens"),
    ("cost usd", "/cost_usd"),
    ("unpriced", "/unpriced_calls"),
    ("unattributed", "/unattributed_share"),
    ("p50 ms", "/latency_ms/p50"),
    ("p95 ms", "/latency_ms/p95"),
    ("p99 ms", "/latency_ms/p99"),
];

/// The answer for people.
fn table(answer: &Value) -> String {
    let empty = Vec::new();
    let list = |name: &str| answer.get(name).and_then(Value::as_array).unwrap_or(&empty);
    let by: Vec<&str> = list("by").iter().filter_map(Value::as_str).collect();
    let titles = by.iter().copied().chain(COLUMNS.iter().map(|c| c.0));
    let mut lines: Vec<Vec<String>> = vec![titles.map(str::to_owned).collect()];
    for row in list("rows") {
        let keys = by.iter().map(|name| {
            let key = row.get(*name).and_then(Value::as_str).unwrap_or_default();
            out_of(key)
        });
        lines.push(keys.chain(figures(row)).collect());
    }
    let named = |name: &str, sums: &Value| -> Vec<String> {
        let rest = by.iter().skip(1).map(|_| String::new());
        let keys = std::iter::once(name.to_owned()).chain(rest);
        keys.take(by.len()).chain(figures(sums)).collect()
    };
    if let Some(rest) = answer.get("rest").filter(|r| r.is_object()) {
        lines.push(named("(all others)", rest));
    }
    if let Some(totals) = answer.get("totals") {
        lines.push(named("TOTAL", totals));
    }
    for other in list("other_sources") {
        let source = other
            .get("source")
            .and_then(Value::as_str)
            .unwrap_or_default();
        lines.push(named(&format!("beside it: {source}"), other));
    }
    let mut text = aligned(&lines, by.len());
    text.push_str(basis(answer.get("basis").and_then(Value::as_str)));
    for one in list("commitments") {
        let field = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        let amount = |name: &str| usd::short(usd::parse(field(name)).unwrap_or(0));
        text.push_str(&format!(
            "commitment {} ({}): {} of {} usd used, {} remain; {} at its end at this rate\n",
            out_of(field("name")),
            field("state"),
            amount("used_usd"),
            amount("amount_usd"),
            amount("remaining_usd"),
            amount("forecast_usd"),
        ));
    }
    text
}

/// What the figures rest on, as a sentence.
fn basis(word: Option<&str>) -> &'static str {
    match word {
        Some("reconciled") => "cost was held against the provider's bill\n",
        Some("mixed") => {
            "cost was in part held against a bill, the rest is a list-price estimate\n"
        }
        _ => "cost is a list-price estimate\n",
    }
}

fn figures(row: &Value) -> impl Iterator<Item = String> + '_ {
    COLUMNS.iter().map(|(title, at)| {
        let value = row.pointer(at).unwrap_or(&Value::Null);
        match (value, *title) {
            (Value::Null, _) => "-".to_owned(),
            (Value::String(text), _) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            (value, "unattributed") => {
                let share = value.as_f64().unwrap_or_default();
                format!("{:.1} %", share * 100.0)
            }
            (Value::Number(n), _) if n.is_f64() => {
                format!("{:.1}", n.as_f64().unwrap_or_default())
            }
            (other, _) => other.to_string(),
        }
    })
}

/// Columns as wide as their widest cell: groups to the left, figures to the right.
fn aligned(lines: &[Vec<String>], left: usize) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |at: usize| {
        let cells = lines.iter().filter_map(|line| line.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let mut text = String::new();
    for line in lines {
        let cells = line.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(at, (cell, width))| {
                if at < left {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_shows_groups_rest_totals_and_what_is_unknown() {
        let sums = json!({
            "calls": 3, "errors": 1, "input_tokens": null, "output_tokens": 20,
            "cost_usd": "0.030000000000", "unpriced_calls": 1, "unattributed_share": 0.5,
            "latency_ms": { "p50": 250.5, "p95": null, "p99": null },
        });
        let mut row = sums.clone();
        row["skill"] = "pdf\nforms".into();
        let answer = json!({
            "by": ["skill"], "rows": [row], "rest": sums, "totals": sums, "other_sources": [],
            "basis": "list_price_estimate",
            "commitments": [{
                "name": "deal", "state": "open", "amount_usd": "500.000000000000",
                "used_usd": "0.500000000000", "remaining_usd": "499.500000000000",
                "forecast_usd": "3.000000000000",
            }],
        });
        let text = table(&answer);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("skill"), "{text}");
        assert!(lines[1].starts_with("pdf forms"), "{text}");
        assert!(
            lines[1].contains("0.03") && lines[1].contains("50.0 %"),
            "{text}"
        );
        assert!(lines[1].contains(" -  "), "{text}");
        assert!(lines[2].starts_with("(all others)"), "{text}");
        assert!(lines[3].starts_with("TOTAL"), "{text}");
        assert_eq!(lines[4], "cost is a list-price estimate");
        let deal = "commitment deal (open): 0.50 of 500.00 usd used, 499.50 remain; 3.00 at its end at this rate";
        assert_eq!(lines[5], deal);
    }
}
