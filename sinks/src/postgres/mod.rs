//! Postgres 15 or later as a destination, with TimescaleDB where the database has it.
//!
//! A table for each dataset has the columns of the model's schema: times are `timestamptz` (exact
//! nanoseconds stand beside them as `bigint`), money `numeric(24,12)`, lists, maps and structs
//! `jsonb`. What Postgres cannot hold as it is (NUL characters, mainly) is in `_exact` besides.
//!
//! # Invariants
//!
//! * Rows and the record of which batches they are of are one transaction, and writers of one node
//!   go one after another: a run is there whole, and once, or not at all.
//! * A session sees the rows of the tenant in `app.tenant_id`, and none where it is not set; the
//!   owner too. A role that such rules do not bind is refused, unless all rows are of one customer.
//! * Nothing is needed of the server that a transaction pooler does not keep.

mod config;
mod count;
mod encode;
mod error;
mod exact;
mod layout;
mod partitions;
mod prepare;
mod session;
mod timescale;
mod write;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};
use weir_postgres::{AddressError, Server};

pub use config::{PARTITIONS, PERIODS, PostgresConfig};
pub use error::PostgresError;

use self::config::Partitions;
use self::encode::Value;
use self::layout::{Ddl, Decided};
use self::prepare::{Asker, Ready, get};
use self::session::{Pool, Session, Statement};
use crate::{Engine, Part, Receipt, Sink, SinkError};

/// The statements that make an empty database's tables, as [`PostgresSink`] does by itself, under
/// the sink's name `postgres`. Partitions are made as rows need them. With
/// `partitions: timescale` they are those for the community edition.
pub fn ddl(config: &PostgresConfig) -> String {
    let wanted = config.partitions() == Some(Partitions::Timescale);
    let timescale = wanted.then_some(timescale::Timescale::Community);
    let decided = Decided {
        row_security: timescale.is_none() && !config.single_tenant,
        timescale,
        period: config.period(),
    };
    let ddl = Ddl {
        config,
        decided: &decided,
    };
    let schema = &config.schema;
    format!(
        "CREATE SCHEMA IF NOT EXISTS {schema};\n{}",
        ddl.all("postgres")
    )
}

/// Writes to Postgres.
#[derive(Clone, Debug)]
pub struct PostgresSink {
    name: Arc<str>,
    config: Arc<PostgresConfig>,
    pool: Arc<Pool>,
    ready: Arc<tokio::sync::Mutex<Option<Arc<Ready>>>>,
}

impl PostgresSink {
    /// A sink called `name`. Nothing is connected to.
    ///
    /// # Errors
    ///
    /// Where a setting cannot be used. None of them repeats the address.
    pub fn new(name: &str, config: PostgresConfig) -> Result<Self, SinkError> {
        config.check()?;
        let authorities = Some(Path::new(&config.ca_file));
        let authorities = authorities.filter(|path| !path.as_os_str().is_empty());
        let server = Server::new(config.url.expose(), authorities, config.connect_timeout);
        let server = server.map_err(|error| PostgresError::Setting {
            setting: match &error {
                AddressError::Url | AddressError::Tls => "url",
                AddressError::Authorities { .. } => "ca_file",
            },
            reason: error.to_string(),
        })?;
        let pool = Pool::new(server, config.connections_max, config.timeout);
        Ok(Self {
            name: Arc::from(name),
            config: Arc::new(config),
            pool: Arc::new(pool),
            ready: Arc::default(),
        })
    }

    /// Runs `work` on a connection to tables that are as they should be.
    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(Asker<'_>, &Ready) -> Result<T, PostgresError>,
    ) -> Result<T, SinkError> {
        let run = async |session: &Session| {
            let asker = Asker {
                session,
                place: self.pool.place(),
                sink: &self.name,
                config: &self.config,
            };
            let ready = self.ready(asker).await?;
            work(asker, &ready).await
        };
        let done = self.pool.run(run).await;
        if done.as_ref().is_err_and(PostgresError::tables_changed) {
            *self.ready.lock().await = None;
        }
        Ok(done?)
    }

    async fn ready(&self, asker: Asker<'_>) -> Result<Arc<Ready>, PostgresError> {
        let mut ready = self.ready.lock().await;
        if let Some(ready) = ready.as_ref() {
            return Ok(Arc::clone(ready));
        }
        let prepared = Box::pin(asker.prepare()).await;
        let made = Arc::new(prepared.map_err(PostgresError::before_rows)?);
        *ready = Some(Arc::clone(&made));
        Ok(made)
    }
}

#[async_trait]
impl Sink for PostgresSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn appetite(&self) -> Want {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Want {
            rows_max: size(self.config.rows_max),
            bytes_max: size(self.config.bytes_max),
            gather: self.config.gather,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        // Looked at anew: a person asks because something may have changed.
        *self.ready.lock().await = None;
        let version = self.run(async |_, ready| Ok(ready.version.clone())).await?;
        let pooler = if self.pool.server().is_pooler() {
            ", through a transaction pooler"
        } else {
            ""
        };
        Ok(Engine {
            name: "postgres".to_owned(),
            version: format!("{version}{pooler}"),
        })
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let rows = self
            .run(async |asker, ready| Box::pin(asker.write(ready, run)).await)
            .await?;
        Ok(Receipt {
            rows,
            place: format!("{} {}", self.pool.place(), self.config.schema),
        })
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        let ask = async |asker: Asker<'_>, _: &Ready| {
            let schema = &self.config.schema;
            let text = format!(
                "SELECT max(last_batch) FROM {schema}._weir_stored WHERE node = $1 AND dataset = $2"
            );
            let values = vec![Value::text(node.as_str()), Value::text(dataset.name())];
            let rows = asker.session.ask(&Statement::new(text, values)).await?;
            rows.first()
                .map_or(Ok(None), |row| get(asker.place, row, 0))
        };
        self.run(ask).await
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        let ask = async |asker: Asker<'_>, ready: &Ready| {
            Box::pin(asker.count(ready, dataset, node)).await
        };
        self.run(ask).await
    }
}
