//! Which node's directory an offline command looks at, and how it prints.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use weir_model::SystemClock;
use weir_store::Keys;

use crate::app::access;
use crate::cli::serve;
use crate::config::Config;

/// Which node's files.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The data directory [default: ./weir-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The node's YAML file.
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    config: Option<PathBuf>,
    /// How to print: text, or JSON for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format json`.
    #[arg(long)]
    json: bool,
}

/// How a command prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl Place {
    /// The data directory that the flags, the environment and the file settle on.
    ///
    /// # Errors
    ///
    /// Where the configuration has faults; nothing on disk is touched.
    pub(crate) fn data_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.config()?.data_dir)
    }

    /// The configuration that the flags, the environment and the file settle on.
    ///
    /// # Errors
    ///
    /// As [`Place::data_dir`].
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        let args = serve::Args {
            data_dir: self.data_dir.clone(),
            config: self.config.clone(),
            ..serve::Args::default()
        };
        args.load()
    }

    /// The tenants, keys and quotas of that node, and where they lie; made where there are none.
    ///
    /// # Errors
    ///
    /// Where the configuration has faults, or the state cannot be read or made.
    pub(crate) fn keys(&self) -> anyhow::Result<(Keys, String)> {
        let config = self.config()?;
        let dir = &config.data_dir;
        std::fs::create_dir_all(dir)
            .with_context(|| format!("{} cannot be made", dir.display()))?;
        let state = access::state_config(&config);
        let place = match state.postgres_url {
            Some(_) => "Postgres".to_owned(),
            None => dir.display().to_string(),
        };
        Ok((Keys::connect(&state, Arc::new(SystemClock))?, place))
    }

    /// As [`Place::keys`], where there are some.
    ///
    /// # Errors
    ///
    /// Also where the data directory has none: a slip in its name must not look like a loss.
    pub(crate) fn keys_there(&self) -> anyhow::Result<Keys> {
        let config = self.config()?;
        let dir = &config.data_dir;
        anyhow::ensure!(
            !config.state.postgres_url.is_empty() || dir.join("state.db").try_exists()?,
            "there are no keys in {}; name the server's directory with --data-dir or --config, or \
             make a key with `weir keys create`",
            dir.display()
        );
        Ok(self.keys()?.0)
    }

    /// Whether to print JSON.
    pub(crate) fn json(&self) -> bool {
        self.json || self.format == Format::Json
    }
}

/// A time of day as it is printed; empty where it lies outside the calendar.
pub(crate) fn time(us: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(us);
    time.map_or_else(String::new, |t| t.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
