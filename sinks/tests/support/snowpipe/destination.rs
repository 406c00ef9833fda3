//! The stand-in as a destination of the contract suite and the drill.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use weir_model::Dataset;
use weir_sinks::Sink;
use weir_sinks::contract::Destination;
use weir_sinks::snowflake::{SnowflakeConfig, SnowflakeSink};

use super::auth::{ACCOUNT, KEY_FILE, ROLE, USER};
use super::{Emulator, decode};

type Decoded = BTreeMap<(String, Dataset), (usize, Vec<RecordBatch>)>;

/// The stand-in, and how sinks get there.
pub(crate) struct Snow {
    pub(crate) emulator: Emulator,
    pub(crate) config: SnowflakeConfig,
    /// What was decoded of a table before, and how many rows that were: rows are only added.
    decoded: Mutex<Decoded>,
}

impl Snow {
    /// A new account without a limit of requests, and a configuration that polls often.
    pub(crate) async fn start() -> Self {
        let emulator = Emulator::start().await;
        emulator.requests_per_second(usize::MAX);
        let config = SnowflakeConfig {
            account: ACCOUNT.to_lowercase(),
            url: format!("https://{}", emulator.address),
            user: USER.to_lowercase(),
            role: ROLE.to_lowercase(),
            private_key_file: KEY_FILE.to_owned(),
            warehouse: "loading".to_owned(),
            requests_per_second: 100_000,
            commit_poll: Duration::from_millis(5),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(2),
            resend_pause: Duration::from_millis(3),
            ca_file: emulator.ca_file().to_str().unwrap().to_owned(),
            ..SnowflakeConfig::default()
        };
        Self {
            emulator,
            config,
            decoded: Mutex::default(),
        }
    }

    /// Gives each tenant of the suite's rows a database of its own; another one is there as well.
    pub(crate) fn by_tenant(&mut self) {
        self.config.database = "weir_{tenant}".to_owned();
        let databases = ["WEIR_ACME", "WEIR_GLOBEX-2", "OTHER"].map(str::to_owned);
        self.emulator.catalog(|c| c.databases = databases.to_vec());
    }

    /// A sink that is opened anew.
    pub(crate) fn open(&self) -> SnowflakeSink {
        SnowflakeSink::new("snowflake", self.config.clone()).unwrap()
    }

    fn databases(&self) -> Vec<String> {
        let mut databases = Vec::new();
        self.emulator
            .catalog(|c| databases.clone_from(&c.databases));
        databases
    }

    /// All rows, of all databases.
    pub(crate) fn all(&self, dataset: Dataset) -> Vec<Arc<Map<String, Value>>> {
        let databases = self.databases();
        let rows = databases
            .iter()
            .flat_map(|d| self.emulator.rows_in(d, dataset.name(), 0));
        rows.collect()
    }
}

#[async_trait]
impl Destination for Snow {
    async fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.open())
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        let mut all = Vec::new();
        for database in self.databases() {
            let key = (database.clone(), dataset);
            let mut decoded = self.decoded.lock();
            let (known, batches) = decoded.entry(key).or_default();
            let new = self.emulator.rows_in(&database, dataset.name(), *known);
            *known += new.len();
            if !new.is_empty() {
                batches.push(decode::batch(dataset, &new));
            }
            all.extend(batches.iter().cloned());
        }
        if all.is_empty() {
            all.push(RecordBatch::new_empty(dataset.schema()));
        }
        all
    }
}

/// The same for the drill, which looks at names alone.
pub(crate) struct Names(pub(crate) Snow);

#[async_trait]
impl Destination for Names {
    async fn sink(&self) -> Arc<dyn Sink> {
        self.0.sink().await
    }

    async fn rows(&self, dataset: Dataset) -> Vec<RecordBatch> {
        vec![decode::names(&self.0.all(dataset))]
    }
}
