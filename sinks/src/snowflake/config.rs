//! What an operator says about a Snowflake account.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;
use weir_model::Dataset;

use super::error::SnowflakeError;

/// The most that one request of a channel may carry on the wire, in bytes. Snowflake: 4 MB; taken
/// as decimal, since no page says that it is not.
pub(super) const WIRE_BYTES_MAX: u64 = 4_000_000;
/// The most that a request holds before compression where it holds several rows, in bytes: what
/// does not compress at all still fits the wire.
const REQUEST_BYTES_MAX: u64 = 3_900_000;
/// The requests that a channel takes in a second, by Snowflake's page of limits.
const REQUESTS_PER_SECOND_MAX: u32 = 10;

/// Stands for the tenant in [`SnowflakeConfig::database`].
const TENANT: &str = "{tenant}";
/// Stands for the table in [`SnowflakeConfig::pipe`].
const TABLE: &str = "{table}";

/// How rows get to Snowflake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SnowflakeMode {
    /// Named channels of Snowpipe Streaming: ordered, exactly once.
    #[default]
    Rowset,
    /// The elastic channel: at least once; a row is known by `_NODE`, `_BATCH`, `_ROW`.
    Elastic,
    /// Parquet files in an external stage, which a pipe or a task of Snowflake loads: once, since
    /// Snowflake loads a file of one name once.
    Stage,
}

/// A text that no message shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SnowflakeSecret(String);

impl SnowflakeSecret {
    /// Keeps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SnowflakeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the user is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnowflakeAuth {
    /// By a key pair: the private key, PKCS#8 in PEM without a passphrase. The file is read anew
    /// each time a token is signed, so that a key may be changed while weir runs.
    KeyPair {
        /// The file.
        private_key_file: PathBuf,
    },
    /// By a programmatic access token.
    AccessToken(SnowflakeSecret),
}

/// Where `mode: stage` puts its files, and how Snowflake gets at them.
#[derive(Clone, PartialEq, Eq)]
pub struct SnowflakeStage {
    /// The place: `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/prefix`, or a folder.
    pub url: String,
    /// Options of the object store, by the names that the lake's options have; may hold secrets.
    pub options: BTreeMap<String, String>,
    /// The storage integration that the printed `CREATE STAGE` names; empty for none.
    pub integration: String,
    /// The stage's name in Snowflake.
    pub name: String,
}

impl fmt::Debug for SnowflakeStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        let mut shown = f.debug_struct("SnowflakeStage");
        let shown = shown.field("options", &options);
        let shown = shown.field("integration", &self.integration);
        shown.field("name", &self.name).finish_non_exhaustive()
    }
}

impl Default for SnowflakeStage {
    fn default() -> Self {
        Self {
            url: String::new(),
            options: BTreeMap::new(),
            integration: String::new(),
            name: "WEIR_STAGE".to_owned(),
        }
    }
}

/// How the sink works; the defaults are those of a production account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnowflakeConfig {
    /// The account, `ORGANISATION-ACCOUNT` or a locator.
    pub account: String,
    /// The account's URL; empty for `https://<account>.snowflakecomputing.com`.
    pub url: String,
    /// The user; not needed with an access token.
    pub user: String,
    /// The role; empty for the user's own default.
    pub role: String,
    /// How the user is known.
    pub auth: SnowflakeAuth,
    /// The database. `{tenant}` in it stands for the tenant's id, in capitals, and gives each
    /// tenant a database of its own; the databases must be there.
    pub database: String,
    /// The schema; made where it is missing.
    pub schema: String,
    /// The pipe that rows go through; `{table}` stands for the table. The default is the pipe that
    /// Snowflake itself keeps for every table.
    pub pipe: String,
    /// What channel names begin with; the node and the dataset follow.
    pub channel: String,
    /// The warehouse that counts rows and looks for single ones; empty for the user's default.
    /// Ordinary delivery needs none.
    pub warehouse: String,
    /// How rows get there.
    pub mode: SnowflakeMode,
    /// Whether the schema, its tables and missing columns are made; otherwise they must be there.
    pub create_tables: bool,
    /// Whether tables are made with a row access policy on the tenant, which needs the Enterprise
    /// edition.
    pub row_access_policy: bool,
    /// How hard zstd tries, 1 to 19.
    pub compression_level: i32,
    /// The most that one request holds before compression, in bytes; requests are cut by it, so
    /// that cuts depend on nothing but the rows. At most 3,900,000.
    pub request_bytes: u64,
    /// How many requests a channel may send in a second; Snowflake takes ten.
    pub requests_per_second: u32,
    /// The most rows that are delivered before their commit is waited for.
    pub run_rows: usize,
    /// The most bytes of memory that those rows take.
    pub run_bytes: u64,
    /// How long the first batch of a run waits for others.
    pub gather: Duration,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// How long one SQL statement may take, with a warehouse that has to wake up.
    pub statement_timeout: Duration,
    /// How long one attempt waits for Snowflake to commit; waiting goes on with the next.
    pub commit_timeout: Duration,
    /// How long rows that an earlier writer left uncommitted may take before they are discarded
    /// and sent again.
    pub takeover_timeout: Duration,
    /// After how long it is asked for the first time whether rows are committed; the pauses grow to
    /// a second.
    pub commit_poll: Duration,
    /// The first pause before a request that failed is sent again, within one attempt; the second
    /// is twice as long.
    pub resend_pause: Duration,
    /// Certificates, in PEM, that are trusted besides those of the system.
    pub tls_ca_file: Option<PathBuf>,
    /// For `mode: stage`.
    pub stage: SnowflakeStage,
}

impl Default for SnowflakeConfig {
    fn default() -> Self {
        Self {
            account: String::new(),
            url: String::new(),
            user: String::new(),
            role: String::new(),
            auth: SnowflakeAuth::KeyPair {
                private_key_file: PathBuf::new(),
            },
            database: "WEIR".to_owned(),
            schema: "PUBLIC".to_owned(),
            pipe: "{table}-STREAMING".to_owned(),
            channel: "WEIR".to_owned(),
            warehouse: String::new(),
            mode: SnowflakeMode::Rowset,
            create_tables: true,
            row_access_policy: true,
            compression_level: 3,
            request_bytes: REQUEST_BYTES_MAX,
            requests_per_second: REQUESTS_PER_SECOND_MAX,
            run_rows: 128 * 1024,
            run_bytes: 32 * 1024 * 1024,
            gather: Duration::ZERO,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            statement_timeout: Duration::from_secs(120),
            commit_timeout: Duration::from_secs(60),
            takeover_timeout: Duration::from_secs(30),
            commit_poll: Duration::from_millis(50),
            resend_pause: Duration::from_millis(200),
            tls_ca_file: None,
            stage: SnowflakeStage::default(),
        }
    }
}

impl SnowflakeConfig {
    /// The account's URL, without a path.
    ///
    /// # Errors
    ///
    /// Where it is none, or not `https`.
    pub(super) fn account_url(&self) -> Result<Url, SnowflakeError> {
        let text = if self.url.is_empty() {
            // Certificates hold no underscores: Snowflake serves the name with hyphens as well.
            let host = self.account.to_lowercase().replace('_', "-");
            format!("https://{host}.snowflakecomputing.com")
        } else {
            self.url.clone()
        };
        let url = Url::parse(&text)
            .map_err(|e| SnowflakeError::config(format!("`{text}` is no URL: {e}")))?;
        if url.scheme() != "https" || url.host_str().is_none() {
            let why = "Snowflake is only reached over https";
            return Err(SnowflakeError::config(format!("`{text}`: {why}")));
        }
        Ok(url)
    }

    /// Finds what no account could make right.
    ///
    /// # Errors
    ///
    /// Names the first setting that is wrong.
    pub(super) fn check(&self) -> Result<(), SnowflakeError> {
        let wrong = |what: &str| Err(SnowflakeError::config(what.to_owned()));
        if self.mode == SnowflakeMode::Stage {
            if self.stage.url.is_empty() {
                return wrong("`stage.url` is empty: where are the files to go?");
            }
        } else {
            self.account_url()?;
            if self.account.is_empty() {
                return wrong("`account` is empty");
            }
            match &self.auth {
                SnowflakeAuth::KeyPair { private_key_file } => {
                    if self.user.is_empty() {
                        return wrong("`user` is empty, which a key pair needs");
                    }
                    if private_key_file.as_os_str().is_empty() {
                        return wrong("neither a private key file nor an access token is given");
                    }
                }
                SnowflakeAuth::AccessToken(token) if token.expose().is_empty() => {
                    return wrong("the access token is empty");
                }
                SnowflakeAuth::AccessToken(_) => {}
            }
        }
        for (name, value) in [("database", &self.database), ("schema", &self.schema)] {
            let rest = value.replace(TENANT, "");
            if value.is_empty() || rest.contains(['{', '}', '\0']) {
                return wrong(&format!("`{name}`: `{value}` is no name"));
            }
        }
        if self.schema.contains(TENANT) {
            return wrong("`schema`: only the database may name the tenant");
        }
        if self.pipe.replace(TABLE, "").contains(['{', '}']) || !self.pipe.contains(TABLE) {
            return wrong("`pipe` names each table's own pipe by `{table}`");
        }
        self.check_limits()
    }

    fn check_limits(&self) -> Result<(), SnowflakeError> {
        let within = [
            (
                "request_bytes",
                1_000 <= self.request_bytes && self.request_bytes <= REQUEST_BYTES_MAX,
                "1,000 to 3,900,000",
            ),
            (
                "requests_per_second",
                self.requests_per_second > 0,
                "1 or more",
            ),
            (
                "compression_level",
                (1..=19).contains(&self.compression_level),
                "1 to 19",
            ),
            ("commit_poll", !self.commit_poll.is_zero(), "more than none"),
            (
                "run_rows and run_bytes",
                self.run_rows > 0 && self.run_bytes > 0,
                "1 or more",
            ),
        ];
        let wrong = within.iter().find(|(_, good, _)| !good);
        wrong.map_or(Ok(()), |(name, _, range)| {
            Err(SnowflakeError::config(format!("`{name}` must be {range}")))
        })
    }

    /// Whether each tenant has a database of its own.
    pub(super) fn by_tenant(&self) -> bool {
        self.database.contains(TENANT)
    }

    /// The database of `tenant`, as Snowflake spells it.
    pub(super) fn database_of(&self, tenant: &str) -> String {
        self.database.replace(TENANT, tenant).to_uppercase()
    }

    /// The schema, as Snowflake spells it.
    pub(super) fn schema_name(&self) -> String {
        self.schema.to_uppercase()
    }

    /// The pipe of `dataset`, as Snowflake spells it.
    pub(super) fn pipe_of(&self, dataset: Dataset) -> String {
        self.pipe.replace(TABLE, dataset.name()).to_uppercase()
    }

    /// Whether Snowflake keeps the pipe by itself.
    pub(super) fn default_pipe(&self) -> bool {
        self.pipe.to_uppercase() == "{TABLE}-STREAMING"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> SnowflakeConfig {
        SnowflakeConfig {
            account: "acme-prod_1".to_owned(),
            user: "WEIR".to_owned(),
            auth: SnowflakeAuth::AccessToken(SnowflakeSecret::new("hunter2")),
            ..SnowflakeConfig::default()
        }
    }

    #[test]
    fn what_no_account_could_make_right_is_named() {
        assert!(good().check().is_ok());
        let url = good().account_url().unwrap();
        assert_eq!(url.as_str(), "https://acme-prod-1.snowflakecomputing.com/");
        type Change = fn(&mut SnowflakeConfig);
        let wrong: [(&str, Change); 9] = [
            ("account", |c| c.account.clear()),
            ("https", |c| c.url = "http://127.0.0.1:1".into()),
            ("access token", |c| {
                c.auth = SnowflakeAuth::AccessToken(SnowflakeSecret::default());
            }),
            ("user", |c| {
                c.user.clear();
                c.auth = SnowflakeConfig::default().auth;
            }),
            ("private key", |c| c.auth = SnowflakeConfig::default().auth),
            ("database", |c| c.database = "{team}".into()),
            ("schema", |c| c.schema = "{tenant}".into()),
            ("pipe", |c| c.pipe = "ONE".into()),
            ("request_bytes", |c| c.request_bytes = 4_000_000),
        ];
        for (name, change) in wrong {
            let mut config = good();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = good();
        config.stage.options.insert("key".into(), "hunter2".into());
        config.stage.url = "s3://user:hunter2@bucket".into();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn names_are_spelled_as_snowflake_does() {
        let mut config = good();
        config.database = "weir_{tenant}".into();
        assert_eq!(config.database_of("acme-1"), "WEIR_ACME-1");
        assert_eq!(config.pipe_of(Dataset::Spans), "SPANS-STREAMING");
        assert!(config.default_pipe());
    }
}
