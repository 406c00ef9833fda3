//! The tables, and how those of an earlier weir are brought up to date.
//!
//! ```text
//! spans, proxy_audit, ...   one table a dataset, its columns those of the model's schema, and _exact
//! spans_p20261116, ...      its partitions, by part_date, under the same row-level security
//! _weir_layout              the layout of all this, and whose it is
//! _weir_writers             a row that a node's writers of a dataset lock, one after another
//! _weir_stored              which batches of which node are in the tables (ranges of numbers)
//! _weir_pieces              which rows, of batches that came in pieces
//! _weir_tenants             which tenants have rows
//! ```
//!
//! With TimescaleDB the rows are in hypertables `spans_rows`, ..., which nobody but the writer may
//! read, and `spans`, ... are views with a security barrier: row-level security excludes columnar
//! chunks there, and does not hold for chunks that are named directly.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use weir_model::Dataset;
use weir_model::schema::Column;

use super::config::{Period, PostgresConfig};
use super::encode::type_name;
use super::exact::EXACT;
use super::timescale::{self, Timescale};
use crate::sql::{always_there, days_text, lookups};

/// The layout that this program reads and writes.
pub(super) const LAYOUT: i32 = 1;

/// Whose row it is, as the database sees it: nobody's where no tenant is set. After a transaction
/// that had set it the setting is empty rather than absent.
const TENANT: &str = "tenant_id = nullif(current_setting('app.tenant_id', true), '')";

/// What was decided when the tables were made; it holds whatever configuration says later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decided {
    /// The hypertables' edition, where there are hypertables.
    pub(super) timescale: Option<Timescale>,
    /// The time that a partition holds.
    pub(super) period: Period,
    /// Whether tables are under row-level security.
    pub(super) row_security: bool,
}

/// Writes statements for one schema.
#[derive(Debug)]
pub(super) struct Ddl<'a> {
    pub(super) config: &'a PostgresConfig,
    pub(super) decided: &'a Decided,
}

impl Ddl<'_> {
    fn schema(&self) -> &str {
        &self.config.schema
    }

    /// The table that rows are written to.
    pub(super) fn table(&self, dataset: Dataset) -> String {
        let ending = if self.decided.timescale.is_some() {
            "_rows"
        } else {
            ""
        };
        format!("{}.{dataset}{ending}", self.schema())
    }

    /// Everything that a database without any of it gets, but for the schema.
    pub(super) fn all(&self, sink: &str) -> String {
        let mut text = self.record(sink);
        for dataset in Dataset::ALL {
            text.push_str(&self.dataset(dataset));
        }
        text.push_str(&self.grants());
        text
    }

    fn record(&self, sink: &str) -> String {
        let (schema, decided) = (self.schema(), self.decided);
        let mode = if decided.timescale.is_some() {
            "timescale"
        } else {
            "native"
        };
        let (period, secured) = (decided.period.name(), decided.row_security);
        let sink = sink.replace('\'', "''");
        format!(
            "CREATE TABLE {schema}._weir_layout (
    layout integer NOT NULL,
    mode text NOT NULL,
    period text NOT NULL,
    row_security boolean NOT NULL,
    sink text NOT NULL
);
INSERT INTO {schema}._weir_layout VALUES ({LAYOUT}, '{mode}', '{period}', {secured}, '{sink}');
CREATE TABLE {schema}._weir_writers (
    node text NOT NULL,
    dataset text NOT NULL,
    PRIMARY KEY (node, dataset)
);
CREATE TABLE {schema}._weir_stored (
    node text NOT NULL,
    dataset text NOT NULL,
    first_batch bigint NOT NULL,
    last_batch bigint NOT NULL,
    PRIMARY KEY (node, dataset, first_batch)
);
CREATE TABLE {schema}._weir_pieces (
    node text NOT NULL,
    dataset text NOT NULL,
    batch bigint NOT NULL,
    first_row integer NOT NULL,
    end_row integer NOT NULL,
    PRIMARY KEY (node, dataset, batch, first_row)
);
CREATE TABLE {schema}._weir_tenants (
    dataset text NOT NULL,
    tenant_id text NOT NULL,
    PRIMARY KEY (dataset, tenant_id)
);
"
        )
    }

    /// A dataset's table with all that belongs to it.
    fn dataset(&self, dataset: Dataset) -> String {
        let (schema, table) = (self.schema(), self.table(dataset));
        let mut text = format!("CREATE TABLE {table} (\n");
        // Writing to a string does not fail.
        for column in dataset.columns() {
            let _ = writeln!(text, "    {},", definition(column));
        }
        let _ = write!(text, "    {EXACT} json\n)");
        text.push_str(match self.decided.timescale {
            Some(_) => ";\n",
            None => " PARTITION BY RANGE (part_date);\n",
        });
        for column in dataset.columns() {
            text.push_str(&comment(&table, column));
        }
        let said = "Values of this row that Postgres cannot hold as they are, exactly, by column";
        let _ = writeln!(text, "COMMENT ON COLUMN {table}.{EXACT} IS '{said}';");
        text.push_str(&self.indexes(dataset));
        if self.decided.row_security {
            text.push_str(&secure(&table));
        }
        if let Some(edition) = self.decided.timescale {
            text.push_str(&timescale::hypertable(
                &table,
                dataset,
                edition,
                self.config,
                self.decided.period,
            ));
            let _ = write!(text, "{}", view(schema, dataset, &table));
        }
        text
    }

    fn indexes(&self, dataset: Dataset) -> String {
        let (table, found) = (self.table(dataset), lookups(dataset));
        let mut text = String::new();
        for name in [found.id, found.trace].into_iter().flatten() {
            // A hash index takes ids of any length.
            let _ = writeln!(
                text,
                "CREATE INDEX {dataset}_by_{name} ON {table} USING hash ({name}) \
                 WHERE {name} IS NOT NULL;"
            );
        }
        if let Some(name) = found.skill {
            let time = dataset.time_column();
            let _ = writeln!(
                text,
                "CREATE INDEX {dataset}_by_{name} ON {table} (tenant_id, {name}, {time} DESC) \
                 WHERE {name} IS NOT NULL;"
            );
        }
        text
    }

    /// What brings tables with the columns `there` (by table, without the schema) up to date;
    /// empty where nothing is missing.
    pub(super) fn missing(&self, there: &HashMap<String, HashSet<String>>) -> String {
        let mut text = String::new();
        for dataset in Dataset::ALL {
            let table = self.table(dataset);
            let name = table.rsplit('.').next().unwrap_or_default();
            let Some(columns) = there.get(name) else {
                text.push_str(&self.dataset(dataset));
                continue;
            };
            let mut widened = false;
            for column in dataset.columns() {
                if !columns.contains(column.name) {
                    let (name, kind) = (column.name, type_name(column.kind));
                    let _ = writeln!(text, "ALTER TABLE {table} ADD COLUMN {name} {kind};");
                    text.push_str(&comment(&table, column));
                    widened = true;
                }
            }
            if widened && self.decided.timescale.is_some() {
                text.push_str(&view(self.schema(), dataset, &table));
            }
        }
        text
    }

    /// Puts tables and partitions that were made without row-level security under it.
    pub(super) fn secure_all(&self, partitions: &[String]) -> String {
        let schema = self.schema();
        let tables = Dataset::ALL.iter().map(|dataset| self.table(*dataset));
        let partitions = partitions.iter().map(|name| format!("{schema}.{name}"));
        let mut text: String = tables.chain(partitions).map(|name| secure(&name)).collect();
        let _ = writeln!(
            text,
            "UPDATE {schema}._weir_layout SET row_security = true;"
        );
        text
    }

    /// What lets the reading role read.
    pub(super) fn grants(&self) -> String {
        let Some(role) = self.config.reader() else {
            return String::new();
        };
        let (schema, role) = (self.schema(), quoted(role));
        let mut text = format!("GRANT USAGE ON SCHEMA {schema} TO {role};\n");
        for dataset in Dataset::ALL {
            let _ = writeln!(text, "GRANT SELECT ON {schema}.{dataset} TO {role};");
        }
        text
    }

    /// The partition of `dataset` that begins on the day `start`.
    pub(super) fn partition(&self, dataset: Dataset, start: i32) -> String {
        let (schema, parent) = (self.schema(), self.table(dataset));
        let child = format!("{schema}.{}", partition_name(dataset, start));
        let end = start.saturating_add(self.decided.period.days());
        let (from, to) = (days_text(i64::from(start)), days_text(i64::from(end)));
        // Made apart and then attached, which readers of the parent need not wait for.
        let mut text =
            format!("CREATE TABLE {child} (LIKE {parent} INCLUDING ALL EXCLUDING INDEXES);\n");
        if self.decided.row_security {
            text.push_str(&secure(&child));
        }
        let _ = writeln!(
            text,
            "ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM ('{from}') TO ('{to}');"
        );
        text
    }
}

/// The name of the partition that begins on the day `start`, without the schema.
pub(super) fn partition_name(dataset: Dataset, start: i32) -> String {
    let day = days_text(i64::from(start)).replace('-', "");
    format!("{dataset}_p{day}")
}

fn definition(column: &Column) -> String {
    let not_null = if always_there(column.name) {
        " NOT NULL"
    } else {
        ""
    };
    format!("{} {}{not_null}", column.name, type_name(column.kind))
}

fn comment(table: &str, column: &Column) -> String {
    let doc = column.doc.replace('\'', "''");
    format!("COMMENT ON COLUMN {table}.{} IS '{doc}';\n", column.name)
}

/// A session sees and writes the rows of the tenant that it has set, the owner's sessions too.
fn secure(table: &str) -> String {
    format!(
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY weir_tenant ON {table} USING ({TENANT}) WITH CHECK ({TENANT});
"
    )
}

fn view(schema: &str, dataset: Dataset, table: &str) -> String {
    format!(
        "CREATE OR REPLACE VIEW {schema}.{dataset} WITH (security_barrier) AS \
         SELECT * FROM {table} WHERE {TENANT};\n"
    )
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
