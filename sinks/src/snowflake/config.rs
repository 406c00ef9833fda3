//! What an operator says about a Snowflake account.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;
use weir_model::Dataset;

use super::error::SnowflakeError;
use crate::Secret;

/// The most that one request of a channel may carry on the wire, in bytes. Snowflake: 4 MB; taken
/// as decimal, since no page says that it is not.
pub(super) const WIRE_BYTES_MAX: u64 = 4_000_000;
/// The most that a request holds before compression where it holds several rows, in bytes: what
/// does not compress at all still fits the wire.
const REQUEST_BYTES_MAX: u64 = 3_900_000;
/// The requests that a channel takes in a second, by Snowflake's page of limits.
const REQUESTS_PER_SECOND_MAX: u64 = 10;

/// Stands for the tenant in [`SnowflakeConfig::database`].
const TENANT: &str = "{tenant}";
/// Stands for the table in [`SnowflakeConfig::pipe`].
const TABLE: &str = "{table}";

/// How rows get to Snowflake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Named channels of Snowpipe Streaming: ordered, exactly once.
    Rowset,
    /// The elastic channel: at least once; a row is known by `_NODE`, `_BATCH`, `_ROW`.
    Elastic,
    /// Parquet files in an external stage, which a pipe or a task of Snowflake loads: once, since
    /// Snowflake loads a file of one name once.
    Stage,
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
    /// The user's private key, PKCS#8 in PEM without a passphrase. It is read anew each time a
    /// token is signed, so that a key may be changed while weir runs.
    pub private_key_file: String,
    /// A programmatic access token, in place of a key; empty for none.
    pub token: Secret,
    /// The role; empty for the user's own default.
    pub role: String,
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
    /// How rows get there, one of [`SnowflakeConfig::MODES`].
    pub mode: String,
    /// Whether the schema, its tables and missing columns are made; otherwise they must be there.
    pub create_tables: bool,
    /// Whether tables are made with a row access policy on the tenant, which needs the Enterprise
    /// edition.
    pub row_access_policy: bool,
    /// How hard zstd tries, 1 to 19.
    pub compression_level: u64,
    /// The most that one request holds before compression, in bytes; requests are cut by it, so
    /// that cuts depend on nothing but the rows. At most 3,900,000.
    pub request_bytes: u64,
    /// How many requests a channel may send in a second; Snowflake takes ten.
    pub requests_per_second: u64,
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
    /// The only authorities to trust, in PEM; empty for those of the system.
    pub ca_file: String,
    /// `mode: stage`: where the files go, as `s3://bucket/prefix`, `az://container/prefix`,
    /// `gs://bucket/prefix`, or a folder.
    pub stage_url: String,
    /// Options of that object store, by the names that the lake's options have.
    pub stage_options: BTreeMap<String, Secret>,
    /// The storage integration that the printed `CREATE STAGE` names; empty for none.
    pub stage_integration: String,
    /// The stage's name in Snowflake.
    pub stage_name: String,
}

impl Default for SnowflakeConfig {
    fn default() -> Self {
        Self {
            account: String::new(),
            url: String::new(),
            user: String::new(),
            role: String::new(),
            private_key_file: String::new(),
            token: Secret::default(),
            database: "WEIR".to_owned(),
            schema: "PUBLIC".to_owned(),
            pipe: "{table}-STREAMING".to_owned(),
            channel: "WEIR".to_owned(),
            warehouse: String::new(),
            mode: Self::MODES.first().copied().unwrap_or_default().to_owned(),
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
            ca_file: String::new(),
            stage_url: String::new(),
            stage_options: BTreeMap::new(),
            stage_integration: String::new(),
            stage_name: "WEIR_STAGE".to_owned(),
        }
    }
}

impl SnowflakeConfig {
    /// What [`mode`](Self::mode) may be: named channels, each row once; the elastic channel, at
    /// least once; files in a stage.
    pub const MODES: &[&str] = &["rowset", "elastic", "stage"];

    /// How rows get there; by named channels where the word is not known, which `check` refuses.
    pub(super) fn way(&self) -> Mode {
        match self.mode.as_str() {
            "elastic" => Mode::Elastic,
            "stage" => Mode::Stage,
            _ => Mode::Rowset,
        }
    }

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
        if !Self::MODES.contains(&self.mode.as_str()) {
            return wrong(&format!("`mode` is one of {}", Self::MODES.join(", ")));
        }
        if self.way() == Mode::Stage {
            if self.stage_url.is_empty() {
                return wrong("`stage_url` is empty: where are the files to go?");
            }
        } else {
            self.account_url()?;
            if self.account.is_empty() {
                return wrong("`account` is empty");
            }
            if self.token.is_empty() && self.private_key_file.is_empty() {
                return wrong("neither `private_key_file` nor `token` is given");
            }
            if self.token.is_empty() && self.user.is_empty() {
                return wrong("`user` is empty, which a key pair needs");
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
            token: "hunter2".into(),
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
            ("mode", |c| c.mode = "fast".into()),
            ("token", |c| c.token = Secret::default()),
            ("user", |c| {
                c.user.clear();
                c.token = Secret::default();
                c.private_key_file = "key.p8".into();
            }),
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
        config.stage_options.insert("key".into(), "hunter2".into());
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
