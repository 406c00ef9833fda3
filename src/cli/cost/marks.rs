//! `weir cost reconcile --mark`, `weir cost marks`, `weir cost unmark`: periods whose cost was held
//! against a provider's bill.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use bytes::Bytes;
use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

use super::reconcile::{Line, totals};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::remote::Remote;
use crate::cli::rollup::whole;
use crate::cli::tail::out_of;
use crate::client::{Call, Client};
use crate::usd;

const ROUTE: &str = "/v1/reconciliations";

/// What the list takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Write one JSON object.
    #[arg(long)]
    json: bool,
}

/// What taking a mark away takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Unmark {
    #[command(flatten)]
    remote: Remote,
    /// The mark's id, from `weir cost marks`.
    #[arg(value_name = "ID")]
    id: String,
}

/// The marks of an export that was compared: one for each run of days without a gap.
///
/// # Errors
///
/// Where a day is at the end of the calendar.
pub(super) fn of(
    lines: &[Line],
    providers: BTreeSet<String>,
    file: &[u8],
) -> anyhow::Result<Vec<Value>> {
    let hash = blake3::hash(file).to_hex();
    let days: BTreeSet<NaiveDate> = lines.iter().map(|line| line.day).collect();
    let mut runs: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for day in days {
        let next = day.checked_add_days(Days::new(1));
        let next = next.context("a day is beyond the calendar")?;
        match runs.last_mut() {
            Some((_, end)) if *end == day => *end = next,
            _ => runs.push((day, next)),
        }
    }
    let marks = runs.into_iter().map(|(since, until)| {
        let within = lines.iter().filter(|l| since <= l.day && l.day < until);
        let (billed, booked) = totals(within);
        json!({
            "providers": providers, "since": since, "until": until,
            "file_hash": hash.as_str(),
            "provider_usd": billed.map(usd::text),
            "ledger_usd": usd::text(booked),
        })
    });
    Ok(marks.collect())
}

/// Notes a mark on the server, and says so.
///
/// # Errors
///
/// What the server says is wrong, or that it could not be reached.
pub(super) async fn put(client: &Client, mark: &Value) -> anyhow::Result<()> {
    let call = Call {
        content_type: Some("application/json"),
        body: Bytes::from(mark.to_string()),
        ..Call::default()
    };
    let body = client.put(ROUTE, call).await?.success()?;
    let mark: Value = serde_json::from_slice(&body).context("the answer is no JSON")?;
    // On stderr: what is compared is what the command writes.
    out::complain(&format!("weir: marked as reconciled: {}", line(&mark)));
    Ok(())
}

/// Lists marks, each with what the ledger has of its period now: calls may have been booked since.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let body = client.get(ROUTE).await?.success()?;
    let mut answer: Value = serde_json::from_slice(&body).context("the answer is no JSON")?;
    let marks = answer
        .get_mut("reconciliations")
        .and_then(Value::as_array_mut);
    let marks = marks.context("the answer has no marks")?;
    let mut by_days: BTreeMap<(String, String), Value> = BTreeMap::new();
    for mark in marks.iter_mut() {
        let days = (
            text(mark, "since").to_owned(),
            text(mark, "until").to_owned(),
        );
        if !by_days.contains_key(&days) {
            let path = format!(
                "/v1/rollups/cost-per-skill?since={}&until={}&by=provider,model&limit=10000",
                days.0, days.1
            );
            by_days.insert(days.clone(), whole(&client, &path).await?);
        }
        let now = by_days.get(&days).map(|rollup| ledger_now(mark, rollup));
        let then = usd::parse(text(mark, "ledger_usd")).unwrap_or(0);
        let now = now.unwrap_or(then);
        if let Some(fields) = mark.as_object_mut() {
            fields.insert("ledger_now_usd".into(), usd::text(now).into());
            fields.insert("booked_since_usd".into(), usd::text(now - then).into());
        }
    }
    if args.json {
        out::line(&serde_json::to_string_pretty(&answer)?)?;
        return Ok(Exit::OK);
    }
    let marks = answer.get("reconciliations").and_then(Value::as_array);
    for mark in marks.into_iter().flatten() {
        out::line(&line(mark))?;
    }
    Ok(Exit::OK)
}

/// Takes a mark away; exit code 1 where there is none.
pub(crate) async fn unmark(args: Unmark) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let id: String = url::form_urlencoded::byte_serialize(args.id.as_bytes()).collect();
    client
        .delete(&format!("{ROUTE}?id={id}"))
        .await?
        .success()?;
    Ok(Exit::OK)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn names(mark: &Value, name: &str) -> Vec<String> {
    let list = mark.get(name).and_then(Value::as_array);
    let names = list.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// What the ledger has now of what a mark covers.
fn ledger_now(mark: &Value, rollup: &Value) -> i128 {
    let (providers, models) = (names(mark, "providers"), names(mark, "models"));
    let rows = rollup.get("rows").and_then(Value::as_array);
    let covered = rows.into_iter().flatten().filter(|row| {
        let is = |list: &[String], name| list.iter().any(|one| one == text(row, name));
        is(&providers, "provider") && (models.is_empty() || is(&models, "model"))
    });
    covered
        .filter_map(|row| usd::parse(text(row, "cost_usd")))
        .sum()
}

/// A mark for people.
fn line(mark: &Value) -> String {
    let short = |name: &str| usd::parse(text(mark, name)).map_or("-".to_owned(), usd::short);
    let models = names(mark, "models");
    let models = if models.is_empty() {
        "all models".to_owned()
    } else {
        out_of(&models.join(", "))
    };
    let mut shown = format!(
        "{}  {} until {}  {}, {models}: provider {}, ledger {}, difference {} usd",
        text(mark, "id"),
        text(mark, "since"),
        text(mark, "until"),
        out_of(&names(mark, "providers").join(", ")),
        short("provider_usd"),
        short("ledger_usd"),
        short("difference_usd"),
    );
    let since = usd::parse(text(mark, "booked_since_usd")).unwrap_or(0);
    if since != 0 {
        shown.push_str(&format!("; {} booked since", usd::short(since)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_booked_since_is_told() {
        let mark = json!({
            "id": "ab", "since": "2025-11-01", "until": "2025-11-02", "providers": ["openai"],
            "models": [], "provider_usd": "1.1", "ledger_usd": "1", "difference_usd": "0.1",
        });
        let row = |provider: &str, model: &str| json!({ "provider": provider, "model": model, "cost_usd": "0.75" });
        let rollup = json!({ "rows": [row("openai", "a"), row("openai", "b"), row("azure", "a")] });
        assert_eq!(ledger_now(&mark, &rollup), usd::parse("1.5").unwrap());
        let mut one = mark.clone();
        one["models"] = json!(["b"]);
        assert_eq!(ledger_now(&one, &rollup), usd::parse("0.75").unwrap());
        assert!(
            line(&mark).ends_with("ledger 1.00, difference 0.10 usd"),
            "{}",
            line(&mark)
        );
        let mut later = mark;
        later["booked_since_usd"] = "0.5".into();
        assert!(line(&later).ends_with("; 0.50 booked since"));
    }
}
