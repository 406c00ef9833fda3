//! What a person says about the database.

use std::time::Duration;

use super::error::PostgresError;
use crate::Secret;

/// The words of `partitions`.
pub const PARTITIONS: &[&str] = &["auto", "native", "timescale"];

/// The words of `period`.
pub const PERIODS: &[&str] = &["day", "week", "month"];

/// The shortest time after which partitions are dropped: rows may be that old when they come.
const RETENTION_MIN: Duration = Duration::from_secs(31 * DAY_SECONDS);

const DAY_SECONDS: u64 = 86_400;

/// How much time one partition (or chunk) of a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Period {
    /// A day.
    Day,
    /// A week, from Monday on.
    #[default]
    Week,
    /// About a month: thirty days, counted from 1970-01-01.
    Month,
}

impl Period {
    /// The word for it, in the record of the layout and in configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The period of that word.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Day, Self::Week, Self::Month]
            .into_iter()
            .find(|period| period.name() == name)
    }

    /// How many days it has.
    pub(super) fn days(self) -> i32 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 30,
        }
    }

    /// The first day of the period that `day` lies in; days count from 1970-01-01.
    pub(super) fn start_of(self, day: i32) -> i32 {
        // 1970-01-05 was a Monday.
        let offset = if self == Self::Week { 4 } else { 0 };
        let within = day.saturating_sub(offset).rem_euclid(self.days());
        day.saturating_sub(within)
    }
}

/// Which partitions a table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Partitions {
    /// TimescaleDB's where the database has the extension, else Postgres's own.
    #[default]
    Auto,
    /// Postgres's own, under row-level security.
    Native,
    /// TimescaleDB's; refused where the database does not have the extension.
    Timescale,
}

/// Where the rows go, and how. An empty text is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The database, and as whom to connect: `postgres://USER:PASSWORD@HOST/DATABASE` or
    /// `host=... user=...`. `sslmode=require` checks the server's certificate.
    pub url: Secret,
    /// A PEM file with the only authorities that vouch for the server; TLS is required then.
    /// Without it those of the system do.
    pub ca_file: String,
    /// The schema that the tables are in: a lower-case letter or `_`, then those and digits, 40 at
    /// most. One sink has it for itself, on however many nodes.
    pub schema: String,
    /// Which partitions the tables get when they are made, one of [`PARTITIONS`]: Postgres's own
    /// under row-level security, TimescaleDB's, or (`auto`) the latter where the database has the
    /// extension. Later it changes nothing.
    pub partitions: String,
    /// How much time a partition holds when the tables are made, one of [`PERIODS`] (a month is
    /// thirty days); later it changes nothing.
    pub period: String,
    /// Whether the rows are of one customer: then tables are made without row-level security, and
    /// a superuser may write them.
    pub single_tenant: bool,
    /// A role that may read the tables, each of its sessions the rows of the tenant that it has
    /// set as `app.tenant_id`.
    pub reader_role: String,
    /// The time after which partitions are dropped, in whole days and no less than 31; zero keeps
    /// them for ever.
    pub retention: Duration,
    /// The time after which TimescaleDB's community edition turns chunks into columns, in whole
    /// days.
    pub columnstore_after: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a write may take, from its first byte to the commit.
    pub timeout: Duration,
    /// Connections at most; calls take turns with them.
    pub connections_max: u64,
    /// Rows of a transaction; one batch is always taken, however large.
    pub rows_max: u64,
    /// Bytes in memory of a transaction's rows. About as many again are taken while it is sent.
    pub bytes_max: u64,
    /// How long the first row of a transaction waits for others.
    pub gather: Duration,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            ca_file: String::new(),
            schema: "weir".to_owned(),
            partitions: "auto".to_owned(),
            period: Period::default().name().to_owned(),
            single_tenant: false,
            reader_role: String::new(),
            retention: Duration::ZERO,
            columnstore_after: Duration::from_secs(7 * DAY_SECONDS),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            connections_max: 4,
            rows_max: 32 * 1024,
            bytes_max: 32 * 1024 * 1024,
            gather: Duration::from_millis(250),
        }
    }
}

impl PostgresConfig {
    /// Whether every setting can be used.
    pub(super) fn check(&self) -> Result<(), PostgresError> {
        let plain = "a lower-case letter or `_`, then those and digits, 40 at most";
        let long = "31 days or more, since rows may be that old when they come; 0s keeps all";
        let faults = [
            (!is_plain(&self.schema), "schema", plain.to_owned()),
            (
                self.partitions().is_none(),
                "partitions",
                format!("one of {}", PARTITIONS.join(", ")),
            ),
            (
                Period::from_name(&self.period).is_none(),
                "period",
                format!("one of {}", PERIODS.join(", ")),
            ),
            (
                !self.retention.is_zero() && self.retention < RETENTION_MIN,
                "retention",
                long.to_owned(),
            ),
        ];
        match faults.into_iter().find(|(wrong, ..)| *wrong) {
            Some((_, setting, reason)) => Err(PostgresError::Setting { setting, reason }),
            None => Ok(()),
        }
    }

    pub(super) fn partitions(&self) -> Option<Partitions> {
        match self.partitions.as_str() {
            "auto" => Some(Partitions::Auto),
            "native" => Some(Partitions::Native),
            "timescale" => Some(Partitions::Timescale),
            _ => None,
        }
    }

    pub(super) fn period(&self) -> Period {
        Period::from_name(&self.period).unwrap_or_default()
    }

    /// The role that may read, where one is named.
    pub(super) fn reader(&self) -> Option<&str> {
        Some(self.reader_role.as_str()).filter(|role| !role.is_empty())
    }

    /// Whole days after which partitions go, where they do.
    pub(super) fn retention_days(&self) -> Option<u32> {
        Some(days(self.retention)).filter(|days| *days > 0)
    }

    /// Whole days after which chunks become columns.
    pub(super) fn columnstore_days(&self) -> u32 {
        days(self.columnstore_after)
    }
}

fn days(time: Duration) -> u32 {
    u32::try_from(time.as_secs() / DAY_SECONDS).unwrap_or(u32::MAX)
}

/// Whether `name` needs no quoting anywhere, and leaves room for endings within the 63 bytes of a
/// name in Postgres.
pub(super) fn is_plain(name: &str) -> bool {
    const NAME_MAX: usize = 40;
    let mut bytes = name.bytes();
    let first = bytes
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    first && rest && name.len() <= NAME_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_in_one_period() {
        for period in [Period::Day, Period::Week, Period::Month] {
            assert_eq!(Period::from_name(period.name()), Some(period));
            for day in -1_000..30_000 {
                let start = period.start_of(day);
                assert!(start <= day && day < start + period.days());
                assert_eq!(period.start_of(start), start);
            }
        }
        // 2026-11-16 was a Monday.
        assert_eq!(Period::Week.start_of(20_778), 20_773);
    }

    #[test]
    fn settings_are_checked_and_the_address_does_not_show() {
        let good = PostgresConfig {
            url: "postgres://u:hunter2@h/d".into(),
            ..PostgresConfig::default()
        };
        assert!(good.check().is_ok());
        assert!(!format!("{good:?}").contains("hunter2"));
        assert_eq!((good.retention_days(), good.columnstore_days()), (None, 7));
        for word in PARTITIONS {
            let config = PostgresConfig {
                partitions: (*word).to_owned(),
                ..good.clone()
            };
            assert!(config.check().is_ok(), "{word}");
        }
        for word in PERIODS {
            assert!(Period::from_name(word).is_some(), "{word}");
        }
        let wrong = |change: fn(&mut PostgresConfig)| {
            let mut config = good.clone();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(wrong(|c| c.schema = "Rows".to_owned()).starts_with("`schema`"));
        assert!(wrong(|c| c.partitions = "none".to_owned()).starts_with("`partitions`"));
        assert!(wrong(|c| c.period = "year".to_owned()).starts_with("`period`"));
        assert!(wrong(|c| c.retention = Duration::from_secs(1)).starts_with("`retention`"));
    }
}
