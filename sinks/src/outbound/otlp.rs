//! Spans to another OTLP collector, over HTTP with protobuf.
//!
//! The collector tells a span that was sent twice by its ids, if it tells it at all. What the rows
//! add to what was sent (canonical columns, cost, the tenant) is not sent on: the collector's own
//! reading of the same attributes must not be told what to find.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use weir_model::source::Want;
use weir_model::{Dataset, NodeId};

use super::OutboundError;
use super::http::{COMPRESSIONS, Poster, Target};
use super::posts::Taken;
use crate::{Engine, Part, Receipt, Secret, Sink, SinkError};

/// Spans of one request.
const POST_ROWS: usize = 1_000;

/// Where requests go below a base URL.
const PATH: &str = "/v1/traces";

/// Where and how a collector is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The collector's base URL, or all of it where it ends in `/v1/traces`.
    pub url: String,
    /// Headers of each request.
    pub headers: BTreeMap<String, Secret>,
    /// One of [`OtlpConfig::COMPRESSIONS`].
    pub compression: String,
    /// How long one request may take.
    pub timeout: Duration,
    /// The only authorities to trust, in PEM; empty is the system's.
    pub ca_file: String,
}

impl OtlpConfig {
    /// How bodies may be compressed; every collector takes gzip.
    pub const COMPRESSIONS: &'static [&'static str] = COMPRESSIONS;
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            headers: BTreeMap::new(),
            compression: "gzip".to_owned(),
            timeout: Duration::from_secs(15),
            ca_file: String::new(),
        }
    }
}

/// The protocol's messages, which this crate does not know.
#[derive(Clone, Copy, Debug)]
pub struct OtlpCodec {
    /// Rows of spans as the bytes of an `ExportTraceServiceRequest`.
    ///
    /// # Errors
    ///
    /// Where the rows are not what decoding makes.
    pub encode: fn(&RecordBatch) -> Result<Vec<u8>, OutboundError>,
    /// How many spans an `ExportTraceServiceResponse` says were refused.
    pub rejected: fn(&[u8]) -> i64,
}

/// Sends spans to a collector.
#[derive(Debug)]
pub struct OtlpSink {
    name: String,
    poster: Poster,
    codec: OtlpCodec,
    taken: Taken,
}

impl OtlpSink {
    /// A sink that is called `name`; nobody is asked.
    ///
    /// # Errors
    ///
    /// Where the configuration cannot be used.
    pub fn new(name: &str, config: &OtlpConfig, codec: OtlpCodec) -> Result<Self, SinkError> {
        let base = config.url.trim_end_matches('/');
        let url = if base.ends_with(PATH) {
            base.to_owned()
        } else {
            format!("{base}{PATH}")
        };
        let poster = Poster::new(Target {
            url: &url,
            headers: &config.headers,
            compression: &config.compression,
            timeout: config.timeout,
            ca_file: &config.ca_file,
        })?;
        Ok(Self {
            name: name.to_owned(),
            poster,
            codec,
            taken: Taken::default(),
        })
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), OutboundError> {
        let kind = [("content-type", "application/x-protobuf")];
        let answer = self.poster.post(&kind, body).await?;
        match (self.codec.rejected)(&answer) {
            0 => Ok(()),
            rows => Err(OutboundError::Partly {
                to: self.poster.host(),
                rows,
            }),
        }
    }
}

#[async_trait]
impl Sink for OtlpSink {
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
        // A request without spans is a good one.
        self.post(Vec::new()).await?;
        Ok(Engine {
            name: "otlp".to_owned(),
            version: String::new(),
        })
    }

    async fn write(&self, run: &[Part]) -> Result<Receipt, SinkError> {
        let mut rows = 0;
        for part in run {
            for post in part.chunks(POST_ROWS) {
                let id = post.id();
                if !self.taken.has(&id) {
                    self.post((self.codec.encode)(&post.rows())?).await?;
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
