//! The tables: made before the first row, and given the columns that they lack.

use std::collections::BTreeSet;

use weir_model::Dataset;

use super::api::Api;
use super::ddl;
use super::error::SnowflakeError;
use super::sql;

/// Snowflake's code for what does not exist, or not for this role.
const NOT_THERE: &str = "002003";

/// Which tables are known to be there.
#[derive(Debug, Default)]
pub(super) struct Tables(tokio::sync::Mutex<BTreeSet<(String, Dataset)>>);

impl Tables {
    /// Makes the table of `dataset` in `database`, once.
    pub(super) async fn ensure(
        &self,
        api: &Api,
        database: &str,
        dataset: Dataset,
    ) -> Result<(), SnowflakeError> {
        let key = (database.to_owned(), dataset);
        let mut known = self.0.lock().await;
        if known.contains(&key) {
            return Ok(());
        }
        if api.config.create_tables {
            make(api, database, dataset).await?;
        }
        known.insert(key);
        Ok(())
    }

    /// The table is not there after all: it is made at the next write.
    pub(super) async fn forget(&self, database: &str, dataset: Dataset) {
        self.0.lock().await.remove(&(database.to_owned(), dataset));
    }
}

async fn make(api: &Api, database: &str, dataset: Dataset) -> Result<(), SnowflakeError> {
    let config = &api.config;
    let table = ddl::table_path(config, database, dataset);
    let found = match describe(api, &table).await {
        Ok(found) => found,
        Err(error) if error.refusal().is_some_and(|r| r.code == NOT_THERE) => {
            return create(api, database, dataset).await;
        }
        Err(error) => return Err(error),
    };
    for column in dataset.columns() {
        if !found.contains(&column.name.to_uppercase()) {
            let statement = ddl::add_column(&table, column);
            let hint = " - may the role change the table?";
            let added = sql::run(api, "adding a column", &statement, &[]).await;
            added.map_err(|e| e.with_hint(hint))?;
        }
    }
    Ok(())
}

/// The names of the table's columns.
async fn describe(api: &Api, table: &str) -> Result<BTreeSet<String>, SnowflakeError> {
    let statement = format!("DESCRIBE TABLE {table}");
    let answer = sql::run(api, "looking at a table", &statement, &[]).await?;
    let rows = 0..answer.rows.len();
    let names = rows.filter_map(|row| answer.value(row, "name"));
    Ok(names.map(str::to_owned).collect())
}

async fn create(api: &Api, database: &str, dataset: Dataset) -> Result<(), SnowflakeError> {
    let config = &api.config;
    let hint = " - does the database exist, may the role make schemas and tables in it, and has the \
                account the Enterprise edition that `row_access_policy` needs?";
    let mut all = ddl::schema_statements(config, database);
    all.push(ddl::create_table(config, database, dataset));
    all.extend(ddl::create_pipe(config, database, dataset));
    for statement in all {
        let made = sql::run(api, "making a table", &statement, &[]).await;
        made.map_err(|e| e.with_hint(hint))?;
    }
    Ok(())
}
