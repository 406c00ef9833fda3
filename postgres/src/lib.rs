//! How weir connects to Postgres: the address, and TLS that checks the server.
//!
//! Two parts of the program speak to it, the shared state and the sink; what they say is their own.

mod tls;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};

use tls::Tls;

/// Idle time after which a connection is asked whether it still lives.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// The port at which the transaction pooler of Supabase listens, and of many who follow it.
const POOLER_PORT: u16 = 6543;

/// The address cannot be used. None of these repeats it, since it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It names no database.
    #[error("it must be postgres://USER:PASSWORD@HOST/DATABASE")]
    Url,
    /// The authorities that the server's certificate is checked against cannot be read.
    #[error("{path} is not a PEM file with certificates")]
    Authorities {
        /// Which file.
        path: PathBuf,
    },
    /// The TLS library refuses its own settings.
    #[error("TLS cannot be set up")]
    Tls,
}

/// Where a database is, as whom to connect, and whether under TLS.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: Option<Tls>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The configuration holds a password.
        f.write_str("Server(***)")
    }
}

impl Server {
    /// Reads `url` (`postgres://USER:PASSWORD@HOST/DB` or `host=... user=...`). With
    /// `sslmode=require` (or `verify-full`, which is the same here), or with `authorities` (a PEM
    /// file; else those of the system), connections are under TLS and the server's certificate is
    /// checked. A connection may take `connect` to be made. Nothing is connected to.
    ///
    /// # Errors
    ///
    /// Where `url` is not one, or `authorities` cannot be read.
    pub fn new(
        url: &str,
        authorities: Option<&Path>,
        connect: Duration,
    ) -> Result<Self, AddressError> {
        let url = url.replace("sslmode=verify-full", "sslmode=require");
        let mut config: Config = url.parse().map_err(|_| AddressError::Url)?;
        config
            .connect_timeout(connect)
            .application_name("weir")
            .keepalives_idle(KEEPALIVE);
        if authorities.is_some() {
            config.ssl_mode(SslMode::Require);
        }
        // Any other mode would also go on without TLS, and then none is safer than it looks.
        let tls = if config.get_ssl_mode() == SslMode::Require {
            Some(Tls::new(authorities)?)
        } else {
            None
        };
        Ok(Self { config, tls })
    }

    /// Connects. What drives the connection is a task of the running tokio that ends when the
    /// client is dropped, or with the connection.
    ///
    /// # Errors
    ///
    /// Where the server is not reached, or does not let these credentials in.
    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        Ok(match &self.tls {
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                tokio::spawn(connection);
                client
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
        })
    }

    /// Where it is, for people: host and port of the first address, and the database.
    pub fn place(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            Some(Host::Unix(path)) => path.display().to_string(),
            None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().or(self.config.get_user());
        format!("{host}:{port}/{}", database.unwrap_or_default())
    }

    /// Whether it is the usual port of a pooler that gives each transaction another session.
    pub fn is_pooler(&self) -> bool {
        self.config.get_ports().contains(&POOLER_PORT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: Duration = Duration::from_secs(1);

    #[test]
    fn the_address_is_shown_without_the_password() {
        let url = "postgres://u:hunter2@db.example:6543/rows?sslmode=verify-full";
        let server = Server::new(url, None, CONNECT).unwrap();
        assert_eq!(server.place(), "db.example:6543/rows");
        assert!(server.is_pooler());
        assert!(server.tls.is_some());
        let shown = format!("{server:?} {}", server.place());
        assert!(!shown.contains("hunter2"), "{shown}");
        for wrong in [
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h:port/d",
            "hunter2",
        ] {
            let error = Server::new(wrong, None, CONNECT).unwrap_err();
            assert!(matches!(error, AddressError::Url));
            assert!(!format!("{error:?} {error}").contains("hunter2"));
        }
        let none = Path::new("/dev/null");
        let error = Server::new(url, Some(none), CONNECT).unwrap_err();
        assert!(matches!(error, AddressError::Authorities { .. }));
    }
}
