//! Who asks: the key that a request carries.
//!
//! `Authorization: Bearer KEY`, `X-API-Key: KEY`, or `Authorization: Basic` with the key as the
//! password, as Langfuse's SDKs send it; as metadata of the same names over gRPC. The user name of
//! `Basic` says nothing, but is the key where the password is empty, as `curl -u KEY:` sends it.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weir_model::TenantId;
use weir_store::Scope;

use crate::app::Node;
use crate::app::quota::Caller;
use crate::http::refusal::Refusal;

/// What a request carries as its credential.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing.
    Nothing,
    /// Something that cannot be read as a key; a sentence says why.
    Malformed(&'static str),
    /// A text, whether or not it is one of our keys.
    Key(String),
}

/// The caller on whose behalf the request with `headers` comes, to do what `scope` names.
///
/// # Errors
///
/// 401 where a key is wanted and none or a wrong one is given, 403 where it is for something else,
/// 503 where keys could not be confirmed for too long.
pub(crate) fn caller(node: &Node, headers: &HeaderMap, scope: Scope) -> Result<Caller, Refusal> {
    node.access.caller(sent(headers), scope)
}

/// As [`caller`], where only the tenant matters.
///
/// # Errors
///
/// As [`caller`].
pub(crate) fn tenant(node: &Node, headers: &HeaderMap, scope: Scope) -> Result<TenantId, Refusal> {
    Ok(caller(node, headers, scope)?.tenant)
}

const TWICE: &str = "the request carries two keys in one header; send one";
const FORM: &str = "Authorization must be `Bearer KEY`, or `Basic` with the key as the password; \
                    or send the key as X-API-Key";

/// The credential in `headers`. `X-API-Key` wins, since `Authorization` may be meant for a proxy.
fn sent(headers: &HeaderMap) -> Sent {
    let mut keys = headers.get_all("x-api-key").iter();
    match (keys.next(), keys.next()) {
        (Some(_), Some(_)) => return Sent::Malformed(TWICE),
        (Some(key), None) => {
            return match key.to_str() {
                Ok(key) => Sent::Key(key.trim().to_owned()),
                Err(_) => Sent::Malformed("X-API-Key holds characters that no key has"),
            };
        }
        (None, _) => {}
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Sent::Nothing,
        (Some(_), Some(_)) => Sent::Malformed(TWICE),
        (Some(value), None) => {
            let key = value.to_str().ok().and_then(authorized);
            key.map_or(Sent::Malformed(FORM), Sent::Key)
        }
    }
}

/// The key in a value of `Authorization`.
fn authorized(value: &str) -> Option<String> {
    // Some SDKs send OTEL_EXPORTER_OTLP_HEADERS as it is written there, URL-encoded.
    let split = value.split_once(' ').or_else(|| value.split_once("%20"));
    let (scheme, rest) = split?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!rest.is_empty()).then(|| rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = plain.split_once(':')?;
    let key = if password.is_empty() { user } else { password };
    (!key.is_empty()).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&'static str, &str)]) -> Result<String, &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        match sent(&map) {
            Sent::Key(key) => Ok(key),
            Sent::Nothing => Err("nothing"),
            Sent::Malformed(why) => Err(why),
        }
    }

    #[test]
    fn each_way_to_send_a_key_is_understood() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (name, value) in [
            ("authorization", "Bearer wk_1".to_owned()),
            ("authorization", "bearer  wk_1 ".to_owned()),
            ("authorization", "Bearer%20wk_1".to_owned()),
            ("authorization", basic("pk-lf-1:wk_1")),
            ("authorization", basic(":wk_1")),
            ("authorization", basic("wk_1:")),
            ("x-api-key", " wk_1".to_owned()),
        ] {
            assert_eq!(of(&[(name, &value)]), Ok("wk_1".into()), "{name}: {value}");
        }
        let both = [("authorization", "Basic proxy"), ("x-api-key", "wk_1")];
        assert_eq!(of(&both), Ok("wk_1".into()));
    }

    #[test]
    fn what_is_no_key_is_told_from_nothing() {
        assert_eq!(of(&[]), Err("nothing"));
        for value in ["wk_1", "Digest x", "Bearer ", "Basic ???", "Basic Og==", ""] {
            assert_eq!(of(&[("authorization", value)]), Err(FORM), "{value:?}");
        }
        for name in ["authorization", "x-api-key"] {
            assert_eq!(of(&[(name, "Bearer a"), (name, "Bearer b")]), Err(TWICE));
        }
    }
}
