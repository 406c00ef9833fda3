//! Rows as events to Splunk's HTTP event collector.
//!
//! Each event carries its row's names (`_node`, `_batch`, `_row`), by which a search can tell an
//! event that was sent twice: the collector itself stores what it is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use serde_json::json;
use weir_model::Dataset;

use super::http::{Poster, Target, encode};
use super::sink::{Form, Outbound, Post};
use super::{OutboundError, json as rows_as_json};
use crate::{Part, Secret, SinkError};

/// Where the collector's events go.
const PATH: &str = "services/collector/event";

/// Where and how a collector is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplunkHecConfig {
    /// The collector's base URL.
    pub url: String,
    /// Its token.
    pub token: Secret,
    /// The index; empty is the token's own.
    pub index: String,
    /// The `source` of each event.
    pub source: String,
    /// The `sourcetype` of each event is this and the dataset's name.
    pub sourcetype_prefix: String,
    /// How long one request may take.
    pub timeout: Duration,
    /// The only authorities to trust, in PEM; empty is the system's.
    pub ca_file: String,
}

impl Default for SplunkHecConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            token: Secret::default(),
            index: String::new(),
            source: "weir".to_owned(),
            sourcetype_prefix: "weir:".to_owned(),
            timeout: Duration::from_secs(15),
            ca_file: String::new(),
        }
    }
}

/// Sends rows to a collector.
pub type SplunkHecSink = Outbound<SplunkHec>;

/// The posts of a collector of events.
#[derive(Clone, Debug)]
pub struct SplunkHec {
    config: SplunkHecConfig,
}

impl SplunkHecSink {
    /// A sink that is called `name`; nobody is asked.
    ///
    /// # Errors
    ///
    /// Where the configuration cannot be used.
    pub fn new(name: &str, config: &SplunkHecConfig) -> Result<Self, SinkError> {
        let base = config.url.trim_end_matches('/');
        let url = if base.ends_with(PATH) {
            base.to_owned()
        } else {
            format!("{base}/{PATH}")
        };
        let credential = format!("Splunk {}", config.token.expose());
        let headers = BTreeMap::from([("authorization".to_owned(), Secret::from(credential))]);
        let poster = Poster::new(Target {
            url: &url,
            headers: &headers,
            compression: "none",
            timeout: config.timeout,
            ca_file: &config.ca_file,
        })?;
        let config = config.clone();
        Ok(Self::of(name, poster, SplunkHec { config }))
    }
}

impl SplunkHec {
    /// What all events of `dataset` have around them, but for the time and the event.
    fn around(&self, dataset: Dataset) -> String {
        let mut members = json!({
            "source": self.config.source,
            "sourcetype": format!("{}{dataset}", self.config.sourcetype_prefix),
        });
        if let (Some(members), false) = (members.as_object_mut(), self.config.index.is_empty()) {
            members.insert("index".to_owned(), self.config.index.as_str().into());
        }
        let text = members.to_string();
        text.trim_start_matches('{').to_owned()
    }

    fn events(&self, post: &Part) -> Result<Vec<u8>, OutboundError> {
        let dataset = post.batch().dataset();
        let rows = post.rows();
        let lines = rows_as_json::lines(&rows).map_err(encode)?;
        let times = rows.column_by_name(dataset.time_column());
        let times = times.and_then(|t| t.as_primitive_opt::<TimestampMicrosecondType>());
        let around = self.around(dataset);
        let mut body = Vec::with_capacity(lines.len() * 2);
        let lines = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        for (at, line) in lines.enumerate() {
            let us = times.map_or(0, |times| times.value(at));
            let (sign, us) = (if us < 0 { "-" } else { "" }, us.unsigned_abs());
            let (seconds, rest) = (us / 1_000_000, us % 1_000_000);
            let time = format!("{{\"time\":{sign}{seconds}.{rest:06},\"event\":");
            body.extend_from_slice(time.as_bytes());
            body.extend_from_slice(line);
            body.push(b',');
            body.extend_from_slice(around.as_bytes());
            body.push(b'\n');
        }
        Ok(body)
    }
}

impl Form for SplunkHec {
    const KIND: &'static str = "splunk_hec";
    // With a kilobyte each they stay below the megabyte of Splunk's cloud.
    const POST_ROWS: usize = 500;

    fn post(&self, part: &Part) -> Result<Post, OutboundError> {
        Ok(Post {
            headers: kind(),
            body: self.events(part)?,
        })
    }

    fn probe(&self) -> Post {
        Post {
            headers: kind(),
            body: Vec::new(),
        }
    }

    fn lets_in(&self, error: &OutboundError) -> bool {
        // Without events a request is refused, by whoever has let the token in.
        matches!(error, OutboundError::Refused { .. })
    }
}

fn kind() -> Vec<(&'static str, String)> {
    vec![("content-type", "application/json".to_owned())]
}
