//! The HTTP client of the command line, with or without TLS, to one server.

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::tls::{self, Trust};

/// The server did not answer at all.
#[derive(Debug, thiserror::Error)]
#[error("no answer from {url}; is `weir serve` running there?")]
pub(crate) struct Unreachable {
    /// Which server.
    url: String,
    /// Why.
    #[source]
    source: hyper_util::client::legacy::Error,
}

/// The server answered, but no TLS connection came of it.
#[derive(Debug, thiserror::Error)]
#[error("no TLS connection to {url}: {fault}; {advice}")]
pub(crate) struct Untrusted {
    /// Which server.
    url: String,
    /// What is wrong.
    fault: rustls::Error,
    /// What may help.
    advice: &'static str,
}

impl Untrusted {
    /// The fault of a handshake that `error` stands for, if one does.
    fn of(url: &str, error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let fault = tls::fault_in(error)?.clone();
        let advice = if matches!(fault, rustls::Error::InvalidCertificate(_)) {
            "name the authority that signed its certificate with --ca-file"
        } else if matches!(fault, rustls::Error::AlertReceived(_)) {
            "it may want a certificate: name ours with --cert-file and --key-file"
        } else {
            "it may not speak TLS: try http://"
        };
        Some(Self {
            url: url.to_owned(),
            fault,
            advice,
        })
    }
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// A request, apart from its address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call<'a> {
    /// Its `Content-Type`.
    pub(crate) content_type: Option<&'a str>,
    /// Its `Accept`.
    pub(crate) accept: Option<&'a str>,
    /// Its body.
    pub(crate) body: Bytes,
}

/// Asks one server.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    authorization: Option<HeaderValue>,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    /// A client for the server at `url`, with `key` as its credential; of a server with TLS the
    /// system's authorities must have signed the certificate.
    ///
    /// # Errors
    ///
    /// Where the URL is not of HTTP, or the key cannot stand in a header.
    pub(crate) fn new(url: &str, key: Option<&str>) -> anyhow::Result<Self> {
        Self::trusting(url, key, &Trust::default())
    }

    /// As [`Client::new`], with a trust of its own.
    ///
    /// # Errors
    ///
    /// As there, and where a file of `trust` cannot be used.
    pub(crate) fn trusting(url: &str, key: Option<&str>, trust: &Trust) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        let scheme = base.parse::<Uri>().ok();
        let config = match scheme.as_ref().and_then(Uri::scheme_str) {
            Some("http") => tls::plain_client()?,
            Some("https") => tls::client(trust)?,
            _ => anyhow::bail!(
                "the URL must begin with http:// or https://, as http://127.0.0.1:8080"
            ),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let authorization = match key {
            Some(key) => {
                let value = HeaderValue::try_from(format!("Bearer {key}"));
                let mut value = value.context("the key holds characters that no key has")?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(Self {
            base,
            authorization,
            pool: Pool::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// Sends `GET path`.
    ///
    /// # Errors
    ///
    /// [`Unreachable`] where no answer came; any status is an answer.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        read(self.send(Method::GET, path, Call::default()).await?).await
    }

    /// Sends `POST path`.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub(crate) async fn post(&self, path: &str, call: Call<'_>) -> anyhow::Result<Answer> {
        read(self.send(Method::POST, path, call).await?).await
    }

    /// Sends `PUT path`.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub(crate) async fn put(&self, path: &str, call: Call<'_>) -> anyhow::Result<Answer> {
        read(self.send(Method::PUT, path, call).await?).await
    }

    /// Sends `DELETE path`.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        read(self.send(Method::DELETE, path, Call::default()).await?).await
    }

    /// Sends `GET path` and leaves the body to be read as it comes.
    ///
    /// # Errors
    ///
    /// As [`Client::get`].
    pub(crate) async fn stream(&self, path: &str) -> anyhow::Result<Response<Incoming>> {
        self.send(Method::GET, path, Call::default()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        call: Call<'_>,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::new(Full::new(call.body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.base).parse()?;
        let headers = request.headers_mut();
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some(content_type) = call.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type)?);
        }
        if let Some(accept) = call.accept {
            headers.insert(ACCEPT, HeaderValue::from_str(accept)?);
        }
        self.pool.request(request).await.map_err(|source| {
            match Untrusted::of(&self.base, &source) {
                Some(untrusted) => untrusted.into(),
                None => Unreachable {
                    url: self.base.clone(),
                    source,
                }
                .into(),
            }
        })
    }
}

async fn read(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.context("the answer broke off")?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.to_bytes(),
    })
}

impl Answer {
    /// The body, where the status is a success.
    ///
    /// # Errors
    ///
    /// What the server says is wrong, from its problem document.
    pub(crate) fn success(self) -> anyhow::Result<Bytes> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(serde_json::Value::as_str);
        let detail = text("detail").or_else(|| text("message"));
        match (detail, text("code")) {
            (Some(detail), Some(code)) => anyhow::bail!("{detail} [{code}]"),
            (Some(detail), None) => anyhow::bail!("{detail}"),
            (None, _) => anyhow::bail!("the server answered {}", self.status),
        }
    }
}
