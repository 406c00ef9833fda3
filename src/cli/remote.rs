//! Which server a command asks, and as whom.

use crate::client::Client;
use crate::tls::Trust;

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
    /// The only authorities to trust for https://, in PEM [default: the system's].
    #[arg(long, value_name = "FILE", env = "WEIR_CA_FILE")]
    pub(crate) ca_file: Option<String>,
    /// Our own certificate, for a server that asks for one, in PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "WEIR_CERT_FILE",
        requires = "key_file"
    )]
    pub(crate) cert_file: Option<String>,
    /// Its private key, in PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "WEIR_KEY_FILE",
        requires = "cert_file"
    )]
    pub(crate) key_file: Option<String>,
}

impl Remote {
    /// The client for it.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let trust = Trust {
            ca_file: self.ca_file.clone(),
            own: self.cert_file.clone().zip(self.key_file.clone()),
        };
        Client::trusting(&self.url, self.key.as_deref(), &trust)
    }
}
