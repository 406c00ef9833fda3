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

use async_trait::async_trait;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};

use super::http::{COMPRESSIONS, Poster, Target, encode};
use super::posts::Taken;
use super::{OutboundError, json};
use crate::{Engine, Part, Receipt, Secret, Sink, SinkError};

/// Rows of one post.
const POST_ROWS: usize = 1_000;

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
#[derive(Debug)]
pub struct WebhookSink {
    name: String,
    poster: Poster,
    object: bool,
    taken: Taken,
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
        Ok(Self {
            name: name.to_owned(),
            poster,
            object: config.format == "json",
            taken: Taken::default(),
        })
    }

    async fn post(&self, post: &Part) -> Result<(), OutboundError> {
        let name = post.id().to_string();
        let dataset = post.batch().dataset().name();
        let lines = json::lines(&post.rows()).map_err(encode)?;
        let (kind, body) = if self.object {
            ("application/json", object(&name, dataset, &lines))
        } else {
            ("application/x-ndjson", lines)
        };
        let headers = [
            ("content-type", kind),
            ("idempotency-key", &name),
            ("x-weir-dataset", dataset),
        ];
        self.poster.post(&headers, body).await.map(drop)
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

#[async_trait]
impl Sink for WebhookSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn appetite(&self) -> Want {
        Want {
            rows_max: 5_000,
            bytes_max: 8 << 20,
            gather: Duration::ZERO,
        }
    }

    async fn probe(&self) -> Result<Engine, SinkError> {
        // A post without rows: whether it is taken says whether posts with rows are.
        let body = if self.object {
            object("probe", "", b"")
        } else {
            Vec::new()
        };
        let kind = if self.object {
            "application/json"
        } else {
            "application/x-ndjson"
        };
        let headers = [("content-type", kind), ("idempotency-key", "probe")];
        self.poster.post(&headers, body).await?;
        Ok(Engine {
            name: "webhook".to_owned(),
            version: String::new(),
        })
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let mut rows = 0;
        for part in run {
            for post in part.chunks(POST_ROWS) {
                let id = post.id();
                if !self.taken.has(&id) {
                    self.post(&post).await?;
                    self.taken.note(id);
                    rows += post.len() as u64;
                }
            }
        }
        self.taken.forget(run);
        Ok(Receipt {
            rows,
            place: self.poster.host(),
        })
    }

    async fn last_batch(&self, _: Dataset, _: &NodeId) -> Result<Option<i64>, SinkError> {
        Ok(None)
    }

    async fn count(&self, _: Dataset, _: &NodeId) -> Result<u64, SinkError> {
        Err(Box::new(OutboundError::Uncounted))
    }
}
