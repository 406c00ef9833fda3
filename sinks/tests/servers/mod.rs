//! Making a bucket or a container on a test server, with nothing but a socket.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The account and key that the Azure storage emulator is documented to have.
const AZURITE_ACCOUNT: &str = "devstoreaccount1";
const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const AZURE_VERSION: &str = "2021-08-06";

fn fresh_name() -> String {
    format!("weir-{:016x}", rand::random::<u64>())
}

/// Sends a PUT without a body, and stops the test unless it worked.
fn put(endpoint: &str, path: &str, headers: &[(&str, String)]) {
    let host = endpoint.strip_prefix("http://").expect("an http endpoint");
    let host = host.trim_end_matches('/');
    let mut request = format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("Connection: close\r\n\r\n");
    let mut socket = TcpStream::connect(host).expect("the test server answers");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap_or_default();
    assert!(matches!(status, "200" | "201"), "{answer}");
}

/// Makes a bucket with a new name.
pub(crate) fn make_bucket(endpoint: &str) -> String {
    let bucket = fresh_name();
    let auth = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                SignedHeaders=host, Signature=0";
    put(
        endpoint,
        &format!("/{bucket}"),
        &[("Authorization", auth.to_owned())],
    );
    bucket
}

/// Makes a container with a new name.
pub(crate) fn make_container(endpoint: &str) -> String {
    let container = fresh_name();
    let date = chrono::Utc::now()
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let resource = format!("/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{container}\nrestype:container");
    let text = format!(
        "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{AZURE_VERSION}\n{resource}"
    );
    let key = BASE64_STANDARD.decode(AZURITE_KEY).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(text.as_bytes());
    let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
    put(
        endpoint,
        &format!("/{AZURITE_ACCOUNT}/{container}?restype=container"),
        &[
            ("x-ms-date", date),
            ("x-ms-version", AZURE_VERSION.to_owned()),
            (
                "Authorization",
                format!("SharedKey {AZURITE_ACCOUNT}:{signature}"),
            ),
        ],
    );
    container
}
