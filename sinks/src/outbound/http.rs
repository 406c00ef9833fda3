//! The HTTP client of these sinks, and what statuses mean.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use http::header::{CONTENT_ENCODING, DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use url::Url;

use super::OutboundError;
use crate::Secret;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The longest wait that the other side may ask for.
const WAIT_MAX: Duration = Duration::from_mins(10);

/// How bodies may be compressed.
pub(super) const COMPRESSIONS: &[&str] = &["none", "gzip", "zstd"];

/// Posts to one URL.
#[derive(Clone, Debug)]
pub(super) struct Poster {
    client: reqwest::Client,
    url: Url,
    headers: HeaderMap,
    compression: String,
}

/// What a poster is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) url: &'a str,
    pub(super) headers: &'a BTreeMap<String, Secret>,
    pub(super) compression: &'a str,
    pub(super) timeout: Duration,
    pub(super) ca_file: &'a str,
}

impl Poster {
    /// Makes the client; nobody is asked.
    pub(super) fn new(target: Target<'_>) -> Result<Self, OutboundError> {
        let wrong = |setting, why: String| OutboundError::Config { setting, why };
        let url = Url::parse(target.url).map_err(|e| wrong("url", e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            let why = "it must begin with http:// or https:// and name a host".to_owned();
            return Err(wrong("url", why));
        }
        if target.timeout.is_zero() {
            return Err(wrong("timeout", "it must be above 0".to_owned()));
        }
        if !COMPRESSIONS.contains(&target.compression) {
            let why = format!("one of {} is wanted", COMPRESSIONS.join(", "));
            return Err(wrong("compression", why));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in target.headers {
            let bad = || wrong("headers", format!("`{name}` cannot be a header"));
            let name_read: HeaderName = name.parse().map_err(|_| bad())?;
            let mut value: HeaderValue = value.expose().parse().map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(name_read, value);
        }
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT.min(target.timeout))
            .timeout(target.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")));
        let builder = trusting(builder, target.ca_file)?;
        let client = builder
            .build()
            .map_err(|e| wrong("ca_file", e.to_string()))?;
        Ok(Self {
            client,
            url,
            headers,
            compression: target.compression.to_owned(),
        })
    }

    /// The host, for messages: a URL may carry a secret.
    pub(super) fn host(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Posts `body` with `headers` of its own, and gives the answer of a success.
    pub(super) async fn post(
        &self,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<Bytes, OutboundError> {
        let mut request = self.client.post(self.url.clone());
        request = request.headers(self.headers.clone());
        for (name, value) in headers {
            request = request.header(*name, value.as_str());
        }
        let body = match self.compression.as_str() {
            "gzip" => {
                request = request.header(CONTENT_ENCODING, "gzip");
                gzip(&body)?
            }
            "zstd" => {
                request = request.header(CONTENT_ENCODING, "zstd");
                zstd::encode_all(body.as_slice(), 0).map_err(encode)?
            }
            _ => body,
        };
        let sent = request.body(body).send().await;
        let answer = sent.map_err(|e| self.no_answer(e))?;
        let status = answer.status();
        let headers = answer.headers().clone();
        let body = self.read(answer).await;
        if status.is_success() {
            return body;
        }
        Err(refusal(
            self.host(),
            status,
            &headers,
            &body.unwrap_or_default(),
        ))
    }

    async fn read(&self, mut answer: reqwest::Response) -> Result<Bytes, OutboundError> {
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) if body.len() < ANSWER_BYTES_MAX => body.extend_from_slice(&piece),
                Ok(_) => return Ok(body.into()),
                Err(error) => return Err(self.no_answer(error)),
            }
        }
    }

    fn no_answer(&self, error: reqwest::Error) -> OutboundError {
        OutboundError::NoAnswer {
            to: self.host(),
            source: error.without_url(),
        }
    }
}

/// `builder` with the authorities of `ca_file` in place of the system's; unchanged where none is
/// named.
pub(crate) fn trusting(
    builder: reqwest::ClientBuilder,
    ca_file: &str,
) -> Result<reqwest::ClientBuilder, OutboundError> {
    if ca_file.is_empty() {
        return Ok(builder);
    }
    let wrong = |why: String| OutboundError::Config {
        setting: "ca_file",
        why,
    };
    let pem = std::fs::read(ca_file).map_err(|e| wrong(e.to_string()))?;
    let authorities = reqwest::Certificate::from_pem_bundle(&pem);
    let authorities = authorities.map_err(|e| wrong(e.to_string()))?;
    if authorities.is_empty() {
        return Err(wrong("it holds no certificate in PEM".to_owned()));
    }
    let builder = builder.tls_built_in_root_certs(false);
    let add = |builder: reqwest::ClientBuilder, ca| builder.add_root_certificate(ca);
    Ok(authorities.into_iter().fold(builder, add))
}

pub(super) fn encode(error: impl std::error::Error + Send + Sync + 'static) -> OutboundError {
    OutboundError::Encode {
        source: Box::new(error),
    }
}

fn gzip(body: &[u8]) -> Result<Vec<u8>, OutboundError> {
    use std::io::Write as _;
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(body).map_err(encode)?;
    writer.finish().map_err(encode)
}

/// What a status that is no success says.
fn refusal(to: String, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> OutboundError {
    let advice = match status {
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "the credentials are wrong or may not do this"
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE => {
            "there is nothing at the path of `url` that takes this"
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::NOT_ACCEPTABLE => {
            "it does not take this format or compression"
        }
        StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
            "it does not do this at all; look at `url`"
        }
        status if status.is_redirection() => {
            "redirects are not followed; set `url` to the place itself"
        }
        StatusCode::BAD_REQUEST
            if hec_code(body).is_some_and(|code| matches!(code, 7 | 10 | 11)) =>
        {
            "the index or the channel is not one that the token may use"
        }
        status => {
            let busy = status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS
                        | StatusCode::REQUEST_TIMEOUT
                        | StatusCode::TOO_EARLY
                        | StatusCode::CONFLICT
                        | StatusCode::LOCKED
                );
            return if busy {
                let after = wait(headers);
                OutboundError::Busy { to, status, after }
            } else {
                OutboundError::Refused { to, status }
            };
        }
    };
    OutboundError::Misconfigured { to, status, advice }
}

/// The code in an answer of Splunk's collector, which says more than its status.
fn hec_code(body: &[u8]) -> Option<i64> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body.get("text")?.as_str()?;
    body.get("code")?.as_i64()
}

/// The wait that `Retry-After` asks for: seconds, or a time by the other side's own clock.
fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = headers.get(DATE)?.to_str().ok()?;
            let now = DateTime::parse_from_rfc2822(now).ok()?;
            let until = DateTime::parse_from_rfc2822(text).ok()?;
            (until - now).to_std().ok()?
        }
    };
    Some(asked.min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_model::{Classify as _, Fault};

    fn fault(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Fault {
        let status = StatusCode::from_u16(status).unwrap();
        let pairs = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        refusal("host".to_owned(), status, &pairs.collect(), body.as_bytes()).fault()
    }

    #[test]
    fn each_status_says_whether_the_rows_are_at_fault() {
        for status in [400, 413, 422, 402] {
            assert_eq!(fault(status, &[], ""), Fault::Permanent, "{status}");
        }
        let statuses = [
            301, 308, 401, 403, 404, 405, 407, 408, 409, 415, 425, 429, 500, 501, 503,
        ];
        for status in statuses {
            let transient = Fault::Transient { after: None };
            assert_eq!(fault(status, &[], ""), transient, "{status}");
        }
        let wrong_index = r#"{"text":"Incorrect index","code":7}"#;
        assert_eq!(
            fault(400, &[], wrong_index),
            Fault::Transient { after: None }
        );
        let bad_rows = r#"{"text":"Invalid data format","code":6}"#;
        assert_eq!(fault(400, &[], bad_rows), Fault::Permanent);
    }

    #[test]
    fn a_wait_is_in_seconds_or_a_time_of_the_other_sides_clock() {
        let after = |headers: &[(&'static str, &'static str)]| match fault(429, headers, "") {
            Fault::Transient { after } => after,
            Fault::Permanent => panic!("429 is transient"),
        };
        let seconds = Duration::from_secs;
        assert_eq!(after(&[("retry-after", "7")]), Some(seconds(7)));
        assert_eq!(after(&[("retry-after", "86400000")]), Some(seconds(600)));
        assert_eq!(after(&[("retry-after", "soon")]), None);
        let date = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"),
        ];
        assert_eq!(after(&date), Some(seconds(30)));
    }
}
