//! Tables, policies, pipes and stages, derived from the one schema.

use std::fmt::Write as _;

use weir_model::Dataset;
use weir_model::schema::{Column, ColumnType, MONEY, MONEY_SUM};

use super::config::{Mode, SnowflakeConfig};

/// The policy that hides other tenants' rows.
const POLICY: &str = "WEIR_TENANT_ISOLATION";
/// Which role may see which tenant; `*` is every tenant.
const ACCESS: &str = "WEIR_TENANT_ACCESS";

/// A name as Snowflake reads it unchanged.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The name of a column or table: in capitals, so that it needs no quotes in queries.
pub(super) fn upper(name: &str) -> String {
    quoted(&name.to_uppercase())
}

/// Whether a column is nested, which Snowflake keeps as a `VARIANT`.
pub(super) fn is_nested(kind: ColumnType) -> bool {
    match kind {
        ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => true,
        ColumnType::Text
        | ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::Float64
        | ColumnType::Bool
        | ColumnType::Date
        | ColumnType::Time
        | ColumnType::Money
        | ColumnType::MoneySum => false,
    }
}

/// The type of a column.
pub(super) fn type_of(column: &Column) -> String {
    if is_nested(column.kind) {
        return "VARIANT".to_owned();
    }
    let (precision, scale) = if column.kind == ColumnType::MoneySum {
        MONEY_SUM
    } else {
        MONEY
    };
    let name = match column.kind {
        ColumnType::Int32 => "NUMBER(10,0)",
        ColumnType::Int64 => "NUMBER(19,0)",
        ColumnType::Float64 => "FLOAT",
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Date => "DATE",
        ColumnType::Time => "TIMESTAMP_NTZ(6)",
        ColumnType::Money | ColumnType::MoneySum => return format!("NUMBER({precision},{scale})"),
        ColumnType::Text
        | ColumnType::Texts
        | ColumnType::Ints
        | ColumnType::Attributes
        | ColumnType::SpanEvents
        | ColumnType::SpanLinks => "VARCHAR",
    };
    name.to_owned()
}

/// `DATABASE.SCHEMA`.
pub(super) fn schema_path(config: &SnowflakeConfig, database: &str) -> String {
    format!("{}.{}", quoted(database), quoted(&config.schema_name()))
}

/// `DATABASE.SCHEMA.TABLE`.
pub(super) fn table_path(config: &SnowflakeConfig, database: &str, dataset: Dataset) -> String {
    let schema = schema_path(config, database);
    format!("{schema}.{}", upper(dataset.name()))
}

/// What has to be there before tables: the schema, and what the policy needs.
pub(super) fn schema_statements(config: &SnowflakeConfig, database: &str) -> Vec<String> {
    let schema = schema_path(config, database);
    let mut all = vec![format!("CREATE SCHEMA IF NOT EXISTS {schema}")];
    if !config.row_access_policy {
        return all;
    }
    let access = format!("{schema}.{}", quoted(ACCESS));
    all.push(format!(
        "CREATE TABLE IF NOT EXISTS {access} (\"ROLE_NAME\" VARCHAR NOT NULL, \
         \"TENANT_ID\" VARCHAR NOT NULL) COMMENT = 'Which role sees which tenant; * is every tenant'"
    ));
    // The writer itself counts and looks up rows, so it must see them all.
    let writer = if config.role.is_empty() {
        String::new()
    } else {
        format!(
            "CURRENT_ROLE() = {} OR ",
            literal(&config.role.to_uppercase())
        )
    };
    all.push(format!(
        "CREATE ROW ACCESS POLICY IF NOT EXISTS {schema}.{} AS (tenant VARCHAR) RETURNS BOOLEAN -> \
         {writer}EXISTS (SELECT 1 FROM {access} a WHERE a.\"ROLE_NAME\" = CURRENT_ROLE() \
         AND a.\"TENANT_ID\" IN (tenant, '*'))",
        quoted(POLICY)
    ));
    all
}

/// Makes the table of `dataset`.
pub(super) fn create_table(config: &SnowflakeConfig, database: &str, dataset: Dataset) -> String {
    let table = table_path(config, database, dataset);
    let mut text = format!("CREATE TABLE IF NOT EXISTS {table} (");
    for (n, column) in dataset.columns().iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let null = if column.nullable { "" } else { " NOT NULL" };
        let (name, kind) = (upper(column.name), type_of(column));
        let doc = literal(column.doc);
        // Writing into a text does not fail.
        write!(text, "{comma}\n  {name} {kind}{null} COMMENT {doc}").ok();
    }
    text.push_str("\n) CLUSTER BY (\"TENANT_ID\", \"PART_DATE\")");
    if config.row_access_policy {
        let policy = format!("{}.{}", schema_path(config, database), quoted(POLICY));
        write!(text, " WITH ROW ACCESS POLICY {policy} ON (\"TENANT_ID\")").ok();
    }
    text
}

/// Adds a column that a table of an earlier version lacks; its rows read NULL there.
pub(super) fn add_column(table: &str, column: &Column) -> String {
    let (name, kind) = (upper(column.name), type_of(column));
    let doc = literal(column.doc);
    format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {kind} COMMENT {doc}")
}

/// The pipe of `dataset`; `None` where Snowflake keeps it by itself.
pub(super) fn create_pipe(
    config: &SnowflakeConfig,
    database: &str,
    dataset: Dataset,
) -> Option<String> {
    if config.default_pipe() {
        return None;
    }
    let schema = schema_path(config, database);
    let (pipe, table) = (
        config.pipe_of(dataset),
        table_path(config, database, dataset),
    );
    Some(format!(
        "CREATE PIPE IF NOT EXISTS {schema}.{} AS COPY INTO {table} \
         FROM TABLE(DATA_SOURCE(TYPE => 'STREAMING')) MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE",
        quoted(&pipe)
    ))
}

/// A view of the rows, each once: what readers use where delivery is at least once.
fn once_view(config: &SnowflakeConfig, database: &str, dataset: Dataset) -> String {
    let (schema, table) = (
        schema_path(config, database),
        table_path(config, database, dataset),
    );
    let view = upper(&format!("{}_once", dataset.name()));
    format!(
        "CREATE VIEW IF NOT EXISTS {schema}.{view} AS SELECT * FROM {table} QUALIFY ROW_NUMBER() \
         OVER (PARTITION BY \"_NODE\", \"_BATCH\", \"_ROW\" ORDER BY \"RECEIVED_AT\") = 1"
    )
}

/// `COPY INTO` of the files of `dataset` in the stage.
pub(super) fn copy_into(config: &SnowflakeConfig, database: &str, dataset: Dataset) -> String {
    let columns = dataset.columns();
    let names: Vec<String> = columns.iter().map(|c| upper(c.name)).collect();
    let values: Vec<String> = columns
        .iter()
        .map(|column| {
            let name = quoted(column.name);
            if is_nested(column.kind) {
                format!("PARSE_JSON($1:{name}::VARCHAR)")
            } else {
                format!("$1:{name}::{}", type_of(column))
            }
        })
        .collect();
    let schema = schema_path(config, database);
    let (stage, folder) = (upper(&config.stage_name), dataset.name());
    let tenant = if config.by_tenant() {
        format!("database={database}/")
    } else {
        String::new()
    };
    format!(
        "COPY INTO {} ({})\n  FROM (SELECT {}\n  FROM @{schema}.{stage}/{folder}/{tenant})\n  \
         FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)",
        table_path(config, database, dataset),
        names.join(", "),
        values.join(", "),
    )
}

fn create_stage(config: &SnowflakeConfig, database: &str) -> String {
    let schema = schema_path(config, database);
    // Snowflake writes these two in its own way.
    let url = match config.stage_url.split_once("://") {
        Some(("gs", rest)) => format!("gcs://{rest}"),
        Some(("az", rest)) => format!("azure://<account>.blob.core.windows.net/{rest}"),
        Some(_) | None => config.stage_url.clone(),
    };
    let access = if config.stage_integration.is_empty() {
        String::new()
    } else {
        format!(
            " STORAGE_INTEGRATION = {}",
            upper(&config.stage_integration)
        )
    };
    format!(
        "CREATE STAGE IF NOT EXISTS {schema}.{} URL = {}{access} \
         FILE_FORMAT = (TYPE = PARQUET USE_LOGICAL_TYPE = TRUE)",
        upper(&config.stage_name),
        literal(&url),
    )
}

/// Everything that this sink needs in Snowflake, as statements that can be run again and again.
/// Where each tenant has a database of its own, `{tenant}` stands in their place.
pub fn ddl(config: &SnowflakeConfig) -> String {
    let database = config
        .database
        .to_uppercase()
        .replace("{TENANT}", "{tenant}");
    let mut all = schema_statements(config, &database);
    for dataset in Dataset::ALL {
        all.push(create_table(config, &database, dataset));
        if config.way() == Mode::Rowset {
            all.extend(create_pipe(config, &database, dataset));
        }
        if config.way() == Mode::Elastic {
            all.push(once_view(config, &database, dataset));
        }
    }
    if config.way() == Mode::Stage {
        let schema = schema_path(config, &database);
        all.push(create_stage(config, &database));
        for dataset in Dataset::ALL {
            let pipe = upper(&format!("{}_stage", dataset.name()));
            let copy = copy_into(config, &database, dataset);
            all.push(format!(
                "CREATE PIPE IF NOT EXISTS {schema}.{pipe} AUTO_INGEST = TRUE AS\n{copy}"
            ));
        }
    }
    let mut text = all.join(";\n\n");
    text.push_str(";\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_every_dataset_is_there_in_each_mode() {
        for mode in SnowflakeConfig::MODES {
            let config = SnowflakeConfig {
                mode: (*mode).to_owned(),
                role: "weir_writer".to_owned(),
                database: "weir_{tenant}".to_owned(),
                ..SnowflakeConfig::default()
            };
            let text = ddl(&config);
            for dataset in Dataset::ALL {
                let table = format!("\"WEIR_{{tenant}}\".\"PUBLIC\".{}", upper(dataset.name()));
                assert!(
                    text.contains(&format!("TABLE IF NOT EXISTS {table} (")),
                    "{text}"
                );
                for column in dataset.columns() {
                    let line = format!("\n  {} {}", upper(column.name), type_of(column));
                    assert!(text.contains(&line), "{dataset}: {line}");
                }
            }
            assert!(text.contains("CURRENT_ROLE() = 'WEIR_WRITER' OR EXISTS"));
            let copies = text.matches("COPY INTO").count();
            let stage = *mode == "stage";
            assert_eq!(copies, if stage { Dataset::ALL.len() } else { 0 });
            assert_eq!(text.contains("_ONCE\""), *mode == "elastic");
        }
    }

    #[test]
    fn names_and_texts_cannot_break_out() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's \\"), "'it''s \\\\'");
        let config = SnowflakeConfig {
            pipe: "mine_{table}".to_owned(),
            row_access_policy: false,
            ..SnowflakeConfig::default()
        };
        let text = ddl(&config);
        assert!(text.contains("PIPE IF NOT EXISTS \"WEIR\".\"PUBLIC\".\"MINE_SPANS\""));
        assert!(!text.contains("ROW ACCESS POLICY"));
    }
}
