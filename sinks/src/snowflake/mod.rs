//! Snowflake: rows through Snowpipe Streaming, each once.
//!
//! Rows of a node and dataset go through one named channel, in order, and carry their place as the
//! channel's offset token. A write is done when Snowflake has *committed* the token, not when it
//! has answered the append: rows that are not committed are discarded when a channel is opened
//! anew. One that opens a channel learns the committed token, which says where to go on.
//!
//! ```text
//! run -> by database -> lane (one writer a channel) -> cut into requests -> append ... append
//!                         |                                                     |
//!                         '-- rows that the token does not speak for:     committed token
//!                             looked up in the table (SQL), mended
//! ```
//!
//! # Invariants
//!
//! * A row is appended to a channel only past its committed token, or after a look at the table
//!   while no other append can be on its way.
//! * Rows that Snowflake takes and leaves out are found and refused by name; none is lost silently.
//! * No message quotes a row, a token or a key.

mod access;
mod api;
mod channel;
mod config;
mod cut;
mod ddl;
mod doubt;
mod error;
mod gauges;
mod json;
mod jwt;
mod lane;
mod sql;
mod stage;
mod tables;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use weir_model::clock::SystemClock;
use weir_model::source::Want;
use weir_model::{Classify, Dataset, Fault, NodeId};

use crate::{Engine, Part, Receipt, Sink, SinkError};
use api::Api;
use channel::Address;
use config::Mode;
pub use config::SnowflakeConfig;
use cut::{Slice, by_database, cut};
pub use ddl::ddl;
use error::Reaction;
pub use error::{Refusal, SnowflakeError};
use gauges::Gauges;
pub use gauges::SnowflakeStatus;
use lane::Lane;
use stage::Stage;
use tables::Tables;
use token::OffsetToken;

/// So many databases are written to at the same time, where each tenant has its own.
const DATABASES_AT_ONCE: usize = 8;

/// How rows leave.
#[derive(Debug)]
enum Way {
    /// Through the streaming service.
    Stream(Arc<Api>),
    /// As files.
    Stage(Stage),
}

/// Writes to Snowflake.
#[derive(Debug)]
pub struct SnowflakeSink {
    name: String,
    config: Arc<SnowflakeConfig>,
    way: Way,
    tables: Tables,
    lanes: Mutex<BTreeMap<(String, Dataset, NodeId), Arc<Lane>>>,
    gauges: Arc<Gauges>,
}

fn boxed(error: SnowflakeError) -> SinkError {
    Box::new(error)
}

/// Whether the rows of a request that failed so may be there all the same.
fn may_have_arrived(error: &SnowflakeError) -> bool {
    let status = error.refusal().map(|r| r.status);
    let lost = matches!(error, SnowflakeError::Unreachable { .. });
    lost || status.is_some_and(|s| s >= 500)
}

impl SnowflakeSink {
    /// A sink called `name`. Nothing is asked of Snowflake.
    ///
    /// # Errors
    ///
    /// Where the configuration cannot be right for any account, or the certificates that it names
    /// cannot be read.
    pub fn new(name: &str, config: SnowflakeConfig) -> Result<Self, SinkError> {
        config.check().map_err(boxed)?;
        let config = Arc::new(config);
        let way = if config.way() == Mode::Stage {
            Way::Stage(Stage::new(Arc::clone(&config)).map_err(boxed)?)
        } else {
            let api = Api::new(Arc::clone(&config), Arc::new(SystemClock));
            Way::Stream(Arc::new(api.map_err(boxed)?))
        };
        Ok(Self {
            name: name.to_owned(),
            config,
            way,
            tables: Tables::default(),
            lanes: Mutex::default(),
            gauges: Arc::default(),
        })
    }

    /// How it stands.
    pub fn status(&self) -> SnowflakeStatus {
        self.gauges.status()
    }

    /// How far readers of Snowflake are behind what was sent: how long the longest wait for a commit
    /// has gone on, or how long the last one took; zero where nothing was sent yet.
    pub fn lag(&self) -> Duration {
        let status = self.status();
        status.waiting.or(status.settled_last).unwrap_or_default()
    }

    fn address(&self, database: &str, dataset: Dataset, node: &NodeId) -> Address {
        // In capitals throughout: in some places Snowflake folds the case of names, in others not.
        let prefix = &self.config.channel;
        let name = format!("{prefix}-{node}-{dataset}").to_uppercase();
        Address {
            database: database.to_owned(),
            schema: self.config.schema_name(),
            pipe: self.config.pipe_of(dataset),
            name,
        }
    }

    fn lane(&self, api: &Arc<Api>, database: &str, dataset: Dataset, node: &NodeId) -> Arc<Lane> {
        let key = (database.to_owned(), dataset, node.clone());
        let mut lanes = self.lanes.lock();
        let lane = lanes.entry(key).or_insert_with(|| {
            Arc::new(Lane {
                api: Arc::clone(api),
                at: self.address(database, dataset, node),
                table: ddl::table_path(&self.config, database, dataset),
                node: node.to_string(),
                gauges: Arc::clone(&self.gauges),
                state: tokio::sync::Mutex::default(),
            })
        });
        Arc::clone(lane)
    }

    /// Writes what goes to one database.
    async fn write_one(
        &self,
        api: &Arc<Api>,
        (dataset, node): (Dataset, &NodeId),
        (database, slices): (String, Vec<Slice>),
    ) -> Result<u64, SnowflakeError> {
        self.tables.ensure(api, &database, dataset).await?;
        let done = if self.config.way() == Mode::Elastic {
            let mut at = self.address(&database, dataset, node);
            "ELASTIC".clone_into(&mut at.name);
            self.write_elastic(api, &at, (dataset, node), slices).await
        } else {
            let lane = self.lane(api, &database, dataset, node);
            Box::pin(lane.write(slices)).await
        };
        if let Err(error) = &done {
            let reaction = error.refusal().map(Refusal::reaction);
            if reaction == Some(Reaction::Missing) {
                self.tables.forget(&database, dataset).await;
            }
        }
        done
    }

    /// Sends to the elastic channel. A request's id follows from its rows, so that a server that
    /// remembers ids may know it again; a reader knows a row by `_NODE`, `_BATCH`, `_ROW`.
    async fn write_elastic(
        &self,
        api: &Api,
        at: &Address,
        (dataset, node): (Dataset, &NodeId),
        slices: Vec<Slice>,
    ) -> Result<u64, SnowflakeError> {
        let config = Arc::clone(&self.config);
        let work = tokio::task::spawn_blocking(move || cut(&config, &slices));
        let pieces = work.await.map_err(SnowflakeError::encode)??;
        let mut stored = 0;
        self.gauges.begin(&at.name);
        for piece in pieces {
            let name = format!(
                "{}/{dataset}/{node}/{:?}/{:?}",
                at.database, piece.first, piece.last
            );
            let hash = Sha256::digest(name);
            let bits = hash
                .iter()
                .take(16)
                .fold(0, |n: u128, b| n << 8 | u128::from(*b));
            let sent = channel::append_elastic(api, at, &piece, api::uuid(bits)).await;
            if sent.as_ref().is_err_and(may_have_arrived) {
                self.gauges.possible_duplicate();
            }
            sent?;
            stored += piece.rows as u64;
        }
        self.gauges.end(&at.name);
        Ok(stored)
    }

    async fn write_stream(&self, api: &Arc<Api>, run: &[Part]) -> Result<Receipt, SnowflakeError> {
        let Some(first) = run.first() else {
            return Ok(Receipt {
                rows: 0,
                place: String::new(),
            });
        };
        let (dataset, node) = (first.batch().dataset(), &first.batch().id().node);
        let all = by_database(&self.config, run)?;
        let databases = all.len();
        let writes = all
            .into_iter()
            .map(|one| Box::pin(self.write_one(api, (dataset, node), one)));
        let done: Vec<Result<u64, SnowflakeError>> = futures::stream::iter(writes)
            .buffer_unordered(DATABASES_AT_ONCE)
            .collect()
            .await;
        let (mut rows, mut worst) = (0, None);
        for one in done {
            match one {
                Ok(stored) => rows += stored,
                // What may work later comes first: only then are rows known to be refused.
                Err(error) if worst.is_none() || error.fault() != Fault::Permanent => {
                    worst = Some(error);
                }
                Err(_) => {}
            }
        }
        let name = self.address("", dataset, node).name;
        worst.map_or_else(
            || {
                Ok(Receipt {
                    rows,
                    place: format!("channel {name} of {databases} databases"),
                })
            },
            Err,
        )
    }

    /// The databases that exist and hold rows of tenants.
    async fn databases(&self, api: &Api) -> Result<Vec<String>, SnowflakeError> {
        if !self.config.by_tenant() {
            return Ok(vec![self.config.database_of("")]);
        }
        let template = self.config.database.to_uppercase();
        let (head, tail) = template.split_once("{TENANT}").unwrap_or((&template, ""));
        let statement = format!("SHOW DATABASES LIKE {}", ddl::literal(&format!("{head}%")));
        let answer = sql::run(api, "listing databases", &statement, &[]).await?;
        let rows = 0..answer.rows.len();
        let names = rows.filter_map(|row| answer.value(row, "name"));
        let ours = names.filter(|name| {
            name.starts_with(head) && name.ends_with(tail) && name.len() > head.len() + tail.len()
        });
        Ok(ours.map(str::to_owned).collect())
    }

    async fn count_rows(
        &self,
        api: &Api,
        dataset: Dataset,
        node: &NodeId,
    ) -> Result<u64, SnowflakeError> {
        let mut rows = 0;
        for database in self.databases(api).await? {
            // A reader finds no rows in a table that is not there.
            self.tables.ensure(api, &database, dataset).await?;
            let table = ddl::table_path(&self.config, &database, dataset);
            let statement = doubt::count_statement(&table);
            let node = serde_json::Value::from(node.as_str());
            let answer = sql::run(api, "counting rows", &statement, &[node]).await?;
            rows += answer.number().ok_or_else(|| SnowflakeError::Answer {
                what: "counting rows",
                why: "it is no number".to_owned(),
            })?;
        }
        Ok(rows)
    }

    async fn last_whole(
        &self,
        api: &Api,
        dataset: Dataset,
        node: &NodeId,
    ) -> Result<Option<i64>, SnowflakeError> {
        // With a database for each tenant no one channel knows; and elastic ones keep no account.
        if self.config.by_tenant() || self.config.way() != Mode::Rowset {
            return Ok(None);
        }
        let database = self.config.database_of("");
        self.tables.ensure(api, &database, dataset).await?;
        let at = self.address(&database, dataset, node);
        let status = channel::status(api, &at).await?;
        let token = status.and_then(|s| s.committed);
        let token = token.and_then(|text| text.parse::<OffsetToken>().ok());
        Ok(token.and_then(|t| t.last_whole()))
    }

    /// Tries everything but writing rows.
    async fn try_out(&self, api: &Api) -> Result<Engine, SnowflakeError> {
        let what = "asking for the version";
        let statement = "SELECT CURRENT_VERSION()";
        let answer = sql::run(api, what, statement, &[]).await?;
        let version = answer.rows.first().and_then(|row| row.first()).cloned();
        if !self.config.by_tenant() {
            let database = self.config.database_of("");
            self.tables.ensure(api, &database, Dataset::Spans).await?;
            let node = NodeId::from_bits(rand::random());
            let mut at = self.address(&database, Dataset::Spans, &node);
            at.name = format!("{}-PROBE", at.name);
            let hint = " - does the table exist, and may the role insert into it?";
            if self.config.way() == Mode::Rowset {
                channel::open(api, &at, true)
                    .await
                    .map_err(|e| e.with_hint(hint))?;
                channel::drop(api, &at).await?;
            }
        }
        Ok(Engine {
            name: "snowflake".to_owned(),
            version: version.flatten().unwrap_or_default(),
        })
    }
}

#[async_trait]
impl Sink for SnowflakeSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn appetite(&self) -> Want {
        Want {
            rows_max: self.config.run_rows,
            bytes_max: usize::try_from(self.config.run_bytes).unwrap_or(usize::MAX),
            gather: self.config.gather,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        match &self.way {
            Way::Stream(api) => Box::pin(self.try_out(api)).await.map_err(boxed),
            Way::Stage(stage) => {
                stage.probe().await.map_err(boxed)?;
                Ok(Engine {
                    name: "snowflake-stage".to_owned(),
                    version: String::new(),
                })
            }
        }
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        match &self.way {
            Way::Stream(api) => Box::pin(self.write_stream(api, run)).await.map_err(boxed),
            Way::Stage(stage) => {
                let rows = Box::pin(stage.write(run)).await.map_err(boxed)?;
                let place = format!("{} files", run.len());
                Ok(Receipt { rows, place })
            }
        }
    }

    async fn last_batch(&self, dataset: Dataset, node: &NodeId) -> Result<Option<i64>, SinkError> {
        match &self.way {
            Way::Stream(api) => {
                let last = Box::pin(self.last_whole(api, dataset, node)).await;
                last.map_err(boxed)
            }
            Way::Stage(_) => Ok(None),
        }
    }

    async fn count(&self, dataset: Dataset, node: &NodeId) -> Result<u64, SinkError> {
        match &self.way {
            Way::Stream(api) => {
                let rows = Box::pin(self.count_rows(api, dataset, node)).await;
                rows.map_err(boxed)
            }
            Way::Stage(stage) => stage.count(dataset, node).await.map_err(boxed),
        }
    }
}
