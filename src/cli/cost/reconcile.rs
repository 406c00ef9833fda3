//! `weir cost reconcile FILE`: the ledger beside a provider's own export, by day and model, with
//! what the difference is made of.
//!
//! A difference of cost is split in two that add up to it: *usage* is what the tokens that one side
//! counts more would cost at our average price, *price* is the rest, at the tokens of the provider.
//! A price that is the same share off on every day is a discount; one that is off for a model from
//! some day on is a list price that changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{Days, NaiveDate};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::export_file::{Billed, Bills, Provider, read};
use super::marks;
use super::names::comparable;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::remote::Remote;
use crate::usd;

/// What it takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// The export, CSV or JSON.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whose export it is, where its columns do not say so.
    #[arg(long, value_enum)]
    provider: Option<Provider>,
    /// Differences below this share of the provider's figure are none.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.5)]
    tolerance: f64,
    /// Mark the days of the export as reconciled, for this provider: answers call their cost
    /// reconciled from then on. Refused where something differs by more than the tolerance.
    #[arg(long)]
    mark: bool,
    /// Mark them although something differs; the mark says by how much.
    #[arg(long, requires = "mark")]
    accept_differences: bool,
    /// How it is written.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One JSON object.
    Json,
}

/// Runs it; exit code 1 where something differs by more than the tolerance.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let shown = args.file.display();
    let bytes = fs::read(&args.file).with_context(|| shown.to_string())?;
    let text = std::str::from_utf8(&bytes).with_context(|| format!("{shown} is no text"))?;
    let export = read(text, args.provider).with_context(|| shown.to_string())?;
    let days: BTreeSet<NaiveDate> = export.bills.keys().map(|(day, _)| *day).collect();
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        anyhow::bail!("{shown} names no model call");
    };
    let until = last
        .checked_add_days(Days::new(1))
        .context("the last day is beyond the calendar")?;
    let path = format!(
        "/v1/rollups/cost-per-skill?since={first}&until={until}&by=day,provider,model&limit=10000"
    );
    let client = args.remote.client()?;
    let answer: Value = serde_json::from_slice(&client.get(&path).await?.success()?)?;
    let more = answer.get("next_cursor").is_some_and(Value::is_string);
    anyhow::ensure!(
        !more,
        "the export spans more than 10,000 days and models; cut it"
    );
    // Days of which the export has nothing are not compared: it may not reach so far.
    let mut ours = booked(&answer, export.provider);
    ours.retain(|(day, _), _| days.contains(day));
    let lines = compare(&export.bills, &ours, args.tolerance / 100.0);
    let differs = lines.iter().any(|line| !line.agrees);
    match args.output {
        Output::Table => out::bytes(table(&lines).as_bytes())?,
        Output::Json => out::line(&serde_json::to_string_pretty(&report(&lines))?)?,
    }
    if args.mark && (!differs || args.accept_differences) {
        let names = ledger_names(&answer, export.provider);
        for mark in marks::of(&lines, names, &bytes)? {
            marks::put(&client, &mark).await?;
        }
    } else if args.mark {
        out::complain(
            "weir: nothing is marked, since the two differ; --accept-differences marks all the same",
        );
    }
    Ok(if differs { Exit::FAILURE } else { Exit::OK })
}

/// What the ledger calls the provider of an export; its common name where nothing is booked.
fn ledger_names(answer: &Value, provider: Provider) -> BTreeSet<String> {
    let rows = answer.get("rows").and_then(Value::as_array);
    let names = rows.into_iter().flatten();
    let names = names.filter_map(|row| row.get("provider")?.as_str());
    let known = names.filter(|name| provider.is(name)).map(str::to_owned);
    known.chain([provider.common_name().to_owned()]).collect()
}

/// What the ledger has booked for one model on one day.
#[derive(Clone, Debug, Default, PartialEq)]
struct Booked {
    model: String,
    calls: i64,
    input: i64,
    cached: i64,
    output: i64,
    cost: i128,
    unpriced: i64,
}

type Ours = BTreeMap<(NaiveDate, String), Booked>;

fn booked(answer: &Value, provider: Provider) -> Ours {
    let mut all = Ours::new();
    let none = Vec::new();
    let rows = answer
        .get("rows")
        .and_then(Value::as_array)
        .unwrap_or(&none);
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let count = |name: &str| row.get(name).and_then(Value::as_i64).unwrap_or(0);
        let day = NaiveDate::parse_from_str(text("day"), "%Y-%m-%d");
        let (Ok(day), true) = (day, provider.is(text("provider"))) else {
            continue;
        };
        let model = text("model").to_owned();
        let known = all.entry((day, comparable(&model))).or_default();
        known.model = model;
        known.calls += count("calls");
        known.input += count("input_tokens");
        known.cached += count("cache_read_tokens");
        known.output += count("output_tokens");
        known.cost += usd::parse(text("cost_usd")).unwrap_or(0);
        known.unpriced += count("unpriced_calls");
    }
    all
}

/// One day and model.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) day: NaiveDate,
    model: String,
    theirs: Option<Billed>,
    ours: Option<Booked>,
    /// What they bill more than we booked, in 10^-12 US dollars.
    difference: Option<i128>,
    /// The parts of it that come from usage and from price.
    parts: Option<(i128, i128)>,
    agrees: bool,
    why: Vec<String>,
}

fn compare(theirs: &Bills, ours: &Ours, tolerance: f64) -> Vec<Line> {
    let keys: BTreeSet<&(NaiveDate, String)> = theirs.keys().chain(ours.keys()).collect();
    let lines = keys.into_iter().map(|key| {
        let mut line = Line {
            day: key.0,
            model: String::new(),
            theirs: theirs.get(key).cloned(),
            ours: ours.get(key).cloned(),
            difference: None,
            parts: None,
            agrees: true,
            why: Vec::new(),
        };
        match (line.theirs.clone(), line.ours.clone()) {
            (Some(billed), Some(booked)) => line.both(&billed, &booked, tolerance),
            (Some(billed), None) => {
                line.model = billed.model.clone();
                line.difference = billed.cost;
                line.agrees = false;
                line.why.push(
                    "weir has seen no call: a program without telemetry, or another \
                               tenant's key"
                        .to_owned(),
                );
            }
            (None, Some(booked)) => {
                line.model = booked.model.clone();
                line.difference = Some(-booked.cost);
                line.agrees = false;
                line.why.push(
                    "the export has no call: another account, or a model that it names \
                               otherwise"
                        .to_owned(),
                );
            }
            (None, None) => {}
        }
        line
    });
    lines.collect()
}

/// Whether two figures differ by more than a share of the first.
fn apart(theirs: i128, ours: i128, tolerance: f64) -> bool {
    let off = theirs.abs_diff(ours);
    // Ratios only; the amounts themselves stay integers.
    off > 0 && off as f64 > theirs.unsigned_abs() as f64 * tolerance
}

/// How much of `of` a difference is, in percent, for people.
fn share(difference: i128, of: i128) -> String {
    if of == 0 {
        return "all of it".to_owned();
    }
    format!("{:+.1} %", difference as f64 / of as f64 * 100.0)
}

impl Line {
    fn both(&mut self, billed: &Billed, booked: &Booked, tolerance: f64) {
        self.model.clone_from(&billed.model);
        if let Some(requests) = billed.requests.filter(|n| *n != booked.calls) {
            let off = i128::from(requests - booked.calls);
            if apart(requests.into(), booked.calls.into(), tolerance) {
                self.agrees = false;
                let of = share(off, booked.calls.into());
                self.why.push(format!(
                    "calls: they count {requests}, we {} ({of})",
                    booked.calls
                ));
            }
        }
        for (name, theirs, ours) in [
            ("input", billed.input, booked.input),
            ("cached input", billed.cached, booked.cached),
            ("output", billed.output, booked.output),
        ] {
            let Some(theirs) = theirs else { continue };
            if apart(theirs.into(), ours.into(), tolerance) {
                self.agrees = false;
                let of = share((theirs - ours).into(), ours.into());
                self.why.push(format!(
                    "{name} tokens: they count {theirs}, we {ours} ({of})"
                ));
            }
        }
        if booked.unpriced > 0 {
            let calls = booked.unpriced;
            self.why.push(format!(
                "{calls} calls have no cost here: `weir prices unpriced`"
            ));
        }
        let Some(cost) = billed.cost else { return };
        let difference = cost - booked.cost;
        self.difference = Some(difference);
        if !apart(cost, booked.cost, tolerance) {
            return;
        }
        self.agrees = false;
        let parts = split(billed, booked, difference);
        self.parts = parts;
        match parts {
            Some((usage, price)) => {
                let (usage, of_price) = (usd::short(usage), share(price, cost - price));
                self.why.push(format!(
                    "of the difference {usage} is usage and {} is price ({of_price})",
                    usd::short(price)
                ));
            }
            None => {
                let of = share(difference, booked.cost);
                self.why.push(format!(
                    "cost: {of}; without tokens in the export it cannot be \
                                       told whether by usage or by price"
                ));
            }
        }
    }
}

/// What of the difference is usage, at our average price of a token, and what is price. Nothing
/// where either side lacks the tokens or we have no price.
fn split(billed: &Billed, booked: &Booked, difference: i128) -> Option<(i128, i128)> {
    let theirs = i128::from(billed.input?) + i128::from(billed.output?);
    let ours = i128::from(booked.input) + i128::from(booked.output);
    if ours <= 0 || booked.cost <= 0 {
        return None;
    }
    let usage = booked.cost.checked_mul(theirs - ours)? / ours;
    Some((usage, difference - usage))
}

fn report(lines: &[Line]) -> Value {
    let shown = lines.iter().map(|line| {
        let theirs = line.theirs.as_ref().map(|b| {
            json!({
                "calls": b.requests, "input_tokens": b.input, "cached_tokens": b.cached,
                "output_tokens": b.output, "cost_usd": b.cost.map(usd::text),
            })
        });
        let ours = line.ours.as_ref().map(|b| {
            json!({
                "calls": b.calls, "input_tokens": b.input, "cached_tokens": b.cached,
                "output_tokens": b.output, "cost_usd": usd::text(b.cost),
                "unpriced_calls": b.unpriced,
            })
        });
        json!({
            "day": line.day.to_string(), "model": line.model, "agrees": line.agrees,
            "provider": theirs, "ledger": ours,
            "difference_usd": line.difference.map(usd::text),
            "of_usage_usd": line.parts.map(|p| usd::text(p.0)),
            "of_price_usd": line.parts.map(|p| usd::text(p.1)),
            "why": line.why,
        })
    });
    let (billed, booked) = totals(lines.iter());
    json!({
        "lines": shown.collect::<Vec<_>>(),
        "agrees": lines.iter().all(|l| l.agrees),
        "provider_cost_usd": billed.map(usd::text),
        "ledger_cost_usd": usd::text(booked),
    })
}

/// What the provider bills, where it says so, and what we booked.
pub(super) fn totals<'a>(lines: impl Iterator<Item = &'a Line> + Clone) -> (Option<i128>, i128) {
    let billed = lines.clone().filter_map(|l| l.theirs.as_ref()?.cost);
    let booked = lines.filter_map(|l| Some(l.ours.as_ref()?.cost));
    (billed.reduce(|a, b| a + b), booked.sum())
}

fn table(lines: &[Line]) -> String {
    let mut text = String::new();
    let cell = |amount: Option<i128>| amount.map_or_else(|| "-".to_owned(), usd::short);
    let width = lines
        .iter()
        .map(|l| l.model.chars().count())
        .max()
        .unwrap_or(5)
        .max(5);
    text.push_str(&format!(
        "{:<10}  {:<width$}  {:>16}  {:>16}  {:>16}\n",
        "day", "model", "provider usd", "ledger usd", "difference"
    ));
    for line in lines {
        let theirs = line.theirs.as_ref().and_then(|b| b.cost);
        let ours = line.ours.as_ref().map(|b| b.cost);
        text.push_str(&format!(
            "{:<10}  {:<width$}  {:>16}  {:>16}  {:>16}\n",
            line.day.to_string(),
            line.model,
            cell(theirs),
            cell(ours),
            cell(line.difference)
        ));
        for why in &line.why {
            text.push_str(&format!("{:<10}    {why}\n", ""));
        }
    }
    let (billed, booked) = totals(lines.iter());
    let differ = lines.iter().filter(|l| !l.agrees).count();
    text.push_str(&format!(
        "{} of {} days and models agree; the provider bills {}, the ledger has {}\n",
        lines.len() - differ,
        lines.len(),
        cell(billed),
        usd::short(booked)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(billed: Option<Billed>, booked: Option<Booked>) -> Line {
        let key = (NaiveDate::default(), "m".to_owned());
        let theirs = billed.map(|b| (key.clone(), b)).into_iter().collect();
        let ours = booked.map(|b| (key, b)).into_iter().collect();
        compare(&theirs, &ours, 0.005).remove(0)
    }

    fn billed(input: i64, output: i64, cost: &str) -> Billed {
        Billed {
            model: "m".into(),
            input: Some(input),
            output: Some(output),
            cost: usd::parse(cost),
            ..Billed::default()
        }
    }

    fn here(input: i64, output: i64, cost: &str) -> Booked {
        Booked {
            model: "m".into(),
            calls: 3,
            input,
            output,
            cost: usd::parse(cost).unwrap(),
            ..Booked::default()
        }
    }

    #[test]
    fn a_discount_is_told_from_missing_calls() {
        let same = line(Some(billed(900, 100, "1.00")), Some(here(900, 100, "1.00")));
        assert!(same.agrees && same.why.is_empty(), "{same:?}");
        let cheaper = line(Some(billed(900, 100, "0.90")), Some(here(900, 100, "1.00")));
        assert_eq!(cheaper.parts, Some((0, usd::parse("-0.10").unwrap())));
        assert!(cheaper.why.concat().contains("-10.0 %"), "{cheaper:?}");
        let more = line(
            Some(billed(1800, 200, "2.00")),
            Some(here(900, 100, "1.00")),
        );
        assert_eq!(more.parts, Some((usd::parse("1.00").unwrap(), 0)));
        assert!(
            more.why
                .concat()
                .contains("input tokens: they count 1800, we 900 (+100.0 %)")
        );
        let close = line(
            Some(billed(901, 100, "1.001")),
            Some(here(900, 100, "1.00")),
        );
        assert!(close.agrees, "{close:?}");
    }

    #[test]
    fn what_only_one_side_has_is_named() {
        let unseen = line(Some(billed(1, 1, "2")), None);
        assert!(!unseen.agrees && unseen.why.concat().contains("weir has seen no call"));
        let unbilled = line(None, Some(here(1, 1, "2")));
        assert_eq!(unbilled.difference, usd::parse("-2"));
        let bare = Billed {
            input: None,
            ..billed(1, 1, "2")
        };
        let bare = line(Some(bare), Some(here(1, 1, "1")));
        assert!(
            bare.parts.is_none() && bare.why.concat().contains("cannot be"),
            "{bare:?}"
        );
        let text = table(&[unseen, unbilled]);
        assert!(text.contains("0 of 2 days and models agree"), "{text}");
        assert!(
            text.contains("the provider bills 2.00, the ledger has 2.00"),
            "{text}"
        );
    }

    #[test]
    fn bookings_of_other_providers_are_passed_over() {
        let row = |provider: &str, model: &str| {
            json!({
                "day": "2025-11-20", "provider": provider, "model": model, "calls": 1,
                "input_tokens": 5, "cost_usd": "0.100000000000",
            })
        };
        let answer = json!({ "rows": [
            row("openai", "gpt-4o"), row("openai", "gpt-4o-2024-08-06"), row("azure.ai.openai", "gpt-4o"),
        ]});
        let ours = booked(&answer, Provider::Openai);
        let all: Vec<_> = ours
            .values()
            .map(|b| (b.calls, b.input, usd::short(b.cost)))
            .collect();
        assert_eq!(all, [(2, 10, "0.20".to_owned())]);
    }
}
