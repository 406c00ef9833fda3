//! Spans to another OTLP collector, over HTTP with protobuf.
//!
//! The collector tells a span that was sent twice by its ids, if it tells it at all. What the rows
//! add to what was sent (canonical columns, cost, the tenant) is not sent on: the collector's own
//! reading of the same attributes must not be told what to find.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::RecordBatch;

use super::OutboundError;
use super::http::{COMPRESSIONS, Poster, Target};
use super::sink::{Form, Outbound, Post};
use crate::{Part, Secret, SinkError};

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
pub type OtlpSink = Outbound<Otlp>;

/// The requests of OTLP.
#[derive(Clone, Copy, Debug)]
pub struct Otlp {
    codec: OtlpCodec,
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
        Ok(Self::of(name, poster, Otlp { codec }))
    }
}

impl Form for Otlp {
    const KIND: &'static str = "otlp";
    const POST_ROWS: usize = 1_000;

    fn post(&self, part: &Part) -> Result<Post, OutboundError> {
        Ok(Post {
            body: (self.codec.encode)(&part.rows())?,
            ..self.probe()
        })
    }

    fn probe(&self) -> Post {
        // A request without spans is a good one.
        Post {
            headers: vec![("content-type", "application/x-protobuf".to_owned())],
            body: Vec::new(),
        }
    }

    fn refused(&self, answer: &[u8]) -> i64 {
        (self.codec.rejected)(answer)
    }
}
