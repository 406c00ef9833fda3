//! Requests to an account: who signs them, how they are sent, and what an answer is.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;
use url::Url;
use weir_model::Clock;

use super::access::Tokens;
use super::config::SnowflakeConfig;
use super::error::{Reaction, Refusal, SnowflakeError};
use crate::outbound::trusting;

/// A request that is not answered well is sent so often within one attempt.
const SENDS_MAX: u32 = 3;
/// A longer wait than this is left to the delivery loop.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Characters of a message that are kept.
const MESSAGE_CHARS: usize = 300;

const USER_AGENT: &str = concat!("weir/", env!("CARGO_PKG_VERSION"));
const TOKEN_TYPE: &str = "x-snowflake-authorization-token-type";

/// Asks one account.
pub(super) struct Api {
    pub(super) config: Arc<SnowflakeConfig>,
    client: reqwest::Client,
    pub(super) account: Url,
    clock: Arc<dyn Clock>,
    pub(super) tokens: Mutex<Tokens>,
    /// One at a time gets new tokens for the streaming service.
    pub(super) renewing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Api");
        let shown = shown.field("account", &self.config.account);
        shown.finish_non_exhaustive()
    }
}

/// What is asked.
#[derive(Clone)]
pub(super) struct Ask {
    /// For messages: what it is about.
    pub(super) what: &'static str,
    pub(super) method: Method,
    /// The path, its parts not yet encoded.
    pub(super) path: Vec<String>,
    /// What follows the last part, as it is: `:bulk-channel-status`.
    pub(super) verb: &'static str,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
    /// The request's id where it is not to be a fresh one.
    pub(super) id: Option<String>,
    /// The most that it is sent within one attempt.
    pub(super) sends_max: u32,
}

impl Ask {
    /// A request with nothing but its path.
    pub(super) fn new(
        what: &'static str,
        method: Method,
        path: &[&str],
        timeout: Duration,
    ) -> Self {
        Self {
            what,
            method,
            path: path.iter().map(|p| (*p).to_owned()).collect(),
            verb: "",
            query: Vec::new(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout,
            id: None,
            sends_max: SENDS_MAX,
        }
    }

    /// The same with a JSON body.
    pub(super) fn with_json(mut self, body: &Value) -> Self {
        self.body = body.to_string().into();
        self.headers
            .push(("content-type", "application/json".to_owned()));
        self
    }
}

/// A fresh random UUID, as request ids are.
pub(super) fn request_id() -> String {
    uuid(rand::rng().random())
}

/// The version 4 UUID of these random bits.
pub(super) fn uuid(bits: u128) -> String {
    let bits = (bits & !(0xf << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let mut out = String::with_capacity(36);
    for (i, digit) in hex.chars().enumerate() {
        if matches!(i, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(digit);
    }
    out
}

/// Whose credentials a request carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    Account,
    Ingest,
}

impl Api {
    pub(super) fn new(
        config: Arc<SnowflakeConfig>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SnowflakeError> {
        let account = config.account_url()?;
        let client = reqwest::Client::builder()
            .connect_timeout(config.connect_timeout)
            .user_agent(USER_AGENT)
            .https_only(true)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none());
        let client =
            trusting(client, &config.ca_file).map_err(|e| SnowflakeError::config(e.to_string()))?;
        let client = client
            .build()
            .map_err(|e| SnowflakeError::config(format!("no HTTP client can be made: {e}")))?;
        Ok(Self {
            config,
            client,
            account,
            clock,
            tokens: Mutex::default(),
            renewing: tokio::sync::Mutex::default(),
        })
    }

    pub(super) fn now_s(&self) -> i64 {
        self.clock.now_us() / 1_000_000
    }

    /// Asks the account itself: SQL.
    pub(super) async fn account(&self, ask: Ask) -> Result<Bytes, SnowflakeError> {
        self.resend(ask, Door::Account).await
    }

    /// Asks the streaming service.
    pub(super) async fn ingest(&self, ask: Ask) -> Result<Bytes, SnowflakeError> {
        self.resend(ask, Door::Ingest).await
    }

    /// Sends the same, with the same request id, until it is answered well or it is time for the
    /// delivery loop to wait.
    async fn resend(&self, ask: Ask, door: Door) -> Result<Bytes, SnowflakeError> {
        let id = ask.id.clone().unwrap_or_else(request_id);
        let (mut sends, mut refreshed) = (0, false);
        loop {
            let error = match Box::pin(self.send_once(&ask, door, &id, sends)).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            sends += 1;
            let unanswered = matches!(error, SnowflakeError::Unreachable { .. });
            let reaction = if unanswered {
                Reaction::Resend
            } else {
                let refusal = error.refusal();
                refusal.map_or(Reaction::Wrong, Refusal::reaction)
            };
            let wait = self.config.resend_pause * sends;
            let wait = error.refusal().and_then(|r| r.after).unwrap_or(wait);
            match reaction {
                Reaction::Refresh if !refreshed => {
                    refreshed = true;
                    *self.tokens.lock() = Tokens::default();
                }
                Reaction::Resend if sends < ask.sends_max && wait <= WAIT_MAX => {
                    tokio::time::sleep(wait).await;
                }
                Reaction::Refresh => {
                    let hint = " - is the user's key or token right, and may the role do this?";
                    return Err(error.with_hint(hint));
                }
                Reaction::Resend
                | Reaction::Reopen
                | Reaction::Wait
                | Reaction::Missing
                | Reaction::TooLarge
                | Reaction::Wrong => return Err(error),
            }
        }
    }

    async fn send_once(
        &self,
        ask: &Ask,
        door: Door,
        id: &str,
        retry: u32,
    ) -> Result<Bytes, SnowflakeError> {
        let (base, token, kind) = match door {
            Door::Account => {
                let (token, kind) = self.account_token()?;
                (self.account.clone(), token, kind)
            }
            Door::Ingest => {
                let ingest = self.ingest_access().await?;
                (ingest.base, ingest.token.text, "OAUTH")
            }
        };
        self.send(ask, base, (&token, kind), (id, retry)).await
    }

    pub(super) async fn send(
        &self,
        ask: &Ask,
        base: Url,
        (token, kind): (&str, &str),
        (id, retry): (&str, u32),
    ) -> Result<Bytes, SnowflakeError> {
        let url = url_of(base, ask, id, retry)?;
        let host = url.authority().to_owned();
        let mut request = self
            .client
            .request(ask.method.clone(), url)
            .bearer_auth(token)
            .header(TOKEN_TYPE, kind)
            .header("accept", "application/json")
            .timeout(ask.timeout)
            .body(ask.body.clone());
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let lost = |source: reqwest::Error| SnowflakeError::Unreachable {
            what: ask.what,
            host: host.clone(),
            source: source.without_url(),
        };
        let answer = request.send().await.map_err(lost)?;
        let (status, after) = (answer.status(), retry_after(answer.headers()));
        let body = answer.bytes().await.map_err(lost)?;
        if status.is_success() {
            return Ok(body);
        }
        let refusal = refusal(status.as_u16(), &body, after);
        Err(SnowflakeError::Refused {
            what: ask.what,
            refusal,
            hint: "",
        })
    }
}

fn url_of(base: Url, ask: &Ask, id: &str, retry: u32) -> Result<Url, SnowflakeError> {
    let mut url = base;
    let Ok(mut path) = url.path_segments_mut() else {
        return Err(SnowflakeError::config("the account's URL has no path"));
    };
    path.clear().extend(&ask.path);
    drop(path);
    if !ask.verb.is_empty() {
        let path = format!("{}{}", url.path(), ask.verb);
        url.set_path(&path);
    }
    let query = ask.query.iter().map(|(k, v)| (*k, v.as_str()));
    url.query_pairs_mut()
        .extend_pairs(query)
        .append_pair("requestId", id);
    // Statements are told that they are sent again in another way than streams.
    if ask.path.first().is_some_and(|p| p == "api") {
        if retry > 0 {
            url.query_pairs_mut().append_pair("retry", "true");
        }
    } else {
        url.query_pairs_mut()
            .append_pair("retryCount", &retry.to_string());
    }
    Ok(url)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn refusal(status: u16, body: &[u8], after: Option<Duration>) -> Refusal {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| match body.get(name) {
        Some(Value::String(text)) => text.chars().take(MESSAGE_CHARS).collect(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) | None => String::new(),
    };
    Refusal {
        status,
        code: text("code"),
        message: text("message"),
        after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_official_client_does() {
        let path = ["databases", "my db\"x", "channels", "chan/1 \u{e9}"];
        let mut ask = Ask::new("", Method::PUT, &path, Duration::from_secs(1));
        ask.verb = ":verb";
        ask.query = vec![("continuationToken", "1_0".to_owned())];
        let base = Url::parse("https://a.b.c:8/").unwrap();
        let url = url_of(base, &ask, "id", 2).unwrap();
        let wanted = "https://a.b.c:8/databases/my%20db%22x/channels/chan%2F1%20%C3%A9:verb\
                      ?continuationToken=1_0&requestId=id&retryCount=2";
        assert_eq!(url.as_str(), wanted);
    }

    #[test]
    fn request_ids_are_uuids_of_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_ne!(request_id(), request_id());
    }
}
