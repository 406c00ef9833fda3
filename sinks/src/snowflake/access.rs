//! Tokens: the account's own, and the one for its streaming service; each renewed before it ends.

use std::path::Path;

use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::api::{Api, Ask, request_id};
use super::error::SnowflakeError;
use super::jwt;

/// A token is renewed when it has less than this left, in seconds.
const RENEW_S: i64 = 5 * 60;
/// How long a token is used that does not say how long it holds, in seconds.
const UNKNOWN_LIFE_S: i64 = 10 * 60;

/// A token, and until when it is used, in seconds since 1970.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) text: String,
    pub(super) until_s: i64,
}

/// What the service of Snowpipe Streaming is asked with.
#[derive(Clone)]
pub(super) struct Ingest {
    pub(super) base: Url,
    pub(super) token: Held,
}

#[derive(Default)]
pub(super) struct Tokens {
    pub(super) account: Option<Held>,
    pub(super) ingest: Option<Ingest>,
}

impl Api {
    /// What the account itself is asked with, and what kind it is.
    pub(super) fn account_token(&self) -> Result<(String, &'static str), SnowflakeError> {
        let config = &self.config;
        if !config.token.is_empty() {
            let token = config.token.expose().to_owned();
            return Ok((token, "PROGRAMMATIC_ACCESS_TOKEN"));
        }
        let now = self.now_s();
        let held = self.tokens.lock().account.clone();
        if let Some(held) = held.filter(|h| now < h.until_s) {
            return Ok((held.text, "KEYPAIR_JWT"));
        }
        let key = jwt::read_key(Path::new(&config.private_key_file))?;
        let text = jwt::sign(&config.account, &config.user, &key, now)?;
        self.tokens.lock().account = Some(Held {
            text: text.clone(),
            until_s: now + jwt::LIFE_S - RENEW_S,
        });
        Ok((text, "KEYPAIR_JWT"))
    }

    pub(super) async fn ingest_access(&self) -> Result<Ingest, SnowflakeError> {
        let held = |now| {
            let ingest = self.tokens.lock().ingest.clone();
            ingest.filter(|i| now < i.token.until_s)
        };
        if let Some(ingest) = held(self.now_s()) {
            return Ok(ingest);
        }
        let _one = self.renewing.lock().await;
        if let Some(ingest) = held(self.now_s()) {
            return Ok(ingest);
        }
        let (token, kind) = self.account_token()?;
        let auth = (token.as_str(), kind);
        let base = self.ingest_base(auth).await?;
        let token = self.scoped_token(auth, &base).await?;
        let ingest = Ingest { base, token };
        self.tokens.lock().ingest = Some(ingest.clone());
        Ok(ingest)
    }

    /// Where the streaming service of this account is.
    async fn ingest_base(&self, auth: (&str, &str)) -> Result<Url, SnowflakeError> {
        let what = "asking for the streaming host";
        let path = ["v2", "streaming", "hostname"];
        let ask = Ask::new(what, Method::GET, &path, self.config.request_timeout);
        let base = self.account.clone();
        let body = self.send(&ask, base, auth, (&request_id(), 0)).await?;
        let host = bare(&body, "hostname");
        // The same of Snowflake's hosts are named with underscores that no certificate has.
        let host = host.replace('_', "-");
        let mut base = self.account.clone();
        let port = base.port();
        let text = format!("https://{host}/");
        match Url::parse(&text) {
            Ok(url) if url.path() == "/" && !host.is_empty() => base = url,
            Ok(_) | Err(_) => {
                return Err(SnowflakeError::Answer {
                    what,
                    why: "it is no host".to_owned(),
                });
            }
        }
        if base.port().is_none() && base.set_port(port).is_err() {
            return Err(SnowflakeError::Answer {
                what,
                why: "its port cannot be set".to_owned(),
            });
        }
        Ok(base)
    }

    /// A token for the streaming service alone.
    async fn scoped_token(&self, auth: (&str, &str), base: &Url) -> Result<Held, SnowflakeError> {
        let what = "asking for a token of the streaming service";
        let path = ["oauth", "token"];
        let mut ask = Ask::new(what, Method::POST, &path, self.config.request_timeout);
        let mut scope = base.host_str().unwrap_or_default().to_owned();
        if !self.config.role.is_empty() {
            scope = format!("{scope} session:role:{}", self.config.role.to_uppercase());
        }
        ask.body = self.form(&scope).into();
        ask.headers
            .push(("content-type", "application/x-www-form-urlencoded".into()));
        let account = self.account.clone();
        let body = self.send(&ask, account, auth, (&request_id(), 0)).await?;
        let text = bare(&body, "token");
        if text.is_empty() {
            let why = "it is empty".to_owned();
            return Err(SnowflakeError::Answer { what, why });
        }
        let now = self.now_s();
        let until_s = jwt::expires_s(&text).map_or(now + UNKNOWN_LIFE_S, |until| {
            // A token that lives shortly is used for half of that.
            (until - RENEW_S).max(now + (until - now) / 2)
        });
        Ok(Held { text, until_s })
    }

    /// What is asked for a token of the streaming service.
    fn form(&self, scope: &str) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let grant = "urn:ietf:params:oauth:grant-type:";
        let token = &self.config.token;
        if token.is_empty() {
            form.append_pair("grant_type", &format!("{grant}jwt-bearer"));
        } else {
            form.append_pair("grant_type", &format!("{grant}token-exchange"))
                .append_pair("subject_token_type", "programmatic_access_token")
                .append_pair("subject_token", token.expose());
        }
        form.append_pair("scope", scope).finish()
    }
}

/// A text, or a member of an object that holds it: Snowflake's pages show the one, Snowflake sends
/// the other.
fn bare(body: &[u8], member: &str) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(object)) => {
            let found = object.get(member).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        }
        Ok(Value::String(text)) => text,
        Ok(_) | Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_tokens_come_bare_or_in_an_object() {
        assert_eq!(bare(b"h.example\n", "hostname"), "h.example");
        assert_eq!(bare(br#"{"hostname":"h"}"#, "hostname"), "h");
        assert_eq!(bare(br#""h""#, "hostname"), "h");
        assert_eq!(bare(br#"{"other":"h"}"#, "hostname"), "");
    }
}
