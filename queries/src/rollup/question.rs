//! What a rollup is asked, and the SQL that answers it.

use std::fmt::Write as _;

use super::answer::{COUNTS, DERIVED};
use super::reconciled::{Reconciled, any_of, quoted};
use super::{DAY, preferred};

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// What a rollup may be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Dimension {
    /// The skill.
    Skill,
    /// Its version.
    SkillVersion,
    /// How the skill was found.
    Attribution,
    /// The agent.
    Agent,
    /// The model.
    Model,
    /// The provider.
    Provider,
    /// The team.
    Team,
    /// The user.
    User,
    /// The cost centre.
    CostCenter,
    /// The project.
    Project,
    /// The environment.
    Environment,
    /// Model call, embedding or rerank.
    OpKind,
    /// How the cost came about.
    CostStatus,
    /// What the calls were booked from: the source that counts on their day.
    Source,
    /// The day, UTC.
    Day,
    /// The hour, UTC.
    Hour,
}

impl Dimension {
    /// Every dimension.
    pub const ALL: [Self; 16] = [
        Self::Skill,
        Self::SkillVersion,
        Self::Attribution,
        Self::Agent,
        Self::Model,
        Self::Provider,
        Self::Team,
        Self::User,
        Self::CostCenter,
        Self::Project,
        Self::Environment,
        Self::OpKind,
        Self::CostStatus,
        Self::Source,
        Self::Day,
        Self::Hour,
    ];

    /// Its name in questions and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skill => "skill",
            Self::SkillVersion => "skill_version",
            Self::Attribution => "attribution",
            Self::Agent => "agent",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Team => "team",
            Self::User => "user",
            Self::CostCenter => "cost_center",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::OpKind => "op_kind",
            Self::CostStatus => "cost_status",
            Self::Source => "source",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }

    /// The dimension of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    /// What stands in the place of a value that is not known. It is shown, never left out.
    pub const fn unknown(self) -> &'static str {
        match self {
            Self::Skill => "(unattributed)",
            Self::SkillVersion
            | Self::Attribution
            | Self::Agent
            | Self::Model
            | Self::Provider
            | Self::Team
            | Self::User
            | Self::CostCenter
            | Self::Project
            | Self::Environment
            | Self::OpKind
            | Self::CostStatus
            | Self::Source
            | Self::Day
            | Self::Hour => "(unknown)",
        }
    }

    /// Whether it is a period of time.
    pub const fn is_time(self) -> bool {
        matches!(self, Self::Day | Self::Hour)
    }

    /// Its value, in SQL over a row of sums.
    const fn sql(self) -> &'static str {
        match self {
            Self::Skill => "skill",
            Self::SkillVersion => "skill_version",
            Self::Attribution => "skill_attribution",
            Self::Agent => "agent_name",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Team => "team_id",
            Self::User => "user_id",
            Self::CostCenter => "cost_center",
            Self::Project => "project",
            Self::Environment => "environment",
            Self::OpKind => "op_kind",
            Self::CostStatus => "cost_status",
            Self::Source => "source",
            Self::Day => "date_trunc('day', period_start)",
            Self::Hour => "date_trunc('hour', period_start)",
        }
    }
}

/// What a rollup is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RollupQuestion {
    /// Calls that began at this time or later, in microseconds since the epoch.
    pub since_us: Option<i64>,
    /// Calls that began before this time, in microseconds since the epoch.
    pub until_us: Option<i64>,
    /// What to group by; nothing gives one row.
    pub by: Vec<Dimension>,
    /// Only calls with these values. Periods of time cannot stand here.
    pub only: Vec<(Dimension, String)>,
    /// What was held against a bill: the calls in it are counted as `reconciled_calls`.
    pub reconciled: Vec<Reconciled>,
}

/// A range of time that one table answers, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    table: &'static str,
    from: Option<i64>,
    to: Option<i64>,
}

impl RollupQuestion {
    /// Which table answers which part of the time asked for: the coarsest that fits. The parts
    /// follow each other without a gap.
    pub(crate) fn segments(&self) -> Vec<Segment> {
        let (since, until) = (self.since_us, self.until_us);
        let starts = since.map(|since| (round(since, HOUR_US, true), round(since, DAY_US, true)));
        // Each table with its grain and where the next one takes over, as far as `since` says.
        let mut wanted = vec![("cost_sums_daily", DAY_US, None)];
        if let Some((hour, day)) = starts {
            wanted.insert(0, ("cost_sums_hourly", HOUR_US, Some(day)));
            wanted.insert(0, ("cost_bookings", 1, Some(hour)));
        }
        if until.is_some() {
            wanted.push(("cost_sums_hourly", HOUR_US, None));
            wanted.push(("cost_bookings", 1, None));
        }
        let by_hour = self.by.contains(&Dimension::Hour);
        let mut segments: Vec<Segment> = Vec::new();
        let mut reached = since;
        for (table, grain, end) in wanted {
            // No table goes beyond its last whole period; the finer ones go on from there.
            let last = until.map(|until| round(until, grain, false));
            let end = match (end, last) {
                (Some(end), Some(last)) => Some(end.min(last)),
                (end, last) => end.or(last),
            };
            if let (Some(reached), Some(end)) = (reached, end)
                && end <= reached
            {
                continue;
            }
            let table = match table {
                "cost_sums_daily" if by_hour => "cost_sums_hourly",
                table => table,
            };
            segments.push(Segment {
                table,
                from: reached,
                to: end,
            });
            reached = end;
        }
        segments
    }

    /// The SQL that answers it, over the tables of [`TABLES`](super::TABLES).
    pub(crate) fn sql(&self) -> String {
        let mut wanted = vec!["source", "source_rank", "period_start", "skill"];
        let used = self.by.iter().chain(self.only.iter().map(|(d, _)| d));
        for dimension in used.filter(|d| !d.is_time()) {
            if !wanted.contains(&dimension.sql()) {
                wanted.push(dimension.sql());
            }
        }
        let of_bills: Vec<String> = self.reconciled.iter().filter_map(Reconciled::sql).collect();
        if !of_bills.is_empty() {
            let told = ["provider", "model"].into_iter();
            wanted.extend(
                told.filter(|name| !wanted.contains(name))
                    .collect::<Vec<_>>(),
            );
        }
        wanted.extend(COUNTS.iter().filter(|c| !DERIVED.contains(c)));
        wanted.extend(super::answer::MONEY);
        wanted.push("latency_histogram");
        let wanted = wanted.join(", ");
        let parts = self.segments().into_iter().map(|segment| {
            let conditions = self.conditions(segment);
            format!("SELECT {wanted} FROM {}{conditions}", segment.table)
        });
        let parts: Vec<String> = parts.collect();
        let mut sql = String::new();
        // Writing to a text cannot fail.
        let _ = write!(
            sql,
            "WITH sums AS (SELECT *, {DAY} AS sums_day FROM ({})), chosen AS ({}) SELECT ",
            parts.join(" UNION ALL "),
            preferred(&self.days()),
        );
        for (at, dimension) in self.by.iter().enumerate() {
            let value = dimension.sql();
            let _ = write!(
                sql,
                "CASE WHEN source_rank = preferred_rank THEN {value} END AS key_{at}, "
            );
        }
        sql.push_str(
            "CASE WHEN source_rank = preferred_rank THEN NULL ELSE source END AS other_source",
        );
        let reconciled = match any_of(&of_bills) {
            None => "CAST(0 AS BIGINT)".to_owned(),
            Some(condition) => format!("CASE WHEN {condition} THEN calls ELSE 0 END"),
        };
        for name in COUNTS.into_iter().chain(super::answer::MONEY) {
            let value = match name {
                "unattributed_calls" => "CASE WHEN skill IS NULL THEN calls ELSE 0 END",
                "reconciled_calls" => &reconciled,
                name => name,
            };
            let _ = write!(sql, ", sum({value}) AS {name}");
        }
        sql.push_str(
            ", latency_merge(latency_histogram) AS latency_histogram \
             FROM chosen JOIN sums ON preferred_day = sums_day GROUP BY ",
        );
        let keys: Vec<String> = (1..=self.by.len() + 1).map(|n| n.to_string()).collect();
        sql.push_str(&keys.join(", "));
        sql
    }

    /// The days that the time asked for touches.
    fn days(&self) -> String {
        let since = self.since_us.map(|since| round(since, DAY_US, false));
        let until = self.until_us.map(|until| round(until, DAY_US, true));
        whereas(&between("period_start", since, until))
    }

    fn conditions(&self, segment: Segment) -> String {
        let mut all = between("period_start", segment.from, segment.to);
        for (dimension, value) in self.only.iter().filter(|(d, _)| !d.is_time()) {
            let column = dimension.sql();
            if value == dimension.unknown() {
                all.push(format!("{column} IS NULL"));
            } else {
                all.push(format!("{column} = {}", quoted(value)));
            }
        }
        whereas(&all)
    }
}

/// That `column` lies at or after the one time and before the other.
fn between(column: &str, from: Option<i64>, to: Option<i64>) -> Vec<String> {
    let from = from.and_then(spell).map(|t| format!("{column} >= '{t}'"));
    let to = to.and_then(spell).map(|t| format!("{column} < '{t}'"));
    from.into_iter().chain(to).collect()
}

/// The clause that asks for all of them.
fn whereas(all: &[String]) -> String {
    match all {
        [] => String::new(),
        all => format!(" WHERE {}", all.join(" AND ")),
    }
}

/// The whole multiple of `by` at `us` or, where that is none, the next one up or down.
fn round(us: i64, by: i64, up: bool) -> i64 {
    let below = us.saturating_sub(us.rem_euclid(by));
    if up && below < us {
        below.saturating_add(by)
    } else {
        below
    }
}

/// A time as SQL reads it; `None` beyond the years that it knows, which no row is beyond either.
pub(super) fn spell(us: i64) -> Option<String> {
    let seconds = us.div_euclid(1_000_000);
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days)?;
    let micros = us.rem_euclid(1_000_000);
    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let whole = format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}");
    if micros == 0 {
        return Some(format!("{whole}Z"));
    }
    Some(format!("{whole}.{micros:06}Z"))
}

/// Year, month and day of days since 1970-01-01, for the years 0 to 9999.
///
/// The arithmetic of eras of 400 years, which begin in March so that the leap day is their last.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    let shifted = days.checked_add(719_468)?;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (0..=9999).contains(&year).then_some((year, month, day))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(since_us: Option<i64>, until_us: Option<i64>) -> RollupQuestion {
        RollupQuestion {
            since_us,
            until_us,
            ..RollupQuestion::default()
        }
    }

    #[test]
    fn times_are_spelt_as_the_calendar_has_them() {
        assert_eq!(spell(0).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(spell(-1).unwrap(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(spell(951_782_400_000_000).unwrap(), "2000-02-29T00:00:00Z");
        assert_eq!(
            spell(1_795_212_123_000_000).unwrap(),
            "2026-11-20T22:02:03Z"
        );
        assert_eq!(spell(i64::MAX), None);
    }

    #[test]
    fn whole_days_come_from_days_and_the_ends_from_finer_tables() {
        let question = ask(
            Some(DAY_US - HOUR_US - 5),
            Some(3 * DAY_US + 2 * HOUR_US + 7),
        );
        let tables: Vec<&str> = question.segments().iter().map(|s| s.table).collect();
        let (daily, hourly, raw) = ("cost_sums_daily", "cost_sums_hourly", "cost_bookings");
        assert_eq!(tables, [raw, hourly, daily, hourly, raw]);
        let whole = ask(Some(DAY_US), Some(2 * DAY_US)).segments();
        assert_eq!(whole.len(), 1);
        assert_eq!(ask(None, None).segments()[0].table, daily);
        assert_eq!(ask(Some(5), Some(9)).segments()[0].table, raw);
        assert!(ask(Some(9), Some(5)).segments().is_empty());
    }

    proptest! {
        #[test]
        fn segments_cover_the_time_asked_for_once(
            since in proptest::option::of(-3 * DAY_US..3 * DAY_US),
            until in proptest::option::of(-3 * DAY_US..3 * DAY_US),
        ) {
            let question = ask(since, until);
            let segments = question.segments();
            if let (Some(s), Some(u)) = (since, until) && u <= s {
                prop_assert!(segments.is_empty());
                return Ok(());
            }
            prop_assert_eq!(segments.first().unwrap().from, since);
            prop_assert_eq!(segments.last().unwrap().to, until);
            for pair in segments.windows(2) {
                prop_assert_eq!(pair[0].to, pair[1].from);
            }
            for s in &segments {
                let by = match s.table {
                    "cost_sums_daily" => DAY_US,
                    "cost_sums_hourly" => HOUR_US,
                    _ => 1,
                };
                prop_assert!(s.from.is_none_or(|t| t % by == 0), "{s:?}");
                prop_assert!(s.to.is_none_or(|t| t % by == 0), "{s:?}");
            }
        }
    }
}
