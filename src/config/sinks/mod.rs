//! The sinks of a configuration: named destinations, each of a kind with a table of settings.
//!
//! ```yaml
//! sinks:
//!   audit_trail:             # the name: cursors, metrics and dead letters use it
//!     kind: webhook
//!     url: https://audit.example/rows
//!     datasets: [proxy_audit]
//! ```
//!
//! [`shared::SETTINGS`] lists what every sink has, the table of its [`Kind`] the rest. A variable
//! `WEIR_SINKS_<NAME>_<SETTING>` or a flag `--set sinks.<name>.<setting>=...` sets one as well.

#[macro_use]
mod rows;
mod clickhouse;
mod otlp;
mod postgres;
mod read;
mod shared;
mod snowflake;
mod splunk_hec;
mod sqlite;
mod webhook;

use std::collections::BTreeMap;

use weir_model::Dataset;
use weir_sinks::clickhouse::ClickHouseConfig;
use weir_sinks::outbound::{OtlpConfig, SplunkHecConfig, WebhookConfig};
use weir_sinks::postgres::PostgresConfig;
use weir_sinks::snowflake::SnowflakeConfig;
use weir_sinks::sqlite::SqliteConfig;

use crate::config::setting::Setting;

pub(crate) use read::{SECTION, SinkEntry, VARIABLES, assemble, entries, of_variables};
pub(crate) use shared::{Shared, deliverable, excluded};

/// All sinks besides the lake, by name.
pub(crate) type Sinks = BTreeMap<String, SinkConfig>;

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SinkConfig {
    /// What every sink has.
    pub(crate) shared: Shared,
    /// What its kind has.
    pub(crate) target: Target,
}

/// What is of one kind of sink.
#[allow(
    clippy::large_enum_variant,
    reason = "a process has a handful of them, at its start"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Another collector, over OTLP/HTTP.
    Otlp(OtlpConfig),
    /// ClickHouse.
    ClickHouse(ClickHouseConfig),
    /// A database of Postgres.
    Postgres(PostgresConfig),
    /// Snowflake.
    Snowflake(SnowflakeConfig),
    /// Splunk's HTTP event collector.
    SplunkHec(SplunkHecConfig),
    /// Files of SQLite.
    Sqlite(SqliteConfig),
    /// An HTTP endpoint that takes rows as JSON.
    Webhook(WebhookConfig),
}

/// A kind of sink.
#[derive(Debug)]
pub(crate) struct Kind {
    /// What `kind:` says.
    pub(crate) name: &'static str,
    /// What it is, in a sentence, for the reference page.
    pub(crate) help: &'static str,
    /// Its settings that must be given.
    pub(crate) needs: &'static [&'static str],
    /// The datasets that it can hold.
    pub(crate) takes: &'static [Dataset],
    /// Its own settings, in the order of the reference page.
    pub(crate) settings: &'static [Setting<SinkConfig>],
    /// A sink of this kind before anything was set.
    pub(crate) start: fn() -> SinkConfig,
}

/// Every kind, in the order of the reference page.
pub(crate) static KINDS: &[&Kind] = &[
    &clickhouse::KIND,
    &otlp::KIND,
    &postgres::KIND,
    &snowflake::KIND,
    &splunk_hec::KIND,
    &sqlite::KIND,
    &webhook::KIND,
];

impl SinkConfig {
    /// Its kind.
    pub(crate) fn kind(&self) -> &'static Kind {
        match &self.target {
            Target::Otlp(_) => &otlp::KIND,
            Target::ClickHouse(_) => &clickhouse::KIND,
            Target::Postgres(_) => &postgres::KIND,
            Target::Sqlite(_) => &sqlite::KIND,
            Target::Snowflake(_) => &snowflake::KIND,
            Target::SplunkHec(_) => &splunk_hec::KIND,
            Target::Webhook(_) => &webhook::KIND,
        }
    }
}

impl Kind {
    /// What can be set of a sink of this kind: what every sink has, then what is its own.
    pub(crate) fn all_settings(&self) -> impl Iterator<Item = &'static Setting<SinkConfig>> {
        shared::SETTINGS.iter().chain(self.settings)
    }
}

/// A sink before anything was set, to read defaults from.
pub(crate) fn first() -> SinkConfig {
    (webhook::KIND.start)()
}

/// A sink of the kind of that name before anything was set.
pub(crate) fn sink_of_kind(name: &str) -> Option<SinkConfig> {
    let kind = KINDS.iter().find(|kind| kind.name == name)?;
    Some((kind.start)())
}

/// What every sink can be told.
pub(crate) fn shared_settings() -> &'static [Setting<SinkConfig>] {
    shared::SETTINGS
}

#[cfg(test)]
mod tests;
