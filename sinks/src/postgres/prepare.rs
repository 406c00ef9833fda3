//! What must be so before the first row: a server, a role and tables that fit.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;
use weir_model::Dataset;

use super::config::{Partitions, Period, PostgresConfig};
use super::encode::Value;
use super::error::PostgresError;
use super::layout::{Ddl, Decided, LAYOUT};
use super::session::{Session, Statement};
use super::timescale::Timescale;

/// The oldest server that does all that is asked of it.
const VERSION_MIN: i32 = 150_000;

/// The number under which nodes that start at once wait for one another to make tables and
/// partitions.
pub(super) const LOCK: i64 = 0x7765_6972_0002;

const FACTS: &str = "SELECT current_setting('server_version_num')::int4, \
     current_setting('server_version'), \
     current_setting('server_encoding'), \
     r.rolname::text, r.rolsuper OR r.rolbypassrls, \
     current_setting('transaction_read_only') = 'on', \
     (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'), \
     current_setting('timescaledb.license', true), \
     EXISTS (SELECT FROM pg_namespace WHERE nspname = $1), \
     to_regclass($1 || '._weir_layout') IS NOT NULL, \
     EXISTS (SELECT FROM pg_roles WHERE rolname = $2) \
     FROM pg_roles r WHERE r.rolname = current_user";

const COLUMNS: &str = "SELECT c.relname::text, a.attname::text FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
     AND a.attnum > 0 AND NOT a.attisdropped";

const PARTITIONS: &str = "SELECT c.relname::text FROM pg_class c \
     JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relispartition AND c.relkind = 'r'";

/// For each relation of the schema whether the role may write it, and the reader read it.
const RIGHTS: &str = "SELECT c.relname::text, has_table_privilege(current_user, c.oid, 'INSERT'), \
     $2 = '' OR (has_schema_privilege($2, n.oid, 'USAGE') \
     AND has_table_privilege($2, c.oid, 'SELECT')) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v')";

/// What the server says of itself and of the role.
#[derive(Debug)]
struct Facts {
    number: i32,
    version: String,
    encoding: String,
    role: String,
    sees_all: bool,
    read_only: bool,
    timescale: Option<String>,
    license: Option<String>,
    schema: bool,
    layout: bool,
    reader: bool,
}

/// The tables as they are, and what is known to be in them.
#[derive(Debug)]
pub(super) struct Ready {
    /// The server's version, and TimescaleDB's where it is used.
    pub(super) version: String,
    pub(super) decided: Decided,
    /// Partitions that are there: the first day, and the day after the last.
    pub(super) partitions: Mutex<HashMap<Dataset, Vec<(i32, i32)>>>,
    /// Tenants that are in `_weir_tenants`.
    pub(super) tenants: Mutex<HashSet<(Dataset, String)>>,
    /// When chunks were dropped last, where no policy of the server does so.
    pub(super) expired: Mutex<Option<Instant>>,
}

/// Who prepares, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    pub(super) session: &'a Session,
    pub(super) place: &'a str,
    pub(super) sink: &'a str,
    pub(super) config: &'a PostgresConfig,
}

/// A column of a row.
///
/// # Errors
///
/// Where the server gives something else than was asked for.
pub(super) fn get<T: FromSqlOwned>(place: &str, row: &Row, at: usize) -> Result<T, PostgresError> {
    row.try_get(at)
        .map_err(|error| PostgresError::of(place, error))
}

impl Asker<'_> {
    /// Looks at the server, and makes the tables or brings them up to date where that is needed.
    ///
    /// # Errors
    ///
    /// Where it cannot be used; nothing is changed then.
    pub(super) async fn prepare(self) -> Result<Ready, PostgresError> {
        // Most starts find nothing to do, and need not wait for one another.
        let (mut facts, mut decided, script) = self.look().await?;
        if !script.is_empty() {
            let begin = self.session.begin();
            let lock = format!("{begin}SELECT pg_advisory_xact_lock({LOCK});");
            self.session.script(&lock).await?;
            let script;
            (facts, decided, script) = self.look().await?;
            let made = self.session.script(&format!("{script}COMMIT;")).await;
            made.map_err(PostgresError::before_rows)?;
        }
        let mut version = facts.version;
        if let (Some(_), Some(timescale)) = (decided.timescale, facts.timescale) {
            version = format!("{version}, timescaledb {timescale}");
        }
        Ok(Ready {
            version,
            decided,
            partitions: Mutex::default(),
            tenants: Mutex::default(),
            expired: Mutex::default(),
        })
    }

    fn unfit(&self, reason: String) -> PostgresError {
        PostgresError::Unfit {
            place: self.place.to_owned(),
            reason,
        }
    }

    fn get<T: FromSqlOwned>(&self, row: &Row, at: usize) -> Result<T, PostgresError> {
        get(self.place, row, at)
    }

    /// What there is, and the statements that are missing to what there should be.
    async fn look(self) -> Result<(Facts, Decided, String), PostgresError> {
        let facts = self.facts().await?;
        if let Some(reason) = facts.unfit(self.config) {
            return Err(self.unfit(reason));
        }
        if facts.layout {
            let decided = self.decided(&facts).await?;
            let script = self.changes(&decided).await?;
            return Ok((facts, decided, script));
        }
        let decided = facts
            .decide(self.config)
            .map_err(|reason| self.unfit(reason))?;
        let mut script = String::new();
        if !facts.schema {
            script = format!("CREATE SCHEMA {};\n", self.config.schema);
        }
        let ddl = Ddl {
            config: self.config,
            decided: &decided,
        };
        script.push_str(&ddl.all(self.sink));
        Ok((facts, decided, script))
    }

    async fn facts(&self) -> Result<Facts, PostgresError> {
        let reader = self.config.reader().unwrap_or_default();
        let values = vec![Value::text(&self.config.schema), Value::text(reader)];
        let rows = self.session.ask(&Statement::new(FACTS, values)).await?;
        let Some(row) = rows.first() else {
            return Err(self.unfit("the role does not know itself".to_owned()));
        };
        Ok(Facts {
            number: self.get(row, 0)?,
            version: self.get(row, 1)?,
            encoding: self.get(row, 2)?,
            role: self.get(row, 3)?,
            sees_all: self.get(row, 4)?,
            read_only: self.get(row, 5)?,
            timescale: self.get(row, 6)?,
            license: self.get(row, 7)?,
            schema: self.get(row, 8)?,
            layout: self.get(row, 9)?,
            reader: self.get(row, 10)?,
        })
    }

    /// What was decided when the tables were made.
    async fn decided(&self, facts: &Facts) -> Result<Decided, PostgresError> {
        let schema = &self.config.schema;
        let text =
            format!("SELECT layout, mode, period, row_security, sink FROM {schema}._weir_layout");
        let rows = self.session.ask(&Statement::new(text, Vec::new())).await?;
        let [row] = rows.as_slice() else {
            let reason = format!("{schema}._weir_layout must have one row: restore it");
            return Err(self.unfit(reason));
        };
        let layout: i32 = self.get(row, 0)?;
        if layout > LAYOUT {
            return Err(self.unfit(format!(
                "the tables of schema `{schema}` have layout {layout}, newer than the {LAYOUT} that \
                 this weir writes: start the newer weir again, or name another schema; nothing was \
                 changed"
            )));
        }
        let sink: String = self.get(row, 4)?;
        if sink != self.sink {
            let ours = self.sink;
            return Err(self.unfit(format!(
                "schema `{schema}` is written by the sink `{sink}`: give `{ours}` a schema of its \
                 own, or, if that is its old name, UPDATE {schema}._weir_layout SET sink = '{ours}'"
            )));
        }
        let (mode, period): (String, String) = (self.get(row, 1)?, self.get(row, 2)?);
        let timescale = mode == "timescale";
        if timescale && facts.timescale.is_none() {
            let reason = "the tables are TimescaleDB's, and the database has lost the extension";
            return Err(self.unfit(reason.to_owned()));
        }
        Ok(Decided {
            timescale: timescale.then(|| Timescale::of(facts.license.as_deref())),
            period: Period::from_name(&period).unwrap_or_default(),
            row_security: self.get(row, 3)?,
        })
    }

    /// The statements that bring tables that are there up to date.
    async fn changes(&self, decided: &Decided) -> Result<String, PostgresError> {
        let config = self.config;
        let ddl = Ddl { config, decided };
        let schema = || vec![Value::text(&config.schema)];
        let mut there: HashMap<String, HashSet<String>> = HashMap::new();
        let rows = self.session.ask(&Statement::new(COLUMNS, schema())).await?;
        for row in &rows {
            let table = there.entry(self.get(row, 0)?).or_default();
            table.insert(self.get(row, 1)?);
        }
        let mut script = ddl.missing(&there);
        if !config.single_tenant && !decided.row_security && decided.timescale.is_none() {
            let asked = Statement::new(PARTITIONS, schema());
            let rows = self.session.ask(&asked).await?;
            let names = rows.iter().map(|row| self.get(row, 0));
            script.push_str(&ddl.secure_all(&names.collect::<Result<Vec<String>, _>>()?));
        }
        let reader = config.reader().unwrap_or_default();
        let mut values = schema();
        values.push(Value::text(reader));
        let rows = self.session.ask(&Statement::new(RIGHTS, values)).await?;
        let mut readable = true;
        for row in &rows {
            let name: String = self.get(row, 0)?;
            let (writes, reads): (bool, bool) = (self.get(row, 1)?, self.get(row, 2)?);
            let is_dataset = Dataset::from_name(&name).is_some();
            readable &= reads || !is_dataset;
            let written = Dataset::ALL.into_iter().any(|dataset| {
                let table = ddl.table(dataset);
                table.rsplit('.').next() == Some(name.as_str())
            });
            if written && !writes {
                let schema = &config.schema;
                return Err(self.unfit(format!(
                    "the role may not write {schema}.{name}: GRANT ALL ON ALL TABLES IN SCHEMA \
                     {schema} to it, or let it own the tables"
                )));
            }
        }
        if !readable || !script.is_empty() {
            script.push_str(&ddl.grants());
        }
        Ok(script)
    }
}

impl Facts {
    /// Why this server or role cannot be used, and what to do.
    fn unfit(&self, config: &PostgresConfig) -> Option<String> {
        let (version, role, encoding) = (&self.version, &self.role, &self.encoding);
        if self.number < VERSION_MIN {
            return Some(format!(
                "Postgres {version} is too old: 15 or later is needed"
            ));
        }
        if encoding != "UTF8" {
            return Some(format!(
                "the database's encoding is {encoding}, which cannot hold every text: CREATE \
                 DATABASE ... ENCODING 'UTF8' TEMPLATE template0, and name that one in `url`"
            ));
        }
        if self.sees_all && !config.single_tenant {
            return Some(format!(
                "the role `{role}` is a superuser or has BYPASSRLS, so that row-level security \
                 would not keep tenants apart: connect as a role that is neither (CREATE ROLE \
                 weir_writer LOGIN PASSWORD '...'; GRANT CREATE ON DATABASE ... TO weir_writer), or \
                 set `single_tenant: true` where all rows are of one customer"
            ));
        }
        if self.read_only {
            return Some(format!(
                "it is read-only for the role `{role}`: name the primary server, or a role that \
                 may write (default_transaction_read_only)"
            ));
        }
        match config.reader() {
            Some(reader) if !self.reader => Some(format!(
                "`reader_role`: there is no role `{reader}`: CREATE ROLE it, or leave the setting out"
            )),
            Some(_) | None => None,
        }
    }

    /// Decides how tables are made.
    fn decide(&self, config: &PostgresConfig) -> Result<Decided, String> {
        let edition = || Timescale::of(self.license.as_deref());
        let wanted = config.partitions().unwrap_or_default();
        let timescale = match (wanted, &self.timescale) {
            (Partitions::Native, _) | (Partitions::Auto, None) => None,
            (Partitions::Auto | Partitions::Timescale, Some(_)) => Some(edition()),
            (Partitions::Timescale, None) => {
                return Err(
                    "`partitions: timescale`, and the database does not have the extension: \
                     CREATE EXTENSION timescaledb there as a superuser, or leave the setting out"
                        .to_owned(),
                );
            }
        };
        Ok(Decided {
            row_security: timescale.is_none() && !config.single_tenant,
            timescale,
            period: config.period(),
        })
    }
}
