//! The statements that make the tables, for one server or a cluster.
//!
//! # Invariants
//!
//! * Every table and every table behind a view remembers the tokens of inserts: otherwise a
//!   repeated insert is stored twice, and one behind a view summed twice.
//! * Sums are kept over the ledger's signed bookings alone, never over spans.

use weir_model::Dataset;
use weir_model::schema::VERSION;

use super::config::ClickHouseConfig;
use super::types::{self, Order, literal, quoted};
use super::{rollup, traces};

/// The version of types, keys and indexes here; the columns have [`VERSION`].
const LAYOUT: u32 = 1;

/// How long replicas remember tokens, in seconds: a week, as an outage may be long.
const REPLICATED_WINDOW_SECONDS: u32 = 604_800;

/// What a comment of ours begins with.
const MARK: &str = "weir schema";

/// The comment of what we make, which is how a later start knows its version.
pub(super) fn mark() -> String {
    format!("{MARK} {VERSION}.{LAYOUT}")
}

/// Whether a table with this comment was made by a newer weir than this.
pub(super) fn is_newer(comment: &str) -> bool {
    let version = comment.strip_prefix(MARK).map(str::trim);
    let Some((schema, layout)) = version.and_then(|v| v.split_once('.')) else {
        return false;
    };
    match (schema.parse::<u32>(), layout.parse::<u32>()) {
        (Ok(schema), Ok(layout)) => (schema, layout) > (u32::from(VERSION), LAYOUT),
        _ => false,
    }
}

/// What is made, in the order in which it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A table, which may have to be widened.
    Table(Dataset),
    /// The table behind the view of sums.
    Sums,
    /// A view that is filled by inserts.
    Filled,
    /// A distributed twin.
    Twin,
    /// A view that is only read through.
    View,
}

/// Something to make.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) sql: String,
}

/// Names and clauses that depend on the form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'a>(pub(super) &'a ClickHouseConfig);

impl Form<'_> {
    /// The table that readers name.
    pub(super) fn table(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.0.database), quoted(name))
    }

    /// The name of the table that rows are written to.
    pub(super) fn local_name(&self, name: &str) -> String {
        match self.0.cluster() {
            Some(_) => format!("{name}_local"),
            None => name.to_owned(),
        }
    }

    /// The table that rows are written to.
    pub(super) fn local(&self, name: &str) -> String {
        self.table(&self.local_name(name))
    }

    /// ` ON CLUSTER 'c'`, or nothing.
    pub(super) fn on_cluster(&self) -> String {
        let cluster = self.0.cluster();
        cluster.map_or(String::new(), |c| format!(" ON CLUSTER {}", literal(c)))
    }

    /// The engine of the MergeTree family with what stands between its parentheses.
    pub(super) fn engine(&self, family: &str, arguments: &str) -> String {
        match self.0.cluster() {
            None if arguments.is_empty() => format!("{family}MergeTree"),
            None => format!("{family}MergeTree({arguments})"),
            Some(_) => {
                let comma = if arguments.is_empty() { "" } else { ", " };
                format!(
                    "Replicated{family}MergeTree('/clickhouse/tables/{{shard}}/{{database}}/{{table}}', \
                     '{{replica}}'{comma}{arguments})"
                )
            }
        }
    }

    /// The settings that make an insert that is repeated known.
    pub(super) fn windows(&self) -> Vec<String> {
        let window = self.0.dedup_window;
        match self.0.cluster() {
            None => vec![format!("non_replicated_deduplication_window = {window}")],
            Some(_) => vec![
                format!("replicated_deduplication_window = {window}"),
                format!("replicated_deduplication_window_seconds = {REPLICATED_WINDOW_SECONDS}"),
            ],
        }
    }

    /// When partitions move and end, as ClickHouse itself writes it; `None` where they stay.
    pub(super) fn ttl(&self) -> Option<String> {
        let mut rules = Vec::new();
        if !self.0.cold_volume.is_empty() {
            let (days, volume) = (self.0.cold_after_days, literal(&self.0.cold_volume));
            rules.push(format!(
                "part_date + toIntervalDay({days}) TO VOLUME {volume}"
            ));
        }
        if let Some(days) = self.0.retention_days {
            rules.push(format!("part_date + toIntervalDay({days})"));
        }
        (!rules.is_empty()).then(|| rules.join(", "))
    }

    fn settings(&self) -> String {
        let mut settings = self.windows();
        settings.push("ttl_only_drop_parts = 1".to_owned());
        if !self.0.storage_policy.is_empty() {
            let policy = literal(&self.0.storage_policy);
            settings.push(format!("storage_policy = {policy}"));
        }
        settings.join(", ")
    }
}

/// Everything that a destination needs but its database.
pub(super) fn objects(config: &ClickHouseConfig) -> Vec<Object> {
    let form = Form(config);
    let mut all: Vec<Object> = Dataset::ALL
        .into_iter()
        .map(|dataset| table(form, dataset))
        .collect();
    all.push(rollup::table(form));
    all.push(rollup::view(form));
    if config.cluster().is_some() {
        let names = Dataset::ALL.map(|d| (d.name(), shard_key(d)));
        let sums = (rollup::NAME, rollup::SHARD_KEY.to_owned());
        all.extend(
            names
                .into_iter()
                .chain([sums])
                .map(|(name, key)| twin(form, name, &key)),
        );
    }
    all.extend(traces::views(form));
    all
}

/// What puts a row on its shard: a hash that this sink computes too, since it writes to the local
/// tables itself.
pub(super) fn shard_key(dataset: Dataset) -> String {
    match Order::of(dataset).trace {
        Some(trace) => format!("CRC32(concat(tenant_id, '/', {trace}))"),
        None => "CRC32(concat(tenant_id, '/'))".to_owned(),
    }
}

/// The statement that makes the database.
pub(super) fn database(config: &ClickHouseConfig) -> String {
    let form = Form(config);
    format!(
        "CREATE DATABASE IF NOT EXISTS {}{}",
        quoted(&config.database),
        form.on_cluster()
    )
}

fn table(form: Form<'_>, dataset: Dataset) -> Object {
    let name = form.local_name(dataset.name());
    let columns = types::columns(dataset).into_iter();
    let columns = columns.map(|(name, definition)| format!("{} {definition}", quoted(name)));
    let lines: Vec<String> = columns.chain(types::indexes(dataset)).collect();
    let Order { time, trace } = Order::of(dataset);
    let bucket = format!("tenant_id, toStartOfFiveMinutes({time})");
    let trace = trace.map_or(String::new(), |trace| format!("{trace}, "));
    let ttl = form.ttl().map_or(String::new(), |t| format!("TTL {t}\n"));
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {table}{cluster}\n(\n  {lines}\n)\nENGINE = {engine}\n\
         PARTITION BY part_date\nPRIMARY KEY ({bucket})\nORDER BY ({bucket}, {trace}{time})\n\
         {ttl}SETTINGS {settings}\nCOMMENT {mark}",
        table = form.table(&name),
        cluster = form.on_cluster(),
        lines = lines.join(",\n  "),
        engine = form.engine("", ""),
        settings = form.settings(),
        mark = literal(&mark()),
    );
    Object {
        kind: Kind::Table(dataset),
        name,
        sql,
    }
}

fn twin(form: Form<'_>, name: &str, key: &str) -> Object {
    let cluster = form.0.cluster().unwrap_or_default();
    let sql = format!(
        "CREATE TABLE IF NOT EXISTS {twin}{on} AS {local}\nENGINE = Distributed({cluster}, \
         {database}, {local_name}, {key})\nCOMMENT {mark}",
        twin = form.table(name),
        on = form.on_cluster(),
        local = form.local(name),
        cluster = literal(cluster),
        database = literal(&form.0.database),
        local_name = literal(&form.local_name(name)),
        mark = literal(&mark()),
    );
    Object {
        kind: Kind::Twin,
        name: name.to_owned(),
        sql,
    }
}

/// All statements, to be read or applied by hand.
pub fn ddl(config: &ClickHouseConfig) -> String {
    let mut text = database(config);
    text.push_str(";\n");
    for object in objects(config) {
        text.push('\n');
        text.push_str(&object.sql);
        text.push_str(";\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_version_is_known_by_its_comment() {
        assert!(!is_newer(&mark()));
        assert!(is_newer("weir schema 99.1"));
        assert!(is_newer(&format!("weir schema {VERSION}.{}", LAYOUT + 1)));
        for other in ["", "spans of prod", "weir schema 0.9", "weir schema x"] {
            assert!(!is_newer(other), "{other}");
        }
    }

    #[test]
    fn every_table_remembers_tokens_in_both_forms() {
        let alone = ClickHouseConfig::default();
        let cluster = ClickHouseConfig {
            cluster: "c".to_owned(),
            ..alone.clone()
        };
        for (config, window) in [
            (alone, "non_replicated_deduplication_window = 10000"),
            (
                cluster,
                "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800",
            ),
        ] {
            let made = objects(&config);
            let tables = made
                .iter()
                .filter(|o| matches!(o.kind, Kind::Table(_) | Kind::Sums));
            let mut seen = 0;
            for table in tables {
                assert!(table.sql.contains(window), "{}", table.sql);
                seen += 1;
            }
            assert_eq!(seen, Dataset::ALL.len() + 1);
        }
    }
}
