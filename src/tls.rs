//! Certificates, keys and authorities from PEM files, for the server and for its clients.
//!
//! The cryptography is ring's, named in each configuration: the program links a second provider
//! through a library of the lake, so that no default may be relied on (docs/adr/028).

mod expiry;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig};

/// Why certificates cannot be used; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what} in PEM")]
    Missing {
        /// Which.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
    },
    /// A file is damaged.
    #[error("{path} is damaged: {source}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The key is another certificate's.
    #[error("the key in {key} does not belong to the certificate in {certificate}")]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// What is in a file cannot be used.
    #[error("what {path} holds cannot be used: {why}")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The cryptography that both sides use.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The bytes of a file.
///
/// # Errors
///
/// [`TlsError::Read`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// A PEM file and its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Pem {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Pem {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`TlsError::Read`].
    pub(crate) fn read(path: &str) -> Result<Self, TlsError> {
        let path = PathBuf::from(path);
        let bytes = read(&path)?;
        Ok(Self { path, bytes })
    }

    /// What was in the file.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match all.map_err(|source| self.damaged(source))? {
            none if none.is_empty() => Err(self.missing("certificate")),
            all => Ok(all),
        }
    }

    /// When the first of its certificates ends, in seconds since 1970; `None` where none can be read.
    pub(crate) fn ends(&self) -> Option<i64> {
        let all = self.certificates().ok()?;
        all.iter().filter_map(|one| expiry::not_after(one)).min()
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        match PrivateKeyDer::from_pem_slice(&self.bytes) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(self.missing("private key")),
            Err(source) => Err(self.damaged(source)),
        }
    }

    fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.unfit(&error))?;
        }
        Ok(roots)
    }

    fn missing(&self, what: &'static str) -> TlsError {
        TlsError::Missing {
            path: self.path.clone(),
            what,
        }
    }

    fn damaged(&self, source: pem::Error) -> TlsError {
        TlsError::Damaged {
            path: self.path.clone(),
            source,
        }
    }

    fn unfit(&self, why: &dyn std::fmt::Display) -> TlsError {
        TlsError::Unfit {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }

    /// What is wrong with this certificate and `key`.
    fn apart(&self, key: &Self, error: &rustls::Error) -> TlsError {
        if let rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) = error {
            return TlsError::Mismatch {
                certificate: self.path.clone(),
                key: key.path.clone(),
            };
        }
        self.unfit(error)
    }
}

/// The server's side: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, and with `authorities` only clients
/// that one of them has signed.
///
/// # Errors
///
/// Where a file does not hold what it should, or the key is another certificate's.
pub(crate) fn server(
    certificate: &Pem,
    key: &Pem,
    authorities: Option<&Pem>,
) -> Result<ServerConfig, TlsError> {
    let (chain, private) = (certificate.certificates()?, key.key()?);
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|error| certificate.unfit(&error))?;
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = Arc::new(pem.authorities()?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| pem.unfit(&error))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|error| certificate.apart(key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// What a client trusts and shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    /// The only authorities to trust, instead of the system's.
    pub(crate) ca_file: Option<String>,
    /// The client's own certificate and key, for servers that ask for one.
    pub(crate) own: Option<(String, String)>,
}

/// The client's side.
///
/// # Errors
///
/// Where a file does not hold what it should, or the system names no authority.
pub(crate) fn client(trust: &Trust) -> Result<ClientConfig, TlsError> {
    let roots = match &trust.ca_file {
        Some(path) => Pem::read(path)?.authorities()?,
        None => systems_authorities(),
    };
    let unfit = |error: rustls::Error| TlsError::Unfit {
        path: PathBuf::from(trust.ca_file.as_deref().unwrap_or("the system's store")),
        why: error.to_string(),
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(unfit)?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &trust.own else {
        return Ok(builder.with_no_client_auth());
    };
    let (certificate, key) = (Pem::read(certificate)?, Pem::read(key)?);
    builder
        .with_client_auth_cert(certificate.certificates()?, key.key()?)
        .map_err(|error| certificate.apart(&key, &error))
}

/// The client's side of a connection that is not encrypted: it trusts nobody.
///
/// # Errors
///
/// Where the provider has no cipher in common with the protocol versions, which it has.
pub(crate) fn plain_client() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?;
    Ok(builder
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

/// What the system trusts; what of it cannot be read is left out.
fn systems_authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// The fault of a handshake that is somewhere in `error`.
pub(crate) fn fault_in<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<rustls::Error>() {
            return Some(fault);
        }
        // An I/O error hides what it wraps from `source`.
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
