//! `weir prices`: what a model would cost, and which models have no price.

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};
use weir_model::{Clock as _, SystemClock, TenantId};
use weir_transforms::{Call, Enricher, Quote, QuotedRate};

use crate::app::{parts, prices};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::cli::place::{Place, time};
use crate::cli::query;
use crate::cli::remote::Remote;
use crate::config::setting::{Kind, Value as SettingValue};

/// What can be asked of prices.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// List the models that calls were made with and that have no price, most calls first.
    Unpriced(Unpriced),
    /// Print the entry and the rates by which a model's calls would be priced.
    Show(Box<Show>),
}

/// What `unpriced` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Unpriced {
    #[command(flatten)]
    remote: Remote,
    /// Only calls since then: a time as `24h` or `7d` ago, a date, or an RFC 3339 time.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<i64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `show` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Show {
    /// The model, as it is sent.
    #[arg(value_name = "MODEL")]
    model: String,
    /// The provider, as it is sent.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The address of the server, where it tells the provider.
    #[arg(long, value_name = "HOST")]
    server: Option<String>,
    /// When the call begins: as for `--since` [default: now].
    #[arg(long, value_name = "TIME", value_parser = since)]
    at: Option<i64>,
    /// Whose prices.
    #[arg(long, value_name = "TENANT", default_value = "local")]
    tenant: String,
    /// The service tier, as `flex` or `priority`.
    #[arg(long, value_name = "TIER")]
    service_tier: Option<String>,
    /// A batch call.
    #[arg(long)]
    batch: bool,
    #[command(flatten)]
    place: Place,
}

/// Microseconds since 1970 of a time that is given in one of three ways.
fn since(text: &str) -> Result<i64, String> {
    if let Ok(SettingValue::Span(ago)) = Kind::Span.read(text) {
        let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        return Ok(SystemClock.now_us().saturating_sub(ago));
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight = date.map(|d| d.and_time(NaiveTime::MIN).and_utc());
    let time = midnight.or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()));
    time.map(|t: DateTime<Utc>| t.timestamp_micros())
        .ok_or_else(|| {
            "`24h`, `7d`, a date as `2026-01-31` or a time as `2026-01-31T12:00:00Z` is wanted"
                .to_owned()
        })
}

/// Runs it; exit code 1 where a model has no price.
pub(crate) async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Unpriced(args) => unpriced(&args).await,
        Command::Show(args) => show(&args),
    }
}

async fn unpriced(args: &Unpriced) -> anyhow::Result<Exit> {
    let client = args.remote.client()?;
    let sql = statement(args.since);
    if args.json {
        let (body, _) = query::ask(&client, &sql, "json").await?;
        out::line(String::from_utf8_lossy(&body).trim_end())?;
        return Ok(Exit::OK);
    }
    let (rows, cut) = query::rows(&client, &sql).await?;
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        out::line("every call has a price")?;
        return Ok(Exit::OK);
    }
    out::line(&query::table(&rows)?)?;
    if cut {
        out::complain("weir: the answer was cut at a limit; narrow it with --since");
    }
    Ok(Exit::OK)
}

/// Calls that have usage and no computed cost, each sent span once. The time is ours, so it can
/// stand in the statement.
fn statement(since_us: Option<i64>) -> String {
    let since = since_us.and_then(DateTime::from_timestamp_micros);
    let since = since.map_or_else(String::new, |t| {
        let t = t.format("%Y-%m-%dT%H:%M:%S%.6fZ");
        format!(" AND start_time >= TIMESTAMP '{t}'")
    });
    format!(
        "SELECT provider, model, count(*) AS calls, \
         sum(coalesce(usage_input_tokens, 0) + coalesce(usage_output_tokens, 0)) AS tokens, \
         count(cost_reported_usd) AS calls_with_a_reported_cost, \
         min(start_time) AS first_call, max(start_time) AS last_call \
         FROM spans_distinct WHERE cost_status IN ('unpriced', 'reported') \
         AND cost_computed_usd IS NULL \
         AND (usage_input_tokens IS NOT NULL OR usage_output_tokens IS NOT NULL){since} \
         GROUP BY provider, model ORDER BY calls DESC, tokens DESC, provider, model"
    )
}

fn show(args: &Show) -> anyhow::Result<Exit> {
    let config = args.place.config()?;
    let tenant = TenantId::new(&args.tenant)?;
    let tariff = prices::tariff_of(&config, &tenant)?;
    let enricher = Enricher::new(&parts::additions(&config)?, std::sync::Arc::clone(&tariff))
        .context("the attribute mapping cannot be used")?;
    let provider = args.provider.as_deref().and_then(|p| enricher.provider(p));
    let call = Call {
        provider: provider.as_deref(),
        server: args.server.as_deref(),
        models: [Some(&args.model), None],
        start_us: args.at.unwrap_or_else(|| SystemClock.now_us()),
        tier: args.service_tier.as_deref(),
        batch: args.batch,
        ..Call::default()
    };
    let quote = tariff.quote(&call);
    if args.place.json() {
        out::line(&as_json(&call, quote.as_ref()).to_string())?;
    } else if let Some(quote) = &quote {
        out::bytes(text(&call, quote).as_bytes())?;
    } else {
        out::complain(&format!(
            "weir: `{}` has no price; `prices.file` can give it one (docs/prices.md)",
            args.model
        ));
    }
    Ok(if quote.is_some() {
        Exit::OK
    } else {
        Exit::FAILURE
    })
}

/// What a unit is counted in, and its name without that.
fn unit(rate: &QuotedRate) -> (&str, &'static str) {
    let mtok = rate.unit.strip_suffix("_mtok");
    match mtok {
        Some(name) => (name, "million tokens"),
        None => {
            let name = rate.unit.strip_suffix("_kcount");
            (name.unwrap_or(rate.unit), "thousand")
        }
    }
}

fn text(call: &Call<'_>, quote: &Quote) -> String {
    let mut out = format!("entry  {}\n", quote.reference);
    out.push_str(&format!("at     {}\n", time(call.start_us)));
    if let Some(factor) = &quote.factor {
        out.push_str(&format!("times  {factor}\n"));
    }
    for rate in &quote.rates {
        let (name, count) = unit(rate);
        out.push_str(&format!("\n{name:<16} {} USD per {count}", rate.base));
        for (start, price) in &rate.tiers {
            let above = "";
            out.push_str(&format!(
                "\n{above:<16} {price} USD where the whole input is above {start} tokens"
            ));
        }
    }
    out.push('\n');
    out
}

fn as_json(call: &Call<'_>, quote: Option<&Quote>) -> Value {
    let rates = |quote: &Quote| -> Vec<Value> {
        let tier = |(start, price): &(i64, String)| json!({ "above": start, "usd": price });
        let rates = quote.rates.iter().map(|rate| {
            let (name, per) = unit(rate);
            let tiers: Vec<Value> = rate.tiers.iter().map(tier).collect();
            json!({ "unit": name, "per": per, "usd": rate.base, "tiers": tiers })
        });
        rates.collect()
    };
    json!({
        "at": time(call.start_us),
        "provider": call.provider,
        "price_ref": quote.map(|q| &*q.reference),
        "factor": quote.and_then(|q| q.factor.as_ref()),
        "rates": quote.map(rates),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::rig::Rig;
    use weir_transforms::Tariff;

    #[test]
    fn a_time_is_given_in_three_ways() {
        assert_eq!(since("2026-01-31").unwrap(), 1_769_817_600_000_000);
        assert_eq!(
            since("2026-01-31T00:00:01Z").unwrap(),
            1_769_817_601_000_000
        );
        assert!(since("24h").unwrap() < SystemClock.now_us());
        assert!(since("yesterday").is_err());
    }

    #[test]
    fn the_rates_are_shown_with_their_tiers() {
        let tariff = Tariff::standard().unwrap();
        let call = Call {
            provider: Some("anthropic"),
            models: [Some("claude-sonnet-4-5"), None],
            start_us: 1_795_208_519_000_000,
            ..Call::default()
        };
        let shown = text(&call, &tariff.quote(&call).unwrap());
        assert!(shown.contains(":anthropic/claude-sonnet-4-5\n"), "{shown}");
        assert!(
            shown.contains("\ninput            3 USD per million tokens"),
            "{shown}"
        );
        assert!(
            shown.contains("6 USD where the whole input is above 200000"),
            "{shown}"
        );
        let json = as_json(&call, tariff.quote(&call).as_ref());
        assert_eq!(json["rates"][0]["tiers"][0]["above"], 200_000);
    }

    /// Over the real engine: the statement is one that it takes, and says what it should.
    #[tokio::test]
    async fn what_has_no_price_is_listed_by_calls_and_tokens() {
        let rig = Rig::start().await;
        let span = |id: u8, model: &str, input: u32| {
            let attribute = |key: &str, value: Value| json!({ "key": key, "value": value });
            json!({
                "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"), "name": "chat",
                "startTimeUnixNano": "1795208519000000000", "endTimeUnixNano": "1795208520000000000",
                "attributes": [
                    attribute("gen_ai.operation.name", json!({ "stringValue": "chat" })),
                    attribute("gen_ai.provider.name", json!({ "stringValue": "vllm" })),
                    attribute("gen_ai.request.model", json!({ "stringValue": model })),
                    attribute("gen_ai.usage.input_tokens", json!({ "intValue": input })),
                ],
            })
        };
        let spans = json!([
            span(1, "own-7b", 10),
            span(2, "own-7b", 5),
            span(3, "gpt-4o", 7),
            span(4, "own-70b", 3)
        ]);
        let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
        let reply = rig
            .post("/v1/traces", "application/json", body.to_string())
            .await;
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        let rows = rig.sql(&statement(Some(1_795_208_000_000_000))).await;
        let shown: Vec<_> = rows
            .iter()
            .map(|r| (r[1].as_str().unwrap(), r[2].as_i64(), r[3].as_i64()))
            .collect();
        assert_eq!(
            shown,
            [("own-7b", Some(2), Some(15)), ("own-70b", Some(1), Some(3))]
        );
        assert!(
            rig.sql(&statement(Some(1_895_208_000_000_000)))
                .await
                .is_empty()
        );
        rig.app.stop().await.unwrap();
    }
}
