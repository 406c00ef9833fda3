//! What a person says about the database.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The address of a database, with a password in it: shown as `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// Takes `postgres://USER:PASSWORD@HOST/DB` or `host=... user=...`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How much time one partition (or chunk) of a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Period {
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
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The period of that word.
    pub fn from_name(name: &str) -> Option<Self> {
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
pub enum Partitions {
    /// TimescaleDB's where the database has the extension, else Postgres's own.
    #[default]
    Auto,
    /// Postgres's own, under row-level security.
    Native,
    /// TimescaleDB's; refused where the database does not have the extension.
    Timescale,
}

/// Where the rows go, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// The database, and as whom to connect. `sslmode=require` checks the server's certificate.
    pub address: Address,
    /// A PEM file with the authorities that vouch for the server; TLS is required then. Without
    /// it those of the system do.
    pub authorities: Option<PathBuf>,
    /// The schema that the tables are in: a lower-case letter, then those, digits and `_`, 40 at
    /// most. One sink has it for itself, on however many nodes.
    pub schema: String,
    /// Which partitions the tables get when they are made; later it changes nothing.
    pub partitions: Partitions,
    /// How much time a partition holds, when the tables are made; later it changes nothing.
    pub period: Period,
    /// Whether the rows are of one customer: then tables are made without row-level security, and
    /// a superuser may write them.
    pub single_tenant: bool,
    /// A role that may read the tables, each of its sessions the rows of the tenant that it has
    /// set as `app.tenant_id`.
    pub reader_role: Option<String>,
    /// Whole days after which partitions are dropped; kept for ever without it.
    pub retention_days: Option<u32>,
    /// Whole days after which TimescaleDB's community edition turns chunks into columns.
    pub columnstore_days: u32,
    /// Connections at most.
    pub connections_max: u32,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// How long a write may take, from the first byte to the commit.
    pub timeout: Duration,
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
            address: Address::default(),
            authorities: None,
            schema: "weir".to_owned(),
            partitions: Partitions::Auto,
            period: Period::Week,
            single_tenant: false,
            reader_role: None,
            retention_days: None,
            columnstore_days: 7,
            connections_max: 4,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
            rows_max: 32 * 1024,
            bytes_max: 32 * 1024 * 1024,
            gather: Duration::from_millis(250),
        }
    }
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
    fn the_address_does_not_show() {
        let config = PostgresConfig {
            address: Address::new("postgres://u:hunter2@h/d"),
            ..PostgresConfig::default()
        };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
