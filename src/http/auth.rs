//! Who asks: the key that a request carries.
//!
//! `Authorization: Bearer KEY`, `X-API-Key: KEY`, or the password of `Authorization: Basic`, as
//! Langfuse's SDKs send it.

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use weir_model::TenantId;
use weir_store::Scope;

use crate::app::Node;
use crate::http::refusal::Refusal;

/// The tenant on whose behalf the request with `headers` comes, to do what `scope` names.
///
/// # Errors
///
/// 401 where a key is wanted and none or a wrong one is given, 403 where it is for something else.
pub(crate) fn tenant(node: &Node, headers: &HeaderMap, scope: Scope) -> Result<TenantId, Refusal> {
    node.access.tenant(key_of(headers).as_deref(), scope)
}

/// 401, with what to do.
pub(crate) fn unauthorized() -> Refusal {
    Refusal::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "Unauthorized - provide API key via Authorization: Bearer <key> or X-API-Key header",
    )
}

/// The key in `headers`, whether or not it is one of ours.
fn key_of(headers: &HeaderMap) -> Option<String> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok().map(|key| key.trim().to_owned());
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let plain = base64::engine::general_purpose::STANDARD
        .decode(rest.trim())
        .ok()?;
    let plain = String::from_utf8(plain).ok()?;
    let (_, password) = plain.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn each_way_to_send_a_key_is_understood() {
        let key = Some("wk_1".to_owned());
        assert_eq!(key_of(&with("authorization", "Bearer wk_1")), key);
        assert_eq!(key_of(&with("authorization", "bearer  wk_1 ")), key);
        assert_eq!(key_of(&with("x-api-key", "wk_1")), key);
        assert_eq!(key_of(&with("authorization", "Basic cGs6d2tfMQ==")), key);
        assert_eq!(key_of(&HeaderMap::new()), None);
        assert_eq!(key_of(&with("authorization", "Digest x")), None);
    }
}
