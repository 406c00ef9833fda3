//! The signed word of a user: a key-pair JWT as Snowflake wants it.

use std::path::Path;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use super::error::SnowflakeError;

/// How long a token holds, in seconds. Snowflake takes an hour at most.
pub(super) const LIFE_S: i64 = 59 * 60;

/// The algorithm `rsaEncryption` without parameters, in DER.
const RSA_ALGORITHM: &[u8] = &[
    0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];

/// Reads a private key.
///
/// # Errors
///
/// Where the file cannot be read, or holds no RSA key in PKCS#8 without a passphrase.
pub(super) fn read_key(file: &Path) -> Result<KeyPair, SnowflakeError> {
    let wrong = |why: &str| SnowflakeError::config(format!("key {}: {why}", file.display()));
    let pem = std::fs::read(file).map_err(|e| wrong(&e.to_string()))?;
    if pem.windows(9).any(|w| w == b"ENCRYPTED") {
        return Err(wrong("it has a passphrase; weir takes PKCS#8 without one"));
    }
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong("it holds no `PRIVATE KEY` in PEM"))?;
    KeyPair::from_pkcs8(der.secret_pkcs8_der())
        .map_err(|e| wrong(&format!("it is no RSA key of 2048 bits or more ({e})")))
}

/// A value of `kind` in DER.
fn der(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|b| *b == 0).collect();
    let mut out = vec![kind];
    match length.as_slice() {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // At most eight bytes of length.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

/// The fingerprint that `DESC USER` shows for the key: SHA-256 of the public key's
/// `SubjectPublicKeyInfo`.
pub(super) fn fingerprint(key: &KeyPair) -> String {
    let mut bits = vec![0];
    bits.extend_from_slice(key.public_key().as_ref());
    let mut info = RSA_ALGORITHM.to_vec();
    info.extend(der(0x03, &bits));
    let hash = Sha256::digest(der(0x30, &info));
    format!("SHA256:{}", BASE64_STANDARD.encode(hash))
}

/// The account as claims name it: without region and cloud, in capitals.
pub(super) fn account_name(account: &str) -> String {
    let name = account.split('.').next().unwrap_or(account);
    name.to_uppercase()
}

/// Signs that the bearer is `user` of `account` from `now_s`, in seconds since 1970, for
/// [`LIFE_S`].
///
/// # Errors
///
/// Where the key cannot sign.
pub(super) fn sign(
    account: &str,
    user: &str,
    key: &KeyPair,
    now_s: i64,
) -> Result<String, SnowflakeError> {
    let subject = format!("{}.{}", account_name(account), user.to_uppercase());
    let claims = serde_json::json!({
        "iss": format!("{subject}.{}", fingerprint(key)),
        "sub": subject,
        "iat": now_s,
        "exp": now_s + LIFE_S,
    });
    let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let text = format!(
        "{header}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .map_err(|_| SnowflakeError::config("the private key cannot sign"))?;
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
    Ok(format!("{text}.{signature}"))
}

/// When a JWT ends, in seconds since 1970; `None` where it does not say so.
pub(super) fn expires_s(token: &str) -> Option<i64> {
    let claims = token.split('.').nth(1)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    claims.get("exp")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> KeyPair {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/snowpipe/client.p8"
        );
        read_key(Path::new(file)).unwrap()
    }

    #[test]
    fn the_fingerprint_is_what_openssl_computes() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/support/snowpipe/client.fingerprint"
        );
        let wanted = std::fs::read_to_string(file).unwrap();
        assert_eq!(fingerprint(&key()), wanted.trim());
    }

    #[test]
    fn a_token_says_who_until_when() {
        let token = sign("acme-prod.eu-west-1", "weir", &key(), 1_000).unwrap();
        assert_eq!(expires_s(&token), Some(1_000 + LIFE_S));
        let claims = token.split('.').nth(1).unwrap();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["sub"], "ACME-PROD.WEIR");
        let issuer = format!("ACME-PROD.WEIR.{}", fingerprint(&key()));
        assert_eq!(claims["iss"], issuer.as_str());
        assert_eq!(expires_s("no token"), None);
    }

    #[test]
    fn a_key_that_cannot_be_used_is_named_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.p8");
        for (text, why) in [
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "passphrase"),
            ("what is this", "PRIVATE KEY"),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "RSA",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = read_key(&file).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("key.p8"), "{error}");
        }
        assert!(read_key(&folder.path().join("none")).is_err());
    }
}
