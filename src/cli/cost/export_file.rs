//! A provider's usage or cost export: OpenAI, Anthropic, Bedrock (AWS), as CSV or JSON.
//!
//! | provider | form | tells |
//! |---|---|---|
//! | OpenAI | Usage API, dashboard CSV of usage | requests, input, cached, output by model |
//! | OpenAI | Costs API, dashboard CSV of costs | cost by line item |
//! | Anthropic | Usage report API, console CSV of usage | input by kind, output by model |
//! | Anthropic | Cost report API (in cents), console CSV of cost | cost by model |
//! | Bedrock | Cost and Usage Report CSV, Cost Explorer JSON | tokens and cost by usage type |
//!
//! Input tokens are inclusive, as the ledger has them: those read from and written to a cache are
//! in them.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use arrow_array::cast::AsArray;
use chrono::{DateTime, NaiveDate};
use clap::ValueEnum;
use serde_json::Value;

use super::names::comparable;
use crate::usd;

/// Whose export it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// OpenAI.
    Openai,
    /// Anthropic.
    Anthropic,
    /// Amazon Bedrock.
    Bedrock,
}

impl Provider {
    /// The name under which its calls are booked as a rule.
    pub(crate) fn common_name(self) -> &'static str {
        match self {
            Self::Openai => "openai",
            Self::Anthropic => "anthropic",
            Self::Bedrock => "aws.bedrock",
        }
    }

    /// Whether bookings under this provider's name are meant.
    pub(crate) fn is(self, name: &str) -> bool {
        let name = name.to_lowercase();
        match self {
            Self::Openai => name == "openai",
            Self::Anthropic => name == "anthropic",
            Self::Bedrock => name.contains("bedrock"),
        }
    }
}

/// What a provider says of one model on one day; `None` where its export does not speak of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Billed {
    /// The model as the export writes it.
    pub(crate) model: String,
    pub(crate) requests: Option<i64>,
    pub(crate) input: Option<i64>,
    pub(crate) cached: Option<i64>,
    pub(crate) output: Option<i64>,
    /// In 10^-12 US dollars.
    pub(crate) cost: Option<i128>,
}

/// By day and comparable name of the model.
pub(crate) type Bills = BTreeMap<(NaiveDate, String), Billed>;

/// An export that was read.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) provider: Provider,
    pub(crate) bills: Bills,
}

/// One line of a file, whatever its form: names in lower case, and what they say.
type Line = BTreeMap<String, String>;

/// Reads an export.
///
/// # Errors
///
/// Where it is of none of the known forms, or a line of it cannot be read: a sum over a part of it
/// would be taken for the whole.
pub(crate) fn read(text: &str, told: Option<Provider>) -> anyhow::Result<Export> {
    let lines = if text.trim_start().starts_with(['{', '[']) {
        let json: Value = serde_json::from_str(text).context("the file is no JSON")?;
        lines_of_json(&json)
    } else {
        lines_of_csv(text)?
    };
    let first = lines.first().context("the file holds no line")?;
    let provider = told.or_else(|| guess(first));
    let provider = provider.context(
        "the file is none of the known exports; say whose it is with --provider, or export usage \
         or cost by day and model",
    )?;
    let mut bills = Bills::new();
    for (number, line) in lines.iter().enumerate() {
        add(&mut bills, provider, line)
            .with_context(|| format!("line {} of the export", number + 1))?;
    }
    Ok(Export { provider, bills })
}

/// The lines of a page of an API: each result with the times of its bucket. Cost Explorer has
/// groups of metrics instead.
fn lines_of_json(json: &Value) -> Vec<Line> {
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned();
    let mut lines = Vec::new();
    let buckets = list(json, "data")
        .or_else(|| list(json, "ResultsByTime"))
        .or_else(|| json.as_array().cloned());
    for bucket in buckets.unwrap_or_default() {
        let results = list(&bucket, "results")
            .or_else(|| list(&bucket, "result"))
            .or_else(|| list(&bucket, "Groups"));
        let Some(results) = results else {
            lines.push(flat(&bucket));
            continue;
        };
        let mut outer = bucket.clone();
        if let Some(fields) = outer.as_object_mut() {
            fields.retain(|name, _| !matches!(name.as_str(), "results" | "result" | "Groups"));
        }
        for result in results {
            let mut line = flat(&outer);
            line.extend(flat(&result));
            lines.push(line);
        }
    }
    lines
}

/// The members of an object and of those below it, under their path.
fn flat(value: &Value) -> Line {
    fn walk(value: &Value, at: &str, line: &mut Line) {
        let below = |name: &str| {
            if at.is_empty() {
                name.to_lowercase()
            } else {
                format!("{at}.{}", name.to_lowercase())
            }
        };
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    walk(value, &below(name), line);
                }
            }
            Value::Array(all) => {
                for (index, value) in all.iter().enumerate() {
                    walk(value, &below(&index.to_string()), line);
                }
            }
            Value::Null => {}
            Value::String(text) => {
                line.insert(at.to_owned(), text.clone());
            }
            Value::Bool(_) | Value::Number(_) => {
                line.insert(at.to_owned(), value.to_string());
            }
        }
    }
    let mut line = Line::new();
    walk(value, "", &mut line);
    line
}

fn lines_of_csv(text: &str) -> anyhow::Result<Vec<Line>> {
    let format = arrow_csv::reader::Format::default().with_header(true);
    let bytes = text.trim_start_matches('\u{feff}').as_bytes();
    let (inferred, _) = format
        .infer_schema(bytes, Some(1))
        .context("the file is no CSV")?;
    // Every cell as text: amounts must not pass through binary floats.
    let fields = inferred.fields().iter();
    let fields =
        fields.map(|f| arrow_schema::Field::new(f.name(), arrow_schema::DataType::Utf8, true));
    let schema = arrow_schema::Schema::new(fields.collect::<Vec<_>>());
    let names: Vec<String> = schema
        .fields()
        .iter()
        .map(|f| f.name().trim().to_lowercase())
        .collect();
    let reader = arrow_csv::ReaderBuilder::new(std::sync::Arc::new(schema)).with_header(true);
    let mut lines = Vec::new();
    for batch in reader.build_buffered(bytes).context("the file is no CSV")? {
        let batch = batch.context("the file is no CSV")?;
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|c| c.as_string::<i32>());
            let cells = names.iter().zip(cells.map(|c| c.iter().nth(row).flatten()));
            let said = cells.filter_map(|(name, cell)| Some((name.clone(), cell?.to_owned())));
            lines.push(said.filter(|(_, cell)| !cell.is_empty()).collect());
        }
    }
    Ok(lines)
}

fn guess(line: &Line) -> Option<Provider> {
    let has = |name: &str| line.contains_key(name);
    let any = |part: &str| line.keys().any(|name| name.contains(part));
    if has("num_model_requests") || has("amount_value") || has("amount.value") || has("line_item") {
        return Some(Provider::Openai);
    }
    if has("usage_date_utc") || has("starting_at") || any("uncached_input") {
        return Some(Provider::Anthropic);
    }
    let aws = any("lineitem/") || any("line_item_usage") || any("metrics.");
    aws.then_some(Provider::Bedrock)
}

/// Adds what a line says.
fn add(bills: &mut Bills, provider: Provider, line: &Line) -> anyhow::Result<()> {
    let said = match provider {
        Provider::Openai => openai(line)?,
        Provider::Anthropic => anthropic(line)?,
        Provider::Bedrock => bedrock(line)?,
    };
    let Some((day, billed)) = said else {
        return Ok(());
    };
    let known = bills.entry((day, comparable(&billed.model))).or_default();
    if known.model.is_empty() {
        known.model.clone_from(&billed.model);
    }
    let sum = |a: Option<i64>, b: Option<i64>| match (a, b) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    known.requests = sum(known.requests, billed.requests);
    known.input = sum(known.input, billed.input);
    known.cached = sum(known.cached, billed.cached);
    known.output = sum(known.output, billed.output);
    known.cost = match (known.cost, billed.cost) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        (a, b) => a.or(b),
    };
    Ok(())
}

/// A day and what was billed on it; nothing for a line about something else.
type Said = Option<(NaiveDate, Billed)>;

fn openai(line: &Line) -> anyhow::Result<Said> {
    let day = day(line, &["start_time", "start_time_iso", "date"])?;
    let cost = match line
        .get("amount_value")
        .or_else(|| line.get("amount.value"))
    {
        Some(text) => Some(amount(text)?),
        None => None,
    };
    // `gpt-4o-2024-08-06, cached input` names the model first.
    let item = line
        .get("line_item")
        .and_then(|item| item.split(',').next());
    let model = line.get("model").map(String::as_str).or(item);
    let Some(model) = model.filter(|m| !m.trim().is_empty()) else {
        return Ok(None);
    };
    let billed = Billed {
        model: model.trim().to_owned(),
        requests: tokens(line, &["num_model_requests"])?,
        input: tokens(line, &["input_tokens"])?,
        cached: tokens(line, &["input_cached_tokens"])?,
        output: tokens(line, &["output_tokens"])?,
        cost,
    };
    Ok(Some((day, billed)))
}

fn anthropic(line: &Line) -> anyhow::Result<Said> {
    let day = day(line, &["starting_at", "usage_date_utc"])?;
    let model = line.get("model").or_else(|| line.get("model_version"));
    let Some(model) = model else {
        return Ok(None);
    };
    let uncached = tokens(
        line,
        &["uncached_input_tokens", "usage_input_tokens_no_cache"],
    )?;
    let cached = tokens(
        line,
        &["cache_read_input_tokens", "usage_input_tokens_cache_read"],
    )?;
    let short = tokens(
        line,
        &[
            "cache_creation.ephemeral_5m_input_tokens",
            "usage_input_tokens_cache_write_5m",
        ],
    )?;
    let long = tokens(
        line,
        &[
            "cache_creation.ephemeral_1h_input_tokens",
            "usage_input_tokens_cache_write_1h",
        ],
    )?;
    let kinds = [uncached, cached, short, long];
    let input = kinds.iter().flatten().copied().reduce(i64::saturating_add);
    // The report of the API is in cents, the file of the console in dollars.
    let cents = match line.get("amount") {
        Some(text) => Some(amount(text)? / 100),
        None => None,
    };
    let dollars = match line.get("cost_usd") {
        Some(text) => Some(amount(text)?),
        None => None,
    };
    let billed = Billed {
        model: model.clone(),
        requests: None,
        input,
        cached,
        output: tokens(line, &["output_tokens", "usage_output_tokens"])?,
        cost: dollars.or(cents),
    };
    Ok(Some((day, billed)))
}

fn bedrock(line: &Line) -> anyhow::Result<Said> {
    let find = |names: &[&str]| names.iter().find_map(|name| line.get(*name));
    let product = find(&["lineitem/productcode", "line_item_product_code"]);
    if product.is_some_and(|p| !p.to_lowercase().contains("bedrock")) {
        return Ok(None);
    }
    let kind = find(&["lineitem/usagetype", "line_item_usage_type", "keys.0"]);
    let Some((model, input)) = kind.and_then(|kind| usage_type(kind)) else {
        return Ok(None);
    };
    let day = day(
        line,
        &[
            "lineitem/usagestartdate",
            "line_item_usage_start_date",
            "timeperiod.start",
        ],
    )?;
    let cost = find(&[
        "lineitem/unblendedcost",
        "line_item_unblended_cost",
        "metrics.unblendedcost.amount",
    ]);
    let used = find(&[
        "lineitem/usageamount",
        "line_item_usage_amount",
        "metrics.usagequantity.amount",
    ]);
    // Usage is in thousands of tokens; the unit says where it is not.
    let unit = find(&["pricing/unit", "pricing_unit", "metrics.usagequantity.unit"]);
    let single = unit.is_some_and(|u| matches!(u.to_lowercase().as_str(), "tokens" | "token"));
    let million = unit.is_some_and(|u| u.to_lowercase().starts_with("1m"));
    let scale: i128 = match (single, million) {
        (true, _) => 1,
        (_, true) => 1_000_000,
        _ => 1_000,
    };
    let used = match used {
        Some(text) => Some(amount(text)?.saturating_mul(scale) / 10_i128.pow(12)),
        None => None,
    };
    let used = used.and_then(|n| i64::try_from(n).ok());
    let billed = Billed {
        model,
        requests: None,
        input: used.filter(|_| input),
        cached: None,
        output: used.filter(|_| !input),
        cost: cost.map(|text| amount(text)).transpose()?,
    };
    Ok(Some((day, billed)))
}

/// The model of `USE1-Claude3.5Sonnet-input-tokens`, and whether it is about input; nothing for
/// what is no use of tokens.
fn usage_type(text: &str) -> Option<(String, bool)> {
    let lower = text.to_lowercase();
    let at = ["-input", "-output", "-cache"]
        .iter()
        .filter_map(|word| lower.find(word))
        .min()?;
    let name = text.get(..at)?;
    let (region, model) = name.split_once('-').unwrap_or(("", name));
    let coded = region.len() <= 5
        && region
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let model = if coded { model } else { name };
    Some((model.to_owned(), !lower.contains("-output")))
}

fn day(line: &Line, names: &[&str]) -> anyhow::Result<NaiveDate> {
    let text = names.iter().find_map(|name| line.get(*name));
    let text = text.context("it names no day")?;
    if let Ok(seconds) = text.parse::<i64>() {
        let time = DateTime::from_timestamp(seconds, 0).context("its time is none")?;
        return Ok(time.date_naive());
    }
    let day = text
        .get(..10)
        .and_then(|day| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok());
    day.with_context(|| format!("`{}` is no day", text.chars().take(40).collect::<String>()))
}

fn tokens(line: &Line, names: &[&str]) -> anyhow::Result<Option<i64>> {
    let Some(text) = names.iter().find_map(|name| line.get(*name)) else {
        return Ok(None);
    };
    let whole = amount(text)? / 10_i128.pow(12);
    Ok(Some(i64::try_from(whole).context("too many tokens")?))
}

fn amount(text: &str) -> anyhow::Result<i128> {
    match usd::parse(text) {
        Some(amount) => Ok(amount),
        None => bail!(
            "`{}` is no amount",
            text.chars().take(40).collect::<String>()
        ),
    }
}

#[cfg(test)]
mod tests;
