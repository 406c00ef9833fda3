//! `GET /v1/observability/costs` and `.../forecast`: cost as the senders' product reads it, from the
//! ledger. Amounts are JSON numbers there, so they are the nearest doubles of exact sums.

mod tags;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use chrono::DateTime;
use serde_json::{Map, Value, json};
use weir_model::TenantId;
use weir_queries::{Dimension, Reconciled, Rollup, RollupQuestion, RollupSums};

use crate::app::budgets::{CommitmentState, Period, Standing, State as BudgetState};
use crate::app::{Node, reconciled};
use crate::http::refusal::Refusal;
use crate::http::rollups::question::{bad, count, parameters, time};
use crate::http::rollups::{admitted, ask, counted, tagged};
use crate::usd;
use tags::Tag;

const DAY_US: i64 = 86_400_000_000;
/// The most groups of a list, and how many where nothing is said.
const LIMIT_MAX: usize = 10_000;

/// The lists of the answer: their name, what they group by, and what stands for "not said".
const LISTS: [(&str, Dimension, &str); 5] = [
    ("by_agent", Dimension::Agent, "unknown"),
    ("by_model", Dimension::Model, "unknown"),
    ("by_provider", Dimension::Provider, "unknown"),
    ("by_cost_center", Dimension::CostCenter, "unallocated"),
    ("by_owner", Dimension::User, "unattributed"),
];

/// What was asked.
#[derive(Debug, Default)]
struct Asked {
    since_us: Option<i64>,
    until_us: Option<i64>,
    only: Vec<(Dimension, String)>,
    tag: Option<Tag>,
    limit: usize,
    reconciled: Vec<Reconciled>,
}

impl Asked {
    fn read(head: &Parts, now_us: i64) -> Result<Self, Refusal> {
        let mut asked = Self {
            limit: LIMIT_MAX,
            ..Self::default()
        };
        for (name, value) in parameters(&head.uri)? {
            match name.as_str() {
                "agent" => asked.only.push((Dimension::Agent, value)),
                "cost_center" => asked.only.push((Dimension::CostCenter, value)),
                "since" => asked.since_us = time(&value, now_us, "since")?,
                "until" => asked.until_us = time(&value, now_us, "until")?,
                "limit" => asked.limit = count(&value, "limit", LIMIT_MAX)?,
                "tag" => asked.tag = Some(Tag::read(value)?),
                _ => {
                    let text = "the parameters are agent, cost_center, tag, since, until and limit";
                    return Err(bad(text));
                }
            }
        }
        Ok(asked)
    }

    fn question(&self, by: Vec<Dimension>) -> RollupQuestion {
        RollupQuestion {
            since_us: self.since_us,
            until_us: self.until_us,
            by,
            only: self.only.clone(),
            reconciled: self.reconciled.clone(),
        }
    }
}

/// Answers with the costs.
pub(crate) async fn costs(State(node): State<Arc<Node>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answered = Box::pin(all(&node, &head)).await;
    counted(&node, answered)
}

/// Answers with the forecast alone.
pub(crate) async fn forecast(State(node): State<Arc<Node>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answered = Box::pin(forecast_alone(&node, &head)).await;
    counted(&node, answered)
}

async fn all(node: &Node, head: &Parts) -> Result<Response, Refusal> {
    let (tenant, _slot) = admitted(node, &head.headers)?;
    let now_us = node.intake.clock.now_us();
    let mut asked = Asked::read(head, now_us)?;
    asked.reconciled = reconciled::covered(node, &tenant);
    let mut by: Vec<Dimension> = LISTS.iter().map(|(_, d, _)| *d).collect();
    by.extend(asked.tag.as_ref().and_then(Tag::dimension));
    // One question for all lists, so that they tell of one moment.
    let rollup = ask(node, &tenant, &asked.question(by)).await?;
    let ahead = Forecast::of(node, &tenant, &asked, (&rollup, now_us)).await?;
    let mut fields = Map::new();
    let totals = &rollup.totals;
    fields.insert("total_cost_usd".into(), cost(totals));
    fields.insert("total_calls".into(), totals.count("calls").into());
    let tokens = |name| Value::from(totals.count(name));
    fields.insert("total_input_tokens".into(), tokens("usage_input_tokens"));
    fields.insert("total_output_tokens".into(), tokens("usage_output_tokens"));
    fields.insert("unpriced_calls".into(), tokens("unpriced_calls"));
    for (at, (name, dimension, unknown)) in LISTS.into_iter().enumerate() {
        let groups = grouped(&rollup, at, (dimension, unknown), asked.limit);
        fields.insert(name.into(), groups);
    }
    if let Some(tag) = &asked.tag {
        let groups = match tag.dimension() {
            Some(dimension) => {
                let of = (dimension, "unallocated");
                grouped(&rollup, LISTS.len(), of, asked.limit)
            }
            None => Box::pin(tags::grouped(node, &tenant, &asked, (tag, totals))).await?,
        };
        let tags = json!({
            "tag_key": tag.name(), "total_cost_usd": cost(totals), "by_tag": groups,
        });
        fields.insert("tag_rollup".into(), tags);
    }
    fields.insert("basis".into(), totals.basis().word().into());
    let commitments = node.budgets.commitments_of(&tenant);
    let commitments: Vec<Value> = commitments.iter().map(CommitmentState::json).collect();
    fields.insert("commitments".into(), commitments.into());
    fields.insert("budget".into(), ahead.budget());
    fields.insert("forecast".into(), ahead.json(&asked));
    fields.insert("schema_version".into(), "observability.costs.v1".into());
    fields.insert("tenant_id".into(), tenant.as_str().into());
    // Each booking names the list that it was priced by, so there is no one date.
    fields.insert("price_model_captured".into(), Value::Null);
    let body = Value::Object(fields).to_string().into_bytes();
    Ok(tagged(&head.headers, "application/json", body))
}

async fn forecast_alone(node: &Node, head: &Parts) -> Result<Response, Refusal> {
    let (tenant, _slot) = admitted(node, &head.headers)?;
    let now_us = node.intake.clock.now_us();
    let asked = Asked::read(head, now_us)?;
    let rollup = ask(node, &tenant, &asked.question(Vec::new())).await?;
    let ahead = Forecast::of(node, &tenant, &asked, (&rollup, now_us)).await?;
    let mut body = ahead.json(&asked);
    if let Some(fields) = body.as_object_mut() {
        fields.insert("tenant_id".into(), tenant.as_str().into());
    }
    let body = body.to_string().into_bytes();
    Ok(tagged(&head.headers, "application/json", body))
}

/// The sum of what is known; 0 where nothing is, as this contract has it, with the calls without a
/// cost beside it.
fn cost(sums: &RollupSums) -> Value {
    usd::number(sums.known_usd("cost_usd"))
}

/// The groups by the key at `at`, the most expensive first.
fn grouped(rollup: &Rollup, at: usize, of: (Dimension, &str), limit: usize) -> Value {
    let (dimension, unknown) = of;
    let mut groups: BTreeMap<&str, RollupSums> = BTreeMap::new();
    for row in &rollup.rows {
        let key = row.keys.get(at).map_or(unknown, String::as_str);
        let key = if key == dimension.unknown() {
            unknown
        } else {
            key
        };
        groups.entry(key).or_default().add(row);
    }
    let mut groups: Vec<(&str, RollupSums)> = groups.into_iter().collect();
    groups.sort_by(|a, b| {
        let (cost_a, cost_b) = (a.1.known_usd("cost_usd"), b.1.known_usd("cost_usd"));
        cost_b.cmp(&cost_a).then_with(|| a.0.cmp(b.0))
    });
    let shown = groups.iter().take(limit).map(|(key, sums)| {
        let sum = |name| sums.count(name);
        Group {
            key,
            calls: sum("calls"),
            input_tokens: sum("usage_input_tokens"),
            output_tokens: sum("usage_output_tokens"),
            cost: sums.known_usd("cost_usd"),
            unpriced_calls: sum("unpriced_calls"),
        }
        .json()
    });
    Value::Array(shown.collect())
}

/// A group as this contract has it.
struct Group<'a> {
    key: &'a str,
    calls: i64,
    input_tokens: i64,
    output_tokens: i64,
    /// In 10^-12 US dollars.
    cost: i128,
    unpriced_calls: i64,
}

impl Group<'_> {
    fn json(&self) -> Value {
        json!({
            "key": self.key,
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": usd::number(self.cost),
            "unpriced_calls": self.unpriced_calls,
        })
    }
}

/// What the calendar month will have cost at its end.
#[derive(Debug)]
struct Forecast {
    now_us: i64,
    /// Of the answer that it stands beside.
    spend: i128,
    /// Of this month until now.
    of_month: i128,
    /// Of the last 24 hours; `None` where nothing was called in them.
    of_day: Option<i128>,
    period: (i64, i64),
    /// The budget for the month of just what was asked for, if there is one.
    state: Option<BudgetState>,
}

impl Forecast {
    async fn of(
        node: &Node,
        tenant: &TenantId,
        asked: &Asked,
        (rollup, now_us): (&Rollup, i64),
    ) -> Result<Self, Refusal> {
        let (start, end) = Period::Month.around(now_us).ok_or_else(Refusal::internal)?;
        let since = |since_us: i64| RollupQuestion {
            since_us: Some(since_us),
            until_us: Some(now_us),
            ..asked.question(Vec::new())
        };
        let day = ask(node, tenant, &since(now_us - DAY_US)).await?.totals;
        let month = ask(node, tenant, &since(start)).await?.totals;
        Ok(Self {
            now_us,
            spend: rollup.totals.known_usd("cost_usd"),
            of_month: month.known_usd("cost_usd"),
            of_day: (day.count("calls") > 0).then(|| day.known_usd("cost_usd")),
            period: (start, end),
            state: budget_for(node, tenant, asked),
        })
    }

    fn budget(&self) -> Value {
        let Some(state) = &self.state else {
            return json!({
                "configured": false,
                "limit_usd": null,
                "spend_usd": usd::number(self.spend),
                "remaining_usd": null,
                "exceeded": false,
                "utilization": null,
            });
        };
        json!({
            "configured": true,
            "limit_usd": usd::number(state.budget.limit),
            "spend_usd": usd::number(state.spend),
            "remaining_usd": usd::number(state.remaining()),
            "exceeded": state.standing == Standing::Exceeded,
            "utilization": state.used(),
        })
    }

    /// When the budget is used up at the rate of the last 24 hours, if that is within its month.
    fn exhausted_at(&self) -> Option<i64> {
        let state = self.state.as_ref()?;
        let rate = self.of_day.filter(|rate| *rate > 0)?;
        let left = state.remaining().max(0);
        let wait = left.checked_mul(DAY_US.into())?.checked_div(rate)?;
        let at = self.now_us.checked_add(i64::try_from(wait).ok()?)?;
        (at < self.period.1).then_some(at)
    }

    /// Spent until now, and the rate of the last 24 hours for what is left of the month.
    fn projected(&self) -> Option<i128> {
        let left = i128::from(self.period.1 - self.now_us);
        let ahead = self.of_day?.checked_mul(left)? / i128::from(DAY_US);
        self.of_month.checked_add(ahead)
    }

    fn json(&self, asked: &Asked) -> Value {
        let agent = asked.only.iter().find(|(d, _)| *d == Dimension::Agent);
        let known = self.of_day.is_some();
        let when = |us: i64| known.then(|| rfc3339(us)).flatten();
        json!({
            "schema_version": "observability.cost_forecast.v1",
            "agent": agent.map(|(_, name)| name),
            // To the minute, so that an answer that says nothing new has the tag of the last one.
            "now": rfc3339(self.now_us - self.now_us.rem_euclid(60_000_000)),
            "current_spend_usd": usd::number(self.spend),
            "budget_limit_usd": self.state.as_ref().map(|s| usd::number(s.budget.limit)),
            "burn_rate_usd_per_day": self.of_day.map(usd::number),
            "burn_rate_basis": known.then_some("trailing_24h"),
            "projected_period_spend_usd": self.projected().map(usd::number),
            "period_start": when(self.period.0),
            "period_end": when(self.period.1),
            "days_remaining": self.exhausted_at().map(|at| (at - self.now_us) / DAY_US),
            "projected_exhaustion_at": self.exhausted_at().and_then(|at| rfc3339(at - at.rem_euclid(60_000_000))),
            "status": match &self.state {
                Some(state) => state.standing.word(),
                None if known => "no_budget",
                None => "insufficient_history",
            },
        })
    }
}

/// The budget for a month of the tenant, or of the one agent or cost centre that was asked for.
fn budget_for(node: &Node, tenant: &TenantId, asked: &Asked) -> Option<BudgetState> {
    let mut all = node.budgets.of(tenant).into_iter();
    all.find(|state| {
        let budget = &state.budget;
        let of = budget.scope.zip(budget.name.as_deref());
        let same = match asked.only.as_slice() {
            [] => of.is_none(),
            [(dimension, name)] => of == Some((*dimension, name.as_str())),
            _ => false,
        };
        same && budget.period == Period::Month
    })
}

fn rfc3339(us: i64) -> Option<String> {
    let time = DateTime::from_timestamp_micros(us)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false))
}
