//! Metrics, and most log records: SDKs send them to the same endpoint, so they are answered as OTLP
//! wants it, counted, and not stored; the answer says so.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use prost::Message;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::json;
use weir_ingest::decode::DecodeError;
use weir_ingest::decode::otlp::OtlpEncoding;

use crate::app::intake::Intake;
use crate::http::body::Taken;
use crate::http::refusal::Refusal;

/// A signal that is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
}

impl Signal {
    fn message(self) -> &'static str {
        match self {
            Self::Logs => {
                "weir stores log records that tell of calls of models (claude_code.api_request and \
                 gen_ai.*); all others are counted and not stored"
            }
            Self::Metrics => "weir stores traces; metric points are counted and not stored",
        }
    }

    fn json_count(self) -> &'static str {
        match self {
            Self::Logs => "rejectedLogRecords",
            Self::Metrics => "rejectedDataPoints",
        }
    }
}

/// The answer, and how many records it rejects.
#[derive(Debug)]
pub(crate) struct Told {
    /// Log records or metric points.
    pub(crate) records: usize,
    /// The export response.
    pub(crate) body: Bytes,
}

/// The export response of any signal: they have the same fields.
#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<Partial>,
}

/// What was not taken.
#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Counts the metric points in `body` and says that they are not stored.
///
/// # Errors
///
/// 400 where the body cannot be read.
fn answer(body: &[u8], encoding: OtlpEncoding) -> Result<Told, Refusal> {
    let records = match encoding {
        OtlpEncoding::Protobuf => count(body, METRICS).ok_or(DecodeError::Protobuf {
            what: "a field that ends early",
            offset: 0,
        })?,
        OtlpEncoding::Json => in_json(body)?,
    };
    let body = export(records, encoding, Signal::Metrics);
    Ok(Told { records, body })
}

/// The export response to a request of which so many records are not stored.
pub(crate) fn export(records: usize, encoding: OtlpEncoding, signal: Signal) -> Bytes {
    let partial = (records > 0).then(|| Partial {
        rejected: i64::try_from(records).unwrap_or(i64::MAX),
        error_message: signal.message().to_owned(),
    });
    match (encoding, partial) {
        (OtlpEncoding::Protobuf, partial_success) => {
            Export { partial_success }.encode_to_vec().into()
        }
        (OtlpEncoding::Json, None) => Bytes::from_static(b"{}"),
        (OtlpEncoding::Json, Some(partial)) => {
            let told = json!({
                signal.json_count(): partial.rejected.to_string(),
                "errorMessage": partial.error_message,
            });
            json!({ "partialSuccess": told }).to_string().into()
        }
    }
}

/// As [`answer`], beside the async threads where the body is large: millions of records take long
/// to count.
///
/// # Errors
///
/// As there.
pub(crate) async fn answer_beside(
    intake: &Intake,
    body: &Taken,
    encoding: OtlpEncoding,
) -> Result<Told, Refusal> {
    let bytes = body.bytes.clone();
    let work = move || answer(&bytes, encoding);
    intake.beside(body.bytes.len(), work).await
}

/// Field numbers from the request down to the repeated point; a metric holds its points in one of
/// five fields.
const METRICS: &[&[u64]] = &[&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]];

/// Counts the messages at the end of `path`; `None` where the bytes are no Protobuf.
fn count(mut body: &[u8], path: &[&[u64]]) -> Option<usize> {
    let (wanted, below) = path.split_first()?;
    let mut found = 0_usize;
    while !body.is_empty() {
        let tag = varint(&mut body)?;
        match tag & 7 {
            0 => {
                varint(&mut body)?;
            }
            1 => body = body.get(8..)?,
            5 => body = body.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut body)?).ok()?;
                let (inner, rest) = body.split_at_checked(length)?;
                body = rest;
                if wanted.contains(&(tag >> 3)) {
                    found += if below.is_empty() {
                        1
                    } else {
                        count(inner, below)?
                    };
                }
            }
            _ => return None,
        }
    }
    Some(found)
}

fn varint(body: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = body.split_first()?;
        *body = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// What a list comes to: its items are counted as they are read and none is kept, since millions of
/// empty ones fit a small body. Missing and `null` are empty lists.
struct Sum<T> {
    total: usize,
    items: PhantomData<T>,
}

impl<T> Default for Sum<T> {
    fn default() -> Self {
        Self {
            total: 0,
            items: PhantomData,
        }
    }
}

impl<'de, T: Deserialize<'de> + Counted> Deserialize<'de> for Sum<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self::default())
    }
}

impl<'de, T: Deserialize<'de> + Counted> Visitor<'de> for Sum<T> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self, A::Error> {
        while let Some(item) = list.next_element::<T>()? {
            self.total = self.total.saturating_add(item.records());
        }
        Ok(self)
    }
}

/// What holds records, or is one.
trait Counted {
    /// How many.
    fn records(&self) -> usize;
}

impl Counted for IgnoredAny {
    fn records(&self) -> usize {
        1
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    resource_metrics: Sum<Resource>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Resource {
    scope_metrics: Sum<Scope>,
}

impl Counted for Resource {
    fn records(&self) -> usize {
        self.scope_metrics.total
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Scope {
    metrics: Sum<Metric>,
}

impl Counted for Scope {
    fn records(&self) -> usize {
        self.metrics.total
    }
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metric {
    gauge: Option<Points>,
    sum: Option<Points>,
    histogram: Option<Points>,
    exponential_histogram: Option<Points>,
    summary: Option<Points>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Points {
    data_points: Sum<IgnoredAny>,
}

impl Counted for Metric {
    fn records(&self) -> usize {
        let kinds = [
            &self.gauge,
            &self.sum,
            &self.histogram,
            &self.exponential_histogram,
            &self.summary,
        ];
        let points = kinds.into_iter().flatten();
        points.map(|points| points.data_points.total).sum()
    }
}

fn in_json(body: &[u8]) -> Result<usize, DecodeError> {
    let request: Request = serde_json::from_slice(body).map_err(|error| DecodeError::Syntax {
        line: error.line(),
        column: error.column(),
    })?;
    Ok(request.resource_metrics.total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS_JSON: &[u8] = br#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
        {"name":"a","gauge":{"dataPoints":[{},{}]}},{"name":"b","sum":{"dataPoints":[{}]}}]}]}]}"#;

    /// One field of a message.
    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(inner.len()).unwrap()];
        out.extend_from_slice(inner);
        out
    }

    fn told(body: &[u8], encoding: OtlpEncoding) -> usize {
        answer(body, encoding).unwrap().records
    }

    #[test]
    fn records_are_counted_in_both_encodings() {
        assert_eq!(told(METRICS_JSON, OtlpEncoding::Json), 3);
        let gauge = field(5, &[field(1, b""), field(1, b"")].concat());
        let metrics = field(
            1,
            &field(2, &field(2, &[field(1, b"name"), gauge].concat())),
        );
        assert_eq!(told(&metrics, OtlpEncoding::Protobuf), 2);
    }

    #[test]
    fn the_answer_rejects_all_and_says_why() {
        let told = answer(METRICS_JSON, OtlpEncoding::Json).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!(json["partialSuccess"]["rejectedDataPoints"], "3");
        let empty = answer(b"", OtlpEncoding::Protobuf).unwrap();
        assert!(empty.body.is_empty());
    }

    #[test]
    fn damaged_bodies_are_refused() {
        for (body, encoding) in [
            (b"\x0a\x50abc".as_slice(), OtlpEncoding::Protobuf),
            (b"\xff".as_slice(), OtlpEncoding::Protobuf),
            (b"{".as_slice(), OtlpEncoding::Json),
        ] {
            let refused = answer(body, encoding).unwrap_err();
            assert_eq!(refused.status.as_u16(), 400);
        }
    }
}
