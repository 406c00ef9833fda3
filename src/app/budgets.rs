//! Budgets: how much of one is spent, what is left, and where it will end.
//!
//! They stand in one file of the operator (`budgets.file`), the same for all nodes, which is read
//! again when it changes, and in the state, where administrators of tenants set them over HTTP. Where
//! both have one for the same thing, the file's holds:
//!
//! ```json
//! { "webhook": "https://hooks.example/weir",
//!   "budgets": [
//!     { "tenant": "acme", "scope": "tenant", "limit_usd": "5000" },
//!     { "tenant": "acme", "scope": "skill", "name": "pdf", "limit_usd": "20.50", "period": "day" } ] }
//! ```
//!
//! Once a minute the node sums up what each has spent in its calendar day or month, UTC, and what
//! is used of commitments; a budget that is new within a second or two. What that gives stands in rollup answers and metrics; a change of state is posted to the webhook, again
//! and again until it is taken, so that it comes at least once.

mod commitments;
mod file;
mod webhook;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use weir_model::TenantId;
use weir_queries::{Dimension, QueryError, RollupQuestion};
use weir_store::{Note, NoteKind};

use crate::app::Node;
use crate::http::rollups::answer::spell;
use crate::usd;

pub(crate) use commitments::State as CommitmentState;
pub(crate) use file::{Budget, BudgetFile, Origin, Period, WrittenBudget};

/// How often budgets are summed up.
const EVERY: Duration = Duration::from_secs(60);
/// How often it is looked for budgets that are new.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// At the rate of the last 24 hours it lasts.
    OnTrack,
    /// At the rate of the last 24 hours it will not last.
    AtRisk,
    /// More is spent than it allows.
    Exceeded,
}

impl Standing {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::OnTrack, Self::AtRisk, Self::Exceeded];

    /// Its word in answers, metrics and calls of the webhook.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::OnTrack => "on_track",
            Self::AtRisk => "at_risk",
            Self::Exceeded => "exceeded",
        }
    }
}

/// A budget as it stands; amounts in 10^-12 US dollars, times in microseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) budget: Arc<Budget>,
    pub(crate) spend: i128,
    /// At the rate of the last 24 hours, at the end of the period.
    pub(crate) forecast: i128,
    pub(crate) period: (i64, i64),
    pub(crate) standing: Standing,
}

impl State {
    /// How a budget stands after `spend` in its period, of which `of_day` is the rate: what the 24
    /// hours before the current one have cost.
    fn of(budget: &Arc<Budget>, spend: i128, of_day: i128, now_us: i64) -> Option<Self> {
        let period = budget.period.around(now_us)?;
        let left = period.1 - floor_hour(now_us);
        let ahead = of_day.checked_mul(left.into())? / i128::from(DAY_US);
        let forecast = spend.checked_add(ahead.max(0))?;
        let limit = budget.limit;
        let standing = match (spend > limit, forecast > limit) {
            (true, _) => Standing::Exceeded,
            (false, true) => Standing::AtRisk,
            (false, false) => Standing::OnTrack,
        };
        Some(Self {
            budget: Arc::clone(budget),
            spend,
            forecast,
            period,
            standing,
        })
    }

    /// What is left; below 0 where it is exceeded.
    pub(crate) fn remaining(&self) -> i128 {
        self.budget.limit - self.spend
    }

    /// The share that is spent; a ratio for people and gauges, not an amount.
    pub(crate) fn used(&self) -> f64 {
        self.spend as f64 / self.budget.limit as f64
    }

    /// As answers show it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "scope": self.budget.scope_name(),
            "name": self.budget.name,
            "period": self.budget.period.word(),
            "period_start": spell(self.period.0),
            "period_end": spell(self.period.1),
            "limit_usd": usd::text(self.budget.limit),
            "spend_usd": usd::text(self.spend),
            "remaining_usd": usd::text(self.remaining()),
            "forecast_usd": usd::text(self.forecast),
            "used": self.used(),
            "state": self.standing.word(),
        })
    }
}

fn floor_hour(us: i64) -> i64 {
    us - us.rem_euclid(HOUR_US)
}

/// The budgets of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    path: Option<PathBuf>,
    known: RwLock<Known>,
    told: Mutex<webhook::Told>,
}

#[derive(Debug, Default)]
struct Known {
    modified: Option<SystemTime>,
    webhook: Option<String>,
    /// Those of the file.
    of_file: Vec<Arc<Budget>>,
    /// Those that hold, wherever they were set.
    budgets: Vec<Arc<Budget>>,
    states: Vec<State>,
    commitments: Vec<CommitmentState>,
}

impl Known {
    /// Takes over what was set over HTTP, as it is now.
    fn take(&mut self, notes: &[Note]) {
        let mut budgets = self.of_file.clone();
        for budget in notes.iter().filter_map(Budget::of_note) {
            if !budgets.iter().any(|known| known.is_for_what(&budget)) {
                budgets.push(Arc::new(budget));
            }
        }
        self.states.retain(|s| budgets.contains(&s.budget));
        self.budgets = budgets;
    }
}

impl Budgets {
    /// Reads the file at `path`; an empty path is no budgets.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is not one of budgets.
    pub(crate) fn open(path: &str) -> anyhow::Result<Self> {
        let budgets = Self {
            path: (!path.is_empty()).then(|| path.into()),
            ..Self::default()
        };
        budgets.reload()?;
        Ok(budgets)
    }

    /// Reads the file again where it has changed.
    fn reload(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let modified = std::fs::metadata(path).and_then(|m| m.modified()).ok();
        if modified.is_some() && self.known.read().modified == modified {
            return Ok(());
        }
        let file = BudgetFile::read(path)?;
        let mut known = self.known.write();
        known.modified = modified;
        known.webhook = file.webhook;
        known.of_file = file.budgets.into_iter().map(Arc::new).collect();
        Ok(())
    }

    /// The budgets of `tenant` that hold, each with how it stood when it was last summed up.
    pub(crate) fn set_for(&self, tenant: &TenantId) -> Vec<(Arc<Budget>, Option<State>)> {
        let known = self.known.read();
        let theirs = known.budgets.iter().filter(|b| b.tenant == *tenant);
        let state = |b: &Arc<Budget>| known.states.iter().find(|s| s.budget == *b).cloned();
        theirs.map(|b| (Arc::clone(b), state(b))).collect()
    }

    /// Whether the file has a budget for the same thing.
    pub(crate) fn is_in_file(&self, budget: &Budget) -> bool {
        let known = self.known.read();
        known.of_file.iter().any(|b| b.is_for_what(budget))
    }

    /// How the commitments of `tenant` stood when they were last summed up.
    pub(crate) fn commitments_of(&self, tenant: &TenantId) -> Vec<CommitmentState> {
        let known = self.known.read();
        let theirs = known.commitments.iter().filter(|c| c.tenant == *tenant);
        theirs.cloned().collect()
    }

    /// How all commitments stood.
    pub(crate) fn commitments(&self) -> Vec<CommitmentState> {
        self.known.read().commitments.clone()
    }

    /// Takes over what was set over HTTP since; whether one is not summed up yet.
    pub(crate) fn look(&self, node: &Node) -> bool {
        let notes = node.access.notes(NoteKind::Budget, None);
        let mut known = self.known.write();
        known.take(&notes);
        known.states.len() < known.budgets.len()
    }

    /// How the budgets of `tenant` stood when they were last summed up.
    pub(crate) fn of(&self, tenant: &TenantId) -> Vec<State> {
        let known = self.known.read();
        let states = known.states.iter().filter(|s| s.budget.tenant == *tenant);
        states.cloned().collect()
    }

    /// How all budgets stood, and how many are not summed up yet.
    pub(crate) fn all(&self) -> (Vec<State>, usize) {
        let known = self.known.read();
        let open = known.budgets.len().saturating_sub(known.states.len());
        (known.states.clone(), open)
    }

    /// Sums up every budget and commitment, and tells the webhook what has changed.
    pub(crate) async fn refresh(&self, node: &Node) {
        if let Err(error) = self.reload() {
            tracing::warn!(error = format!("{error:#}"), "budgets.reload.failed");
        }
        self.look(node);
        self.sum_up_budgets(node, true).await;
        let last = self.commitments();
        let sums = commitments::sum_up(node, &last).await;
        self.known.write().commitments = sums;
    }

    /// Sums up `all` budgets or only those that were not summed up yet, and tells the webhook.
    async fn sum_up_budgets(&self, node: &Node, all: bool) {
        let (budgets, webhook, before) = {
            let known = self.known.read();
            (
                known.budgets.clone(),
                known.webhook.clone(),
                known.states.clone(),
            )
        };
        let now_us = node.intake.clock.now_us();
        let mut states = Vec::new();
        for budget in &budgets {
            let last = before.iter().find(|s| s.budget == *budget);
            if let Some(last) = last.filter(|_| !all) {
                states.push(last.clone());
                continue;
            }
            match Box::pin(sum_up(node, budget, now_us)).await {
                Ok(state) => states.extend(state),
                // The last known state stays; a store that is away is logged by whoever reads it.
                Err(error) => {
                    tracing::debug!(error = %error, "budgets.unknown");
                    states.extend(last.cloned());
                }
            }
        }
        self.known.write().states.clone_from(&states);
        let news = self.told.lock().news(&states);
        let Some(url) = webhook else { return };
        for change in news {
            match webhook::post(&url, &change, now_us).await {
                Ok(()) => self.told.lock().done(&change),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "budgets.webhook.failed");
                }
            }
        }
    }
}

/// How one budget stands now.
async fn sum_up(
    node: &Node,
    budget: &Arc<Budget>,
    now_us: i64,
) -> Result<Option<State>, QueryError> {
    let Some((start, _)) = budget.period.around(now_us) else {
        return Ok(None);
    };
    let only: Vec<(Dimension, String)> =
        budget.scope.zip(budget.name.clone()).into_iter().collect();
    let question = |since_us: i64, until_us: Option<i64>| RollupQuestion {
        since_us: Some(since_us),
        until_us,
        only: only.clone(),
        ..RollupQuestion::default()
    };
    let hour = floor_hour(now_us);
    let spent = question(start, None);
    let spent = node.engine.rollup(&budget.tenant, &spent).await?;
    let day = question(hour - DAY_US, Some(hour));
    let day = node.engine.rollup(&budget.tenant, &day).await?;
    let cost = |rollup: weir_queries::Rollup| rollup.totals.known_usd("cost_usd");
    Ok(State::of(budget, cost(spent), cost(day), now_us))
}

/// Keeps budgets summed up until the node stops.
pub(crate) async fn keep(node: &Node) {
    let mut due = Instant::now();
    let mut version = None;
    loop {
        let all = Instant::now() >= due;
        let now = node.access.version();
        let changed = version.replace(now) != Some(now);
        let work = async {
            if all {
                node.budgets.refresh(node).await;
            } else if changed && node.budgets.look(node) {
                node.budgets.sum_up_budgets(node, false).await;
            }
        };
        tokio::select! {
            biased;
            () = node.stopping() => return,
            () = Box::pin(work) => {}
        }
        if all {
            due = Instant::now() + EVERY;
        }
        tokio::select! {
            biased;
            () = node.stopping() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests;
