//! What a ClickHouse destination is told.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Secret;

/// How requests are compressed on the wire, by ClickHouse's own framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: the cheapest for both sides where the network is not the limit.
    #[default]
    None,
    /// LZ4: about a third of the bytes.
    Lz4,
    /// Zstandard, level 1: about a quarter of the bytes.
    Zstd,
}

/// A ClickHouse destination, single node or cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickHouseConfig {
    /// The HTTP interface: `http://host:8123`, or `https://host:8443` for TLS.
    pub url: String,
    /// The shards of a cluster in the order of its definition, each with the URLs of its replicas
    /// between blanks; rows go to the local tables of one replica of each. Empty: [`Self::url`] is
    /// the only shard.
    pub shards: Vec<String>,
    /// The database; it is made where it is missing.
    pub database: String,
    /// The user, who needs the rights to make tables and to insert.
    pub user: String,
    /// Their password; empty for none.
    pub password: Secret,
    /// A PEM file with the only authorities to trust, instead of the system's; empty for those.
    pub ca_file: String,
    /// How requests are compressed.
    pub compression: Compression,
    /// The cluster's name, for tables `ON CLUSTER` with replicas and distributed twins; empty for a
    /// single server.
    pub cluster: String,
    /// Whether tables are made and widened; without, what `weir ddl clickhouse` prints must be
    /// there.
    pub create_tables: bool,
    /// After how many days partitions are deleted; `None` keeps them.
    pub retention_days: Option<u64>,
    /// The storage policy of new tables; empty for the server's default.
    pub storage_policy: String,
    /// The volume of that policy to which older partitions are moved; empty for none.
    pub cold_volume: String,
    /// Days after its date when a partition is moved there.
    pub cold_after_days: u64,
    /// How many inserts a table remembers, to know a repeated one.
    pub dedup_window: u64,
    /// How long an insert or a query may take until it counts as lost.
    pub timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// Rows after which no more batches are waited for.
    pub rows_max: u64,
    /// Bytes in memory after which no more batches are waited for.
    pub bytes_max: u64,
    /// How long the first batch of a run waits for others.
    pub gather: Duration,
    /// How many inserts of one dataset are on their way at once; at least 1.
    pub concurrency: u64,
    /// Further settings of every insert, `insert_quorum` say; those that exactness needs win.
    pub settings: BTreeMap<String, String>,
}

impl Default for ClickHouseConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8123".to_owned(),
            shards: Vec::new(),
            database: "weir".to_owned(),
            user: "default".to_owned(),
            password: Secret::default(),
            ca_file: String::new(),
            compression: Compression::default(),
            cluster: String::new(),
            create_tables: true,
            retention_days: None,
            storage_policy: String::new(),
            cold_volume: String::new(),
            cold_after_days: 30,
            // An outage during which other nodes insert 10,000 times is asked about row by row.
            dedup_window: 10_000,
            timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            rows_max: 128 * 1024,
            bytes_max: 64 * 1024 * 1024,
            gather: Duration::ZERO,
            // Two keep a server busy; more only make more parts to merge.
            concurrency: 2,
            settings: BTreeMap::new(),
        }
    }
}

impl ClickHouseConfig {
    /// The cluster's name, where there is one.
    pub(super) fn cluster(&self) -> Option<&str> {
        (!self.cluster.is_empty()).then_some(self.cluster.as_str())
    }

    /// The replicas of each shard.
    pub(super) fn shards(&self) -> Vec<Vec<String>> {
        let split = |shard: &String| -> Vec<String> {
            shard.split_whitespace().map(str::to_owned).collect()
        };
        let shards = self.shards.iter().map(split).filter(|s| !s.is_empty());
        let shards: Vec<Vec<String>> = shards.collect();
        if shards.is_empty() {
            return vec![vec![self.url.clone()]];
        }
        shards
    }
}
