//! Makes what is missing, widens what is narrower, and refuses what a newer weir has made.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::config::ClickHouseConfig;
use super::ddl::{self, Form, Kind, Object};
use super::fault::ClickHouseError;
use super::link::Link;
use super::types::{self, literal, quoted};

/// A table as the server describes it.
#[derive(Debug, Default)]
struct Found {
    engine: String,
    definition: String,
    comment: String,
    columns: BTreeSet<String>,
}

/// Brings the destination's tables to what this version writes; safe to run from many nodes.
///
/// # Errors
///
/// Where the server cannot be asked, does not let us, or has tables of a newer version. What was
/// made until then stays.
pub(super) async fn ensure(link: &Link, config: &ClickHouseConfig) -> Result<(), ClickHouseError> {
    let found = found(link, config).await?;
    if found.is_empty() && config.create_tables {
        make_database(link, config).await?;
    }
    for object in ddl::objects(config) {
        match found.get(&object.name) {
            None if config.create_tables => link.run(&object.sql).await?,
            None => {
                // The boards' views are a comfort.
                if object.kind != Kind::View {
                    return Err(by_hand(config, &format!("lacks the table {}", object.name)));
                }
            }
            Some(table) => reconcile(link, config, &object, table).await?,
        }
    }
    Ok(())
}

fn by_hand(config: &ClickHouseConfig, lack: &str) -> ClickHouseError {
    ClickHouseError::Setup(format!(
        "the database {} {lack}; run what `weir ddl clickhouse` prints, or let weir make its \
         tables",
        config.database
    ))
}

async fn make_database(link: &Link, config: &ClickHouseConfig) -> Result<(), ClickHouseError> {
    let name = literal(&config.database);
    let there = format!("SELECT count() FROM system.databases WHERE name = {name}");
    if link.number(&there).await? == Some(1) {
        return Ok(());
    }
    link.run(&ddl::database(config)).await
}

async fn found(
    link: &Link,
    config: &ClickHouseConfig,
) -> Result<BTreeMap<String, Found>, ClickHouseError> {
    let database = literal(&config.database);
    let sql = format!(
        "SELECT name, engine, engine_full, comment FROM system.tables WHERE database = {database}"
    );
    let text = |row: &[Value], at: usize| -> String {
        let value = row.get(at).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let mut tables = BTreeMap::new();
    for row in link.rows(&sql).await? {
        let table = Found {
            engine: text(&row, 1),
            definition: text(&row, 2),
            comment: text(&row, 3),
            columns: BTreeSet::new(),
        };
        tables.insert(text(&row, 0), table);
    }
    let sql = format!("SELECT table, name FROM system.columns WHERE database = {database}");
    for row in link.rows(&sql).await? {
        if let Some(table) = tables.get_mut(&text(&row, 0)) {
            table.columns.insert(text(&row, 1));
        }
    }
    Ok(tables)
}

async fn reconcile(
    link: &Link,
    config: &ClickHouseConfig,
    object: &Object,
    table: &Found,
) -> Result<(), ClickHouseError> {
    if ddl::is_newer(&table.comment) {
        return Err(ClickHouseError::Setup(format!(
            "the table {}.{} was made by a newer weir ({}, this one knows {}): run that version, \
             or name another database",
            config.database,
            object.name,
            table.comment,
            ddl::mark()
        )));
    }
    match object.kind {
        Kind::View => {
            // A table of that name is the exporter's own.
            let ours = table.engine == "View" && table.comment.starts_with("weir");
            if ours && table.comment != ddl::mark() && config.create_tables {
                link.run(&object.sql).await?;
            }
            Ok(())
        }
        Kind::Filled => Ok(()),
        Kind::Table(_) | Kind::Sums | Kind::Twin => {
            let changes = changes(config, object, table);
            let narrow = changes.first().filter(|c| c.starts_with("ADD COLUMN"));
            if !config.create_tables {
                let name = &object.name;
                return match narrow {
                    Some(_) => Err(by_hand(config, &format!("lacks columns in {name}"))),
                    None => Ok(()),
                };
            }
            let form = Form(config);
            for change in changes {
                let (name, on) = (form.table(&object.name), form.on_cluster());
                link.run(&format!("ALTER TABLE {name}{on} {change}"))
                    .await?;
            }
            Ok(())
        }
    }
}

/// What has to change at a table that is there.
fn changes(config: &ClickHouseConfig, object: &Object, table: &Found) -> Vec<String> {
    let form = Form(config);
    let mut changes = Vec::new();
    let dataset = match object.kind {
        Kind::Table(dataset) => Some(dataset),
        Kind::Twin => weir_model::Dataset::from_name(&object.name),
        Kind::Sums | Kind::Filled | Kind::View => None,
    };
    let mut before = None;
    for (name, definition) in dataset.map_or(Vec::new(), types::columns) {
        if !table.columns.contains(name) {
            let place = before.map_or(String::new(), |b| format!(" AFTER {}", quoted(b)));
            let name = quoted(name);
            changes.push(format!(
                "ADD COLUMN IF NOT EXISTS {name} {definition}{place}"
            ));
        }
        before = Some(name);
    }
    if matches!(object.kind, Kind::Table(_) | Kind::Sums) {
        for window in form.windows() {
            if !table.definition.contains(&window) {
                changes.push(format!("MODIFY SETTING {window}"));
            }
        }
    }
    if let (Kind::Table(_), Some(ttl)) = (object.kind, form.ttl())
        && !table.definition.contains(&format!("TTL {ttl}"))
    {
        // Old partitions follow with their next merge instead of all at once.
        changes.push(format!(
            "MODIFY TTL {ttl} SETTINGS materialize_ttl_after_modify = 0"
        ));
    }
    if table.comment != ddl::mark() && table.comment.starts_with("weir") {
        changes.push(format!("MODIFY COMMENT {}", literal(&ddl::mark())));
    }
    changes
}
