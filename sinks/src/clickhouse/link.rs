//! Requests to one shard: connection, trust, time limits, and which replica.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::clickhouse::Client;
use ::clickhouse::error::Error;
use ::clickhouse::query::Query;
use arrow_array::RecordBatch;
use bytes::Bytes;
use clickhouse_ext_arrow::ArrowQueryExt;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use url::Url;

use super::config::{ClickHouseConfig, Compression};
use super::fault::ClickHouseError;

/// How long an idle connection is kept: ClickHouse closes its own after 3 seconds by default, and
/// a request on one that is being closed fails.
const IDLE: Duration = Duration::from_secs(2);
/// When a silent connection is asked whether it still stands.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// What every insert says, whatever the server's defaults and the user's profile are: they have
/// moved between versions, and exactness depends on each.
const PINNED: &[(&str, &str)] = &[
    // One block of an insert is one record batch, stored before the answer.
    ("async_insert", "0"),
    ("wait_end_of_query", "1"),
    ("max_insert_threads", "1"),
    ("max_insert_block_size", "1048576"),
    ("min_insert_block_size_rows", "1048449"),
    ("min_insert_block_size_bytes", "268402944"),
    // A repeated one is known, at the table and behind its views.
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // A view that fails must not pass unseen.
    ("materialized_views_ignore_errors", "0"),
    ("max_partitions_per_insert_block", "100"),
];

/// The replicas of a shard.
pub(super) struct Link {
    replicas: Vec<Replica>,
    at: AtomicUsize,
    timeout: Duration,
}

struct Replica {
    url: String,
    asks: Client,
    inserts: Client,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("url", &self.url())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn setup(text: String) -> ClickHouseError {
    ClickHouseError::Setup(text)
}

/// Makes the links to all shards, without connecting.
///
/// # Errors
///
/// Where a URL or the file of authorities cannot be used.
pub(super) fn links(config: &ClickHouseConfig) -> Result<Vec<Link>, ClickHouseError> {
    let shards = config.shards();
    let all = || shards.iter().flatten();
    for url in all() {
        check(url)?;
    }
    let tls = all().any(|url| url.starts_with("https:"));
    let client = client(config, tls)?;
    let link = |replicas: &Vec<String>| Link {
        replicas: replicas
            .iter()
            .map(|url| replica(config, &client, url))
            .collect(),
        at: AtomicUsize::new(0),
        timeout: config.timeout,
    };
    Ok(shards.iter().map(link).collect())
}

fn check(url: &str) -> Result<(), ClickHouseError> {
    // What is wrong with it is not quoted: it may hold a password.
    let parsed = Url::parse(url).map_err(|error| setup(format!("ClickHouse's URL: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        let wanted = "ClickHouse's URL must be that of its HTTP interface, as http://host:8123";
        return Err(setup(wanted.to_owned()));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        let wanted =
            "ClickHouse's URL must not hold a user or a password: they have their own keys";
        return Err(setup(wanted.to_owned()));
    }
    Ok(())
}

/// A client without a URL; all links share its connections.
fn client(config: &ClickHouseConfig, tls: bool) -> Result<Client, ClickHouseError> {
    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_connect_timeout(Some(config.connect_timeout));
    connector.set_nodelay(true);
    connector.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(trust(config, tls)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .build(connector);
    Ok(Client::with_http_client(pool))
}

fn trust(config: &ClickHouseConfig, tls: bool) -> Result<ClientConfig, ClickHouseError> {
    let mut roots = RootCertStore::empty();
    if !config.ca_file.is_empty() {
        let path = &config.ca_file;
        let unfit = |why: &dyn std::fmt::Display| setup(format!("{path}: {why}"));
        for one in CertificateDer::pem_file_iter(path).map_err(|e| unfit(&e))? {
            let one = one.map_err(|e| unfit(&e))?;
            roots.add(one).map_err(|e| unfit(&e))?;
        }
        if roots.is_empty() {
            return Err(unfit(&"no certificate in it"));
        }
    } else if tls {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| setup(format!("TLS: {error}")))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn replica(config: &ClickHouseConfig, client: &Client, url: &str) -> Replica {
    let asks = client
        .clone()
        .with_url(url)
        .with_compression(::clickhouse::Compression::None)
        .with_product_info("weir", env!("CARGO_PKG_VERSION"));
    let asks = asks.with_user(&config.user);
    let asks = match config.password.expose() {
        "" => asks,
        password => asks.with_password(password),
    };
    let mut inserts = asks.clone().with_compression(match config.compression {
        Compression::None => ::clickhouse::Compression::None,
        Compression::Lz4 => ::clickhouse::Compression::Lz4,
        Compression::Zstd => ::clickhouse::Compression::Zstd(1),
    });
    for (name, value) in &config.settings {
        inserts = inserts.with_setting(name, value);
    }
    for (name, value) in PINNED {
        inserts = inserts.with_setting(*name, *value);
    }
    let asks = asks.with_setting("wait_end_of_query", "1");
    let url = url.to_owned();
    Replica { url, asks, inserts }
}

impl Link {
    /// The replica that is asked now.
    fn replica(&self) -> Result<&Replica, ClickHouseError> {
        let at = self.at.load(Ordering::Relaxed) % self.replicas.len().max(1);
        let none = || setup("a shard of ClickHouse has no URL".to_owned());
        self.replicas.get(at).ok_or_else(none)
    }

    /// Its URL.
    pub(super) fn url(&self) -> &str {
        self.replica().map_or("", |replica| &replica.url)
    }

    /// Notes how a request went: after a link that failed the next replica is asked.
    fn noted<T>(&self, result: Result<T, ClickHouseError>) -> Result<T, ClickHouseError> {
        if result.as_ref().is_err_and(ClickHouseError::blames_link) {
            self.at.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, ClickHouseError> {
        let result = match tokio::time::timeout(self.timeout, request).await {
            Ok(result) => result.map_err(|error| ClickHouseError::of(&error)),
            Err(_) => Err(ClickHouseError::Late(self.timeout)),
        };
        self.noted(result)
    }

    fn query(&self, sql: &str) -> Result<Query, ClickHouseError> {
        Ok(self.replica()?.asks.query_raw(sql))
    }

    /// Runs a statement that has no answer.
    pub(super) async fn run(&self, sql: &str) -> Result<(), ClickHouseError> {
        let query = self.query(sql)?;
        self.within(Box::pin(query.execute())).await
    }

    /// Runs an insert that brings no rows, with the settings of those that do.
    pub(super) async fn try_insert(&self, sql: &str) -> Result<(), ClickHouseError> {
        let client = &self.replica()?.inserts;
        let plain = client
            .clone()
            .with_compression(::clickhouse::Compression::None);
        let query = plain.query_raw(sql);
        self.within(Box::pin(query.execute())).await
    }

    /// The rows that answer `sql`, as JSON values.
    pub(super) async fn rows(&self, sql: &str) -> Result<Vec<Vec<Value>>, ClickHouseError> {
        let query = self.query(sql)?;
        let bytes = self.within(Box::pin(async move {
            query.fetch_bytes("JSONCompactEachRow")?.collect().await
        }));
        let bytes = bytes.await?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|l| !l.is_empty());
        let rows: Result<_, serde_json::Error> = lines.map(serde_json::from_slice).collect();
        rows.map_err(|error| ClickHouseError::Link(format!("an answer that is no row: {error}")))
    }

    /// The number that answers `sql`; `None` for NULL or no row.
    pub(super) async fn number(&self, sql: &str) -> Result<Option<i64>, ClickHouseError> {
        let rows = self.rows(sql).await?;
        // 64-bit numbers come as text where the server is told to quote them.
        Ok(rows.first().and_then(|row| row.first()).and_then(|value| {
            let quoted = || value.as_str().and_then(|text| text.parse().ok());
            value.as_i64().or_else(quoted)
        }))
    }

    /// The rows that answer `sql`, as Arrow.
    pub(super) async fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>, ClickHouseError> {
        let query = self.query(sql)?;
        self.within(Box::pin(
            async move { query.fetch_arrow()?.collect().await },
        ))
        .await
    }

    /// Sends an insert: `sql` up to its format, the token that names it, and its body.
    pub(super) async fn insert(
        &self,
        sql: &str,
        token: &str,
        body: Vec<Bytes>,
    ) -> Result<(), ClickHouseError> {
        let client = &self.replica()?.inserts;
        let mut insert = client
            .insert_formatted_with(sql)
            .with_setting("insert_deduplication_token", token);
        self.within(Box::pin(async move {
            for piece in body {
                insert.send(piece).await?;
            }
            insert.end().await
        }))
        .await
    }
}
