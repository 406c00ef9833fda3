//! Budgets as they are written: in the file of the operator, and by whom a tenant lets set them.

use std::path::Path;

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate};
use serde::{Deserialize, Serialize};
use weir_model::TenantId;
use weir_queries::Dimension;
use weir_store::Note;

use crate::usd;

/// How long a budget lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Period {
    /// A calendar month, UTC.
    #[default]
    Month,
    /// A calendar day, UTC.
    Day,
}

impl Period {
    /// Its word in the file and in answers.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Day => "day",
        }
    }

    /// The start of the period that holds a time, and of the next one, in microseconds.
    pub(crate) fn around(self, us: i64) -> Option<(i64, i64)> {
        let date = DateTime::from_timestamp_micros(us)?.date_naive();
        let (start, end) = match self {
            Self::Day => (date, date.checked_add_days(Days::new(1))?),
            Self::Month => {
                let start = NaiveDate::from_ymd_opt(date.year(), date.month(), 1)?;
                (start, start.checked_add_months(Months::new(1))?)
            }
        };
        let at = |day: NaiveDate| Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros());
        Some((at(start)?, at(end)?))
    }
}

/// Where a budget was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the file of the operator.
    File,
    /// Over HTTP; it lies in the state.
    Http,
}

impl Origin {
    /// Its word in answers.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Http => "http",
        }
    }
}

/// A budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) origin: Origin,
    pub(crate) tenant: TenantId,
    /// What it is for; all calls of the tenant where it is not said.
    pub(crate) scope: Option<Dimension>,
    /// Which skill, agent, team, ... it is for.
    pub(crate) name: Option<String>,
    /// In 10^-12 US dollars, above 0.
    pub(crate) limit: i128,
    pub(crate) period: Period,
}

impl Budget {
    /// What stays the same when its limit is changed.
    pub(crate) fn is_for_what(&self, other: &Self) -> bool {
        (&self.tenant, self.scope, &self.name, self.period)
            == (&other.tenant, other.scope, &other.name, other.period)
    }

    /// What tells it from others of its tenant in the state.
    pub(crate) fn id(&self) -> String {
        let name = self.name.as_deref().unwrap_or_default();
        format!("{}/{}/{name}", self.period.word(), self.scope_name())
    }

    /// As it lies in the state.
    pub(crate) fn note(&self) -> (String, String) {
        let written = WrittenBudget {
            tenant: self.tenant.as_str().to_owned(),
            scope: self.scope_name().to_owned(),
            name: self.name.clone(),
            limit_usd: usd::text(self.limit).into(),
            period: self.period,
        };
        // Texts alone: there is nothing that JSON could not say.
        (
            self.id(),
            serde_json::to_string(&written).unwrap_or_default(),
        )
    }

    /// What lies in the state; `None` where a newer weir wrote what this one does not read.
    pub(super) fn of_note(note: &Note) -> Option<Self> {
        let written: WrittenBudget = serde_json::from_str(&note.body).ok()?;
        let budget = written.check(Origin::Http).ok()?;
        (budget.tenant == note.tenant).then_some(budget)
    }

    /// The word of its scope.
    pub(crate) fn scope_name(&self) -> &'static str {
        self.scope.map_or("tenant", Dimension::name)
    }
}

/// The file as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BudgetFile {
    /// Where changes of state are posted.
    pub(crate) webhook: Option<String>,
    pub(crate) budgets: Vec<Budget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    webhook: Option<String>,
    budgets: Vec<WrittenBudget>,
}

/// A budget as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenBudget {
    pub(crate) tenant: String,
    pub(crate) scope: String,
    pub(crate) name: Option<String>,
    pub(crate) limit_usd: serde_json::Value,
    #[serde(default)]
    pub(crate) period: Period,
}

impl BudgetFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or something in it is wrong; the message names the budget.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = || format!("budgets.file {}", path.display());
        let text = std::fs::read_to_string(path).with_context(shown)?;
        Self::parse(&text).with_context(shown)
    }

    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let written: Written = serde_json::from_str(text)?;
        if let Some(url) = &written.webhook {
            let known = url.starts_with("http://") || url.starts_with("https://");
            ensure!(known, "`webhook` must begin with http:// or https://");
        }
        let mut budgets: Vec<Budget> = Vec::new();
        for (number, one) in written.budgets.into_iter().enumerate() {
            let place = || format!("budget {}", number + 1);
            let budget = one.check(Origin::File).with_context(place)?;
            let same = |b: &Budget| b.is_for_what(&budget);
            ensure!(!budgets.iter().any(same), "{} is there twice", place());
            budgets.push(budget);
        }
        Ok(Self {
            webhook: written.webhook,
            budgets,
        })
    }
}

impl WrittenBudget {
    /// The budget that is meant.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn check(self, origin: Origin) -> anyhow::Result<Budget> {
        let tenant = TenantId::new(&self.tenant)
            .ok()
            .context("`tenant` is no tenant's name")?;
        let scope = match self.scope.as_str() {
            "tenant" => None,
            name => {
                let dimension = Dimension::from_name(name).filter(|d| !d.is_time());
                Some(dimension.context(
                    "`scope` must be tenant, skill, agent, team or another dimension of a rollup",
                )?)
            }
        };
        ensure!(
            scope.is_some() == self.name.is_some(),
            "a budget of a scope other than `tenant` has a `name`, and only such a one"
        );
        let text = match &self.limit_usd {
            serde_json::Value::String(text) => text.clone(),
            other @ (serde_json::Value::Null
            | serde_json::Value::Bool(_)
            | serde_json::Value::Number(_)
            | serde_json::Value::Array(_)
            | serde_json::Value::Object(_)) => other.to_string(),
        };
        let limit = usd::parse(&text).filter(|n| *n > 0);
        Ok(Budget {
            origin,
            tenant,
            scope,
            name: self.name,
            limit: limit.context("`limit_usd` must be an amount above 0")?,
            period: self.period,
        })
    }
}
