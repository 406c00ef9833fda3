//! Rows as JSON to an HTTP endpoint.
//!
//! ```text
//! POST url
//! Content-Type: application/x-ndjson          one row a line
//! Idempotency-Key: <node>/<dataset>/<batch>/<start>-<end>
//! X-Weir-Dataset: spans
//! ```
//!
//! With `format: json` the body is `{"part": "...", "dataset": "...", "rows": [...]}`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::http::{COMPRESSIONS, Poster, Target, encode};
use super::sink::{Form, Outbound, Post};
use super::{OutboundError, json};
use crate::{Part, Secret, SinkError};

/// Where and how a webhook is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where rows are posted to.
    pub url: String,
    /// One of [`WebhookConfig::FORMATS`].
    pub format: String,
    /// Headers of each post.
    pub headers: BTreeMap<String, Secret>,
    /// One of [`WebhookConfig::COMPRESSIONS`].
    pub compression: String,
    /// How long one post may take.
    pub timeout: Duration,
    /// The only authorities to trust, in PEM; empty is the system's.
    pub ca_file: String,
}

impl WebhookConfig {
    /// The forms of a body.
    pub const FORMATS: &'static [&'static str] = &["ndjson", "json"];
    /// How bodies may be compressed.
    pub const COMPRESSIONS: &'static [&'static str] = COMPRESSIONS;
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            format: "ndjson".to_owned(),
            headers: BTreeMap::new(),
            compression: "none".to_owned(),
            timeout: Duration::from_secs(15),
            ca_file: String::new(),
        }
    }
}

/// Posts rows to a webhook.
pub type WebhookSink = Outbound<Webhook>;

/// The posts of a webhook.
#[derive(Clone, Copy, Debug)]
pub struct Webhook {
    object: bool,
}

impl WebhookSink {
    /// A sink that is called `name`; nobody is asked.
    ///
    /// # Errors
    ///
    /// Where the configuration cannot be used.
    pub fn new(name: &str, config: &WebhookConfig) -> Result<Self, SinkError> {
        let poster = Poster::new(Target {
            url: &config.url,
            headers: &config.headers,
            compression: &config.compression,
            timeout: config.timeout,
            ca_file: &config.ca_file,
        })?;
        let object = config.format == "json";
        Ok(Self::of(name, poster, Webhook { object }))
    }
}

impl Webhook {
    /// The post of these lines under that name.
    fn of(self, name: String, dataset: &str, lines: Vec<u8>) -> Post {
        let (kind, body) = if self.object {
            ("application/json", object(&name, dataset, &lines))
        } else {
            ("application/x-ndjson", lines)
        };
        let headers = vec![
            ("content-type", kind.to_owned()),
            ("idempotency-key", name),
            ("x-weir-dataset", dataset.to_owned()),
        ];
        Post { headers, body }
    }
}

impl Form for Webhook {
    const KIND: &'static str = "webhook";
    const POST_ROWS: usize = 1_000;

    fn post(&self, part: &Part) -> Result<Post, OutboundError> {
        let lines = json::lines(&part.rows()).map_err(encode)?;
        let dataset = part.batch().dataset().name();
        Ok(self.of(part.id().to_string(), dataset, lines))
    }

    fn probe(&self) -> Post {
        self.of("probe".to_owned(), "", Vec::new())
    }
}

/// One object with the part's name and its rows.
fn object(part: &str, dataset: &str, lines: &[u8]) -> Vec<u8> {
    // Neither name has a character that JSON escapes.
    let mut body =
        format!("{{\"part\":\"{part}\",\"dataset\":\"{dataset}\",\"rows\":[").into_bytes();
    let rows = lines
        .split(|byte| *byte == b'\n')
        .filter(|row| !row.is_empty());
    for (at, row) in rows.enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(row);
    }
    body.extend_from_slice(b"]}");
    body
}
