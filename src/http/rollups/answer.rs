//! What a rollup shows of its groups.

use serde_json::{Map, Value, json};
use weir_model::TenantId;
use weir_queries::{Dimension, Rollup, RollupSums};

use super::page::Place;
use super::question::Asked;
use crate::app::Node;
use crate::app::budgets::{CommitmentState, State};
use crate::http::query::Format;
use crate::http::refusal::Refusal;
use crate::usd;

/// What stands beside the groups of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Its budgets.
    pub(crate) budgets: Vec<State>,
    /// What it has committed to spend.
    pub(crate) commitments: Vec<CommitmentState>,
}

impl Beside {
    /// What stands beside answers to `tenant`.
    pub(crate) fn of(node: &Node, tenant: &TenantId) -> Self {
        Self {
            budgets: node.budgets.of(tenant),
            commitments: node.budgets.commitments_of(tenant),
        }
    }
}

/// The groups that an answer shows.
#[derive(Debug)]
pub(crate) struct Shown {
    /// In the order of the answer.
    pub(crate) rows: Vec<RollupSums>,
    /// How many there are on all pages.
    groups: usize,
    /// All that `top` has left out, together.
    rest: Option<RollupSums>,
    next: Option<Place>,
}

impl Shown {
    /// Chooses what is shown.
    ///
    /// # Errors
    ///
    /// 400 where the cursor is of another question.
    pub(crate) fn of(rollup: &Rollup, asked: &Asked) -> Result<Self, Refusal> {
        let mut rows = rollup.rows.clone();
        let mut rest = None;
        if let Some(top) = asked.top {
            let mut by_cost = rows;
            by_cost.sort_by_key(|row| std::cmp::Reverse(row.usd("cost_usd")));
            let left_out = by_cost.split_off(top.min(by_cost.len()));
            if !left_out.is_empty() {
                let mut sum = RollupSums::default();
                left_out.iter().for_each(|row| sum.add(row));
                rest = Some(sum);
            }
            rows = by_cost;
            rows.sort_by(|a, b| rollup.compare(a, b));
        }
        let groups = rows.len();
        // Files are read whole; only the object for programs comes in pages.
        if asked.format != Format::Json {
            return Ok(Self {
                rows,
                groups,
                rest,
                next: None,
            });
        }
        if let Some(after) = &asked.after {
            rows.retain(|row| after.is_before(rollup, row));
        }
        let more = rows.len() > asked.limit;
        rows.truncate(asked.limit);
        let next = rows.last().filter(|_| more).map(Place::after);
        Ok(Self {
            rows,
            groups,
            rest,
            next,
        })
    }

    /// The object that says it all.
    pub(crate) fn json(&self, rollup: &Rollup, asked: &Asked, beside: &Beside) -> Value {
        let names: Vec<&str> = rollup.by.iter().map(|d| d.name()).collect();
        let rows: Vec<Value> = self.rows.iter().map(|r| group(&rollup.by, r)).collect();
        let others = rollup.other_sources.iter().map(|(source, sums)| {
            let mut fields = Map::new();
            fields.insert("source".into(), source.as_str().into());
            put_sums(&mut fields, sums);
            Value::Object(fields)
        });
        json!({
            "basis": rollup.totals.basis().word(),
            "currency": "USD",
            "since": asked.question.since_us.and_then(spell),
            "until": asked.question.until_us.and_then(spell),
            "by": names,
            "groups": self.groups,
            "rows": rows,
            "rest": self.rest.as_ref().map(sums_of),
            "totals": sums_of(&rollup.totals),
            "other_sources": others.collect::<Vec<_>>(),
            "budgets": beside.budgets.iter().map(State::json).collect::<Vec<_>>(),
            "commitments": beside.commitments.iter().map(CommitmentState::json).collect::<Vec<_>>(),
            "next_cursor": self.next.as_ref().map(Place::cursor),
        })
    }
}

fn group(by: &[Dimension], row: &RollupSums) -> Value {
    let mut fields = Map::new();
    for (dimension, key) in by.iter().zip(&row.keys) {
        fields.insert(dimension.name().into(), key.as_str().into());
    }
    put_sums(&mut fields, row);
    Value::Object(fields)
}

/// The sums of a group alone.
pub(crate) fn sums_of(row: &RollupSums) -> Value {
    let mut fields = Map::new();
    put_sums(&mut fields, row);
    Value::Object(fields)
}

fn put_sums(fields: &mut Map<String, Value>, row: &RollupSums) {
    let mut put = |name: &str, value: Value| {
        fields.insert(name.into(), value);
    };
    put("calls", row.count("calls").into());
    put("errors", row.count("errors").into());
    for kind in [
        "input",
        "output",
        "cache_read",
        "cache_write",
        "cache_write_1h",
        "reasoning",
    ] {
        let tokens = row.tokens(&format!("usage_{kind}_tokens"));
        put(&format!("{kind}_tokens"), tokens.into());
    }
    for name in ["cost_usd", "cost_reported_usd", "cost_computed_usd"] {
        put(name, row.usd(name).map(usd::text).into());
    }
    put("unpriced_calls", row.count("unpriced_calls").into());
    put("disagreeing_calls", row.count("disagreeing_calls").into());
    put("unattributed_calls", row.count("unattributed_calls").into());
    put("unattributed_share", row.unattributed_share().into());
    put("basis", row.basis().word().into());
    let latency = |q| row.latency().quantile_ms(q);
    put(
        "latency_ms",
        json!({ "p50": latency(0.5), "p95": latency(0.95), "p99": latency(0.99) }),
    );
}

/// A time for people.
pub(crate) fn spell(us: i64) -> Option<String> {
    let time = chrono::DateTime::from_timestamp_micros(us)?;
    Some(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}
