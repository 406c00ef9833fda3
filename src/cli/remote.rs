//! Which server a command asks, and as whom.

use crate::client::Client;

/// The flags of every command that asks a running server.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Remote {
    /// The server's HTTP address.
    #[arg(
        long,
        value_name = "URL",
        env = "WEIR_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) url: String,
    /// The key, where the server wants one.
    #[arg(long, value_name = "KEY", env = "WEIR_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

impl Remote {
    /// The client for it.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.url, self.key.as_deref())
    }
}
