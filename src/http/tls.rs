//! TLS at the door: the handshake, and certificates that change while the node runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use weir_model::{Clock as _, SystemClock};

use crate::config::Tls;
use crate::http::conn::TLS_HANDSHAKE;
use crate::tls::{self, Pem, TlsError};

/// What a client hears that speaks plain HTTP here.
const SPEAK_TLS: &str = "HTTP/1.1 400 Bad Request\r\n\
    Content-Type: application/problem+json\r\n\
    Content-Length: 124\r\n\
    Connection: close\r\n\r\n\
    {\"title\":\"Bad Request\",\"status\":400,\"code\":\"tls_required\",\"detail\":\"this port speaks TLS: the URL must begin with https://\"}";

/// How long before its end a certificate is complained about.
const WARN_BEFORE_S: i64 = 30 * DAY_S;

const DAY_S: i64 = 86_400;

/// The certificates in use.
#[derive(Debug)]
pub(crate) struct Certificates {
    settings: Tls,
    current: RwLock<Arc<ServerConfig>>,
    /// When the first of the chain ends, in seconds since 1970, and the day on which that was told.
    ends: Mutex<(Option<i64>, i64)>,
    /// What was last found in the files, good or bad.
    seen: Mutex<blake3::Hash>,
}

/// What the files hold.
struct Files {
    certificate: Pem,
    key: Pem,
    authorities: Option<Pem>,
}

impl Files {
    fn read(settings: &Tls) -> Result<Self, TlsError> {
        let authorities = Some(&settings.client_ca_file).filter(|path| !path.is_empty());
        Ok(Self {
            certificate: Pem::read(&settings.cert_file)?,
            key: Pem::read(&settings.key_file)?,
            authorities: authorities.map(|path| Pem::read(path)).transpose()?,
        })
    }

    fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        let all = [
            Some(&self.certificate),
            Some(&self.key),
            self.authorities.as_ref(),
        ];
        for pem in all.into_iter().flatten() {
            hasher.update(blake3::hash(pem.bytes()).as_bytes());
        }
        hasher.finalize()
    }

    fn config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let config = tls::server(&self.certificate, &self.key, self.authorities.as_ref())?;
        Ok(Arc::new(config))
    }
}

/// What a look at the files came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// They are as before.
    Same,
    /// New connections get the new certificate.
    Taken,
    /// They are new, but cannot be used; the old certificate stays.
    Refused,
}

impl Certificates {
    /// Loads the files, where any are configured.
    ///
    /// # Errors
    ///
    /// Where they cannot be used.
    pub(crate) fn load(settings: &Tls) -> Result<Option<Arc<Self>>, TlsError> {
        if !settings.is_on() {
            return Ok(None);
        }
        let files = Files::read(settings)?;
        Ok(Some(Arc::new(Self {
            settings: settings.clone(),
            current: RwLock::new(files.config()?),
            ends: Mutex::new((files.certificate.ends(), 0)),
            seen: Mutex::new(files.digest()),
        })))
    }

    /// How often to look at the files.
    pub(crate) fn interval(&self) -> Duration {
        self.settings.reload_interval
    }

    /// Looks at the files, takes what is new and good, and logs what is new and bad, once.
    ///
    /// Open connections keep what they were opened with. Sessions of the old certificate cannot be
    /// resumed, so a client whose authority was taken away does not come back by one.
    ///
    /// With `again` what was found before is taken or reported once more.
    pub(crate) fn reload(&self, again: bool) -> Look {
        let files = Files::read(&self.settings);
        let digest = match &files {
            Ok(files) => files.digest(),
            Err(error) => blake3::hash(error.to_string().as_bytes()),
        };
        let mut seen = self.seen.lock();
        if *seen == digest && !again {
            return Look::Same;
        }
        *seen = digest;
        let read = files.and_then(|files| Ok((files.config()?, files.certificate.ends())));
        match read {
            Ok((config, ends)) => {
                *self.current.write() = config;
                *self.ends.lock() = (ends, 0);
                tracing::info!("tls.reloaded");
                Look::Taken
            }
            Err(error) => {
                let why = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                tracing::error!(error = why, "tls.reload.failed");
                Look::Refused
            }
        }
    }

    /// When the first of the chain ends, in seconds since 1970; `None` where that cannot be read.
    pub(crate) fn ends(&self) -> Option<i64> {
        self.ends.lock().0
    }

    /// Warns, once a day, of a certificate that ends within thirty days of `now_s`; says whether.
    pub(crate) fn warn_of_end(&self, now_s: i64) -> bool {
        let mut ends = self.ends.lock();
        let (Some(end), told) = *ends else {
            return false;
        };
        let today = now_s.div_euclid(DAY_S);
        if end - now_s > WARN_BEFORE_S || told == today {
            return false;
        }
        ends.1 = today;
        let (days, file) = ((end - now_s).div_euclid(DAY_S), &self.settings.cert_file);
        tracing::warn!(file, days, "tls.certificate.ends");
        true
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read()))
    }
}

/// Looks at the files again and again; ends with its task.
pub(crate) async fn keep_fresh(certificates: Arc<Certificates>) {
    loop {
        certificates.warn_of_end(SystemClock.now_us().div_euclid(1_000_000));
        tokio::time::sleep(certificates.interval()).await;
        let own = Arc::clone(&certificates);
        // What it found it has logged; a panic there must not end the watch.
        let _ = tokio::task::spawn_blocking(move || own.reload(false)).await;
    }
}

/// The handshake of a new connection.
///
/// # Errors
///
/// Where it fails or takes too long; a client that speaks plain HTTP is told so first.
pub(crate) async fn accept(
    stream: TcpStream,
    certificates: &Certificates,
) -> io::Result<TlsStream<TcpStream>> {
    let secured = async {
        let mut first = [0];
        if stream.peek(&mut first).await? > 0 && first != [TLS_HANDSHAKE] {
            return Err(refuse_plain(stream).await);
        }
        certificates.acceptor().accept(stream).await
    };
    tokio::time::timeout(certificates.settings.handshake_timeout, secured).await?
}

async fn refuse_plain(mut stream: TcpStream) -> io::Error {
    let told = async {
        stream.write_all(SPEAK_TLS.as_bytes()).await?;
        stream.shutdown().await?;
        // What it still sends must be read, or the system cuts the connection with the answer.
        let mut rest = [0; 1024];
        while tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await? > 0 {}
        Ok(())
    };
    let told: io::Result<()> = told.await;
    told.err()
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on a TLS port"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_well_formed() {
        let (head, body) = SPEAK_TLS.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        let problem: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["code"], "tls_required");
    }
}
