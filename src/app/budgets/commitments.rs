//! How much of what was committed to spend is used.

use serde_json::{Value, json};
use weir_model::TenantId;
use weir_queries::{Dimension, QueryError, RollupQuestion};
use weir_transforms::Committed;

use super::{DAY_US, floor_hour};
use crate::app::Node;
use crate::http::rollups::answer::spell;
use crate::usd;

/// A commitment as it stands; amounts in 10^-12 US dollars, times in microseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
    amount: i128,
    used: i128,
    /// At the rate of the last 24 hours, at its end.
    forecast: i128,
    period: (i64, i64),
    word: &'static str,
}

impl State {
    fn of(
        tenant: &TenantId,
        committed: &Committed,
        (used, of_day): (i128, i128),
        now_us: i64,
    ) -> Option<Self> {
        let (from, until) = committed.period_us();
        let ahead = i128::from((until - floor_hour(now_us).max(from)).max(0));
        let ahead = of_day.max(0).checked_mul(ahead)? / i128::from(DAY_US);
        let amount = committed.amount();
        let word = if now_us < from {
            "upcoming"
        } else if used >= amount {
            "used_up"
        } else if now_us < until {
            "open"
        } else {
            "ended"
        };
        Some(Self {
            tenant: tenant.clone(),
            name: committed.name().to_owned(),
            amount,
            used,
            forecast: used.checked_add(ahead)?,
            period: (from, until),
            word,
        })
    }

    /// The share that is used; a ratio for people and gauges, not an amount.
    pub(crate) fn used(&self) -> f64 {
        self.used as f64 / self.amount as f64
    }

    /// As answers show it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "period_start": spell(self.period.0),
            "period_end": spell(self.period.1),
            "amount_usd": usd::text(self.amount),
            "used_usd": usd::text(self.used),
            "remaining_usd": usd::text((self.amount - self.used).max(0)),
            "forecast_usd": usd::text(self.forecast),
            "used": self.used(),
            "state": self.word,
        })
    }
}

/// How all commitments stand now; one that cannot be summed up stands as in `last`.
pub(super) async fn sum_up(node: &Node, last: &[State]) -> Vec<State> {
    let mut states = Vec::new();
    for (tenant, tariff) in node.prices.own_tariffs() {
        for committed in tariff.commitments() {
            match Box::pin(one(node, &tenant, committed)).await {
                Ok(state) => states.extend(state),
                Err(error) => {
                    tracing::debug!(error = %error, "budgets.unknown");
                    let same = |s: &&State| s.tenant == tenant && s.name == committed.name();
                    states.extend(last.iter().find(same).cloned());
                }
            }
        }
    }
    states
}

async fn one(
    node: &Node,
    tenant: &TenantId,
    committed: &Committed,
) -> Result<Option<State>, QueryError> {
    let now_us = node.intake.clock.now_us();
    let (from, until) = committed.period_us();
    let hour = floor_hour(now_us);
    // Of what is still to come there is nothing to ask, but for clocks that are ahead.
    let used = cost(node, tenant, committed, (from, until.min(now_us + DAY_US))).await?;
    let day = ((hour - DAY_US).max(from), hour.min(until));
    let of_day = cost(node, tenant, committed, day).await?;
    Ok(State::of(tenant, committed, (used, of_day), now_us))
}

/// What the calls cost that use it up, of some time.
async fn cost(
    node: &Node,
    tenant: &TenantId,
    committed: &Committed,
    (since_us, until_us): (i64, i64),
) -> Result<i128, QueryError> {
    if since_us >= until_us {
        return Ok(0);
    }
    let question = RollupQuestion {
        since_us: Some(since_us),
        until_us: Some(until_us),
        by: vec![Dimension::Provider, Dimension::Model],
        ..RollupQuestion::default()
    };
    let rollup = node.engine.rollup(tenant, &question).await?;
    let theirs = rollup.rows.iter().filter(|row| {
        let key = |at| row.keys.get(at).map_or("", String::as_str);
        committed.is_used_by(key(0), key(1))
    });
    Ok(theirs.map(|row| row.known_usd("cost_usd")).sum())
}
