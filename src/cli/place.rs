//! Which node's directory an offline command looks at, and how it prints.

use std::path::PathBuf;

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
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Place {
    /// The data directory that the flags, the environment and the file settle on.
    ///
    /// # Errors
    ///
    /// Where the configuration has faults; nothing on disk is touched.
    pub(crate) fn data_dir(&self) -> anyhow::Result<PathBuf> {
        Ok(self.load()?.data_dir)
    }

    /// The whole configuration.
    ///
    /// # Errors
    ///
    /// As [`Place::data_dir`].
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        let args = serve::Args {
            data_dir: self.data_dir.clone(),
            config: self.config.clone(),
            ..serve::Args::default()
        };
        args.load()
    }
}
