//! Who is let in: key-pair tokens and access tokens at the account, scoped tokens at the service.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use weir_model::Clock;
use weir_model::clock::SystemClock;

use super::Refused;
use super::http::Request;

/// The account, its user and role, as the tests' configuration names them.
pub(crate) const ACCOUNT: &str = "WEIR-TEST";
pub(crate) const USER: &str = "LOADER";
pub(crate) const ROLE: &str = "WEIR_WRITER";
pub(crate) const ACCESS_TOKEN: &str = "pat-5f1d2c";

/// Where the tests' private key lies; it opens nothing but this stand-in.
pub(crate) const KEY_FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/support/snowpipe/client.p8"
);
/// What openssl says that its public half is.
const FINGERPRINT: &str = include_str!("client.fingerprint");

/// Names a user key, as the official client asks Snowflake to hold it.
const SDK: &str = "SnowpipeStreamingSDK";

pub(crate) struct Auth {
    public: Vec<u8>,
    /// Scoped tokens, and when they end, in seconds.
    scoped: BTreeMap<String, i64>,
    pub(crate) life_s: i64,
    pub(crate) given: u64,
}

pub(crate) fn now_s() -> i64 {
    SystemClock.now_us() / 1_000_000
}

impl Default for Auth {
    fn default() -> Self {
        let pem = std::fs::read(KEY_FILE).unwrap();
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).unwrap();
        let key = KeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap();
        Self {
            public: key.public_key().as_ref().to_vec(),
            scoped: BTreeMap::new(),
            life_s: 3600,
            given: 0,
        }
    }
}

fn denied(message: &str) -> Refused {
    Refused::new(401, "390144", message)
}

impl Auth {
    /// No token that was given before is good any more.
    pub(crate) fn expire(&mut self) {
        self.scoped.clear();
    }

    /// Checks the credentials of a request to the account.
    pub(crate) fn account(&self, request: &Request) -> Result<(), Refused> {
        let token = bearer(request)?;
        match request.header("x-snowflake-authorization-token-type") {
            Some("KEYPAIR_JWT") => self.jwt(request, token),
            Some("PROGRAMMATIC_ACCESS_TOKEN") if token == ACCESS_TOKEN => Ok(()),
            other => Err(denied(&format!("no such credentials: {other:?}"))),
        }
    }

    fn jwt(&self, request: &Request, token: &str) -> Result<(), Refused> {
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err(denied("no JWT"));
        };
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text);
        let json = |text: &str| -> Result<Value, Refused> {
            let bytes = part(text).map_err(|_| denied("not base64url"))?;
            serde_json::from_slice(&bytes).map_err(|_| denied("not JSON"))
        };
        if json(header)?["alg"] != "RS256" {
            return Err(denied("the algorithm is not RS256"));
        }
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public);
        let signature = part(signature).map_err(|_| denied("not base64url"))?;
        key.verify(format!("{header}.{claims}").as_bytes(), &signature)
            .map_err(|_| denied("JWT token is invalid: the signature is wrong"))?;
        let claims = json(claims)?;
        let subject = format!("{ACCOUNT}.{USER}");
        let issuer = format!("{subject}.{}", FINGERPRINT.trim());
        if claims["sub"] != subject.as_str() || claims["iss"] != issuer.as_str() {
            return Err(denied(&format!("JWT token is invalid: {claims}")));
        }
        let (Some(mut from), Some(mut until)) = (claims["iat"].as_i64(), claims["exp"].as_i64())
        else {
            return Err(denied("JWT token is invalid: iat or exp is missing"));
        };
        // The official client counts in milliseconds; what documentation says are seconds.
        if request
            .header("user-agent")
            .is_some_and(|a| a.starts_with(SDK))
        {
            from /= 1000;
            until /= 1000;
        }
        let now = now_s();
        if from > now + 60 || until <= now || until - from > 3600 {
            return Err(denied("JWT token is invalid: its time is wrong"));
        }
        Ok(())
    }

    /// Gives a token for the streaming service.
    pub(crate) fn grant(&mut self, request: &Request) -> Result<String, Refused> {
        self.account(request)?;
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let invalid = |what: &str| Refused::new(400, "390000", what);
        if request.header("content-type") != Some("application/x-www-form-urlencoded") {
            return Err(invalid("no form"));
        }
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let grant = "urn:ietf:params:oauth:grant-type:";
        let kind = request.header("x-snowflake-authorization-token-type");
        let good = match field("grant_type").strip_prefix(grant) {
            Some("jwt-bearer") => kind == Some("KEYPAIR_JWT"),
            Some("token-exchange") => {
                field("subject_token_type") == "programmatic_access_token"
                    && field("subject_token") == ACCESS_TOKEN
            }
            _ => false,
        };
        let scope = field("scope");
        let role = format!("127.0.0.1 session:role:{ROLE}");
        if !good || !(scope == "127.0.0.1" || scope == role) {
            return Err(invalid(&format!("grant {form:?}")));
        }
        self.given += 1;
        let until = now_s() + self.life_s;
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!(
            "{}.{}.{}",
            part(json!({"alg": "HS256", "typ": "JWT"})),
            part(json!({"sub": USER, "iat": now_s(), "exp": until})),
            BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
        );
        self.scoped.insert(token.clone(), until);
        Ok(token)
    }

    /// Checks the token of a request to the streaming service.
    pub(crate) fn scoped(&self, request: &Request) -> Result<(), Refused> {
        let token = bearer(request)?;
        let until = self.scoped.get(token);
        let fresh = until.is_some_and(|until| now_s() < *until);
        let kind = request.header("x-snowflake-authorization-token-type");
        if fresh && kind == Some("OAUTH") {
            return Ok(());
        }
        Err(Refused::new(401, "390318", "OAuth access token expired"))
    }

    /// A 32-byte key in base64, for the official client.
    pub(crate) fn pipe_key() -> String {
        BASE64_STANDARD.encode([b'k'; 32])
    }
}

fn bearer(request: &Request) -> Result<&str, Refused> {
    let header = request.header("authorization").unwrap_or_default();
    let token = header.strip_prefix("Bearer ");
    token.ok_or_else(|| Refused::new(401, "390101", "Authorization header not found"))
}
