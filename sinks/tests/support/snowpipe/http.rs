//! TLS and HTTP of the stand-in.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Answer, World};

/// What was asked, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it came.
    pub(crate) path: String,
    /// Its parts, decoded.
    pub(crate) parts: Vec<String>,
    pub(crate) query: BTreeMap<String, String>,
    headers: http::HeaderMap,
    /// As it came over the wire.
    pub(crate) body: Bytes,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    async fn read(request: http::Request<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = head.uri.path().to_owned();
        let decode = |part: &str| {
            let part = part.replace('+', "%2B");
            let pair = url::form_urlencoded::parse(part.as_bytes()).next();
            pair.map(|(text, _)| text.into_owned()).unwrap_or_default()
        };
        let parts = path.split('/').skip(1).map(decode).collect();
        let query = head.uri.query().unwrap_or_default();
        let query = url::form_urlencoded::parse(query.as_bytes());
        Ok(Self {
            method: head.method.to_string(),
            parts,
            query: query.into_owned().collect(),
            path,
            headers: head.headers,
            body,
        })
    }
}

/// Makes an authority and a certificate for 127.0.0.1; writes the authority's to `ca_file`.
pub(crate) fn tls(ca_file: &Path) -> TlsAcceptor {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "weir test authority");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(ca_file, authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);

    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Serves `world` on `address` until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, tls: TlsAcceptor, world: Arc<World>) {
    let mut open = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        while open.try_join_next().is_some() {}
        let (tls, world) = (tls.clone(), Arc::clone(&world));
        open.spawn(async move {
            let Ok(socket) = tls.accept(socket).await else {
                return;
            };
            let service = service_fn(move |request| answer(Arc::clone(&world), request));
            let io = TokioIo::new(socket);
            // A connection that is torn down in the middle is what some tests want.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        });
    }
}

/// The connection is closed instead of an answer.
#[derive(Debug)]
pub(crate) struct Hangup;

impl std::fmt::Display for Hangup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer is lost")
    }
}

impl std::error::Error for Hangup {}

impl From<Infallible> for Hangup {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn answer(
    world: Arc<World>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Hangup> {
    let request = Request::read(request).await.map_err(|_| Hangup)?;
    let Answer {
        status,
        body,
        headers,
    } = world.answer(&request).await?;
    let mut response = http::Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(body)).unwrap())
}

/// A listener on `address`, or on a free port.
pub(crate) async fn listen(address: Option<SocketAddr>) -> TcpListener {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let address = address.unwrap_or(any);
    for _ in 0..50 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{address} cannot be bound")
}
