//! A body made ready for the log: decoded, enriched, counted, with its answer. Pure but for the
//! table of resends, so that it runs on whatever thread suits its size.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde_json::{Value, json};
use weir_ingest::decode::otlp::{Decoded, OtlpEncoding, decode_traces};
use weir_ingest::decode::{Acceptance, Limits, ocsf, proxy_audit};
use weir_model::Dataset;
use weir_transforms::{Enricher, Tariff};

use crate::app::arrivals::usd;
use crate::app::duplicates;
use crate::http::refusal::Refusal;

mod events;

pub(crate) use events::{logs, telemetry};

/// Rows and the answer that they get once they are durable.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// What goes into the log; datasets without rows are left out.
    pub(crate) rows: Vec<(Dataset, RecordBatch)>,
    /// The body of the answer.
    pub(crate) answer: Bytes,
    /// Records accepted.
    pub(crate) accepted: usize,
    /// Records refused one by one.
    pub(crate) rejected: usize,
    /// Records that weir does not store.
    pub(crate) unstored: usize,
    /// What its spans are known by, should they come again.
    pub(crate) fingerprints: Vec<u64>,
}

/// What goes into the log of a request's rows and of what was refused of it one by one.
fn stored(
    rows: (Dataset, RecordBatch),
    rejected: Option<RecordBatch>,
) -> Vec<(Dataset, RecordBatch)> {
    let rejected = rejected.map(|rejected| (Dataset::RejectedEvents, rejected));
    let mut all: Vec<_> = [rows].into_iter().chain(rejected).collect();
    all.retain(|(_, rows)| rows.num_rows() > 0);
    all
}

/// Makes the rows and the answer of an OTLP trace request.
///
/// # Errors
///
/// Where the body as a whole is refused; nothing of it is kept then.
pub(crate) fn traces(
    body: &[u8],
    encoding: OtlpEncoding,
    at: &Acceptance,
    limits: &Limits,
    (enricher, tariff): (&Enricher, &Tariff),
) -> Result<Prepared, Refusal> {
    let Decoded {
        rows,
        rejected,
        rejected_count,
        reason,
        ..
    } = decode_traces(body, encoding, at, limits)?;
    let accepted = rows.num_rows();
    let rows = match accepted {
        0 => rows,
        _ => enricher.enrich_spans_at(rows, tariff).map_err(|error| {
            tracing::error!(%error, "enrich.failed");
            Refusal::internal()
        })?,
    };
    let fingerprints = duplicates::fingerprints(&at.tenant, &rows);
    let partial = Partial {
        rejected: rejected_count,
        reason,
    };
    let answer = match encoding {
        OtlpEncoding::Protobuf => partial.protobuf(),
        OtlpEncoding::Json => partial.json(&rows),
    };
    Ok(Prepared {
        rows: stored((Dataset::Spans, rows), rejected),
        answer,
        accepted,
        rejected: rejected_count,
        fingerprints,
        ..Prepared::default()
    })
}

/// What a trace request is told of its spans.
struct Partial {
    rejected: usize,
    reason: Option<String>,
}

impl Partial {
    fn is_full_success(&self) -> bool {
        self.rejected == 0 && self.reason.is_none()
    }

    fn protobuf(self) -> Bytes {
        let partial_success = (!self.is_full_success()).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(self.rejected).unwrap_or(i64::MAX),
            error_message: self.reason.unwrap_or_default(),
        });
        ExportTraceServiceResponse { partial_success }
            .encode_to_vec()
            .into()
    }

    /// The same in JSON, with the counters that the seed product's clients read beside it.
    fn json(self, rows: &RecordBatch) -> Bytes {
        let tally = Tally::of(rows);
        let mut answer = json!({
            "traces": tally.tool_calls,
            "llm_calls": tally.model_calls,
            "llm_cost_usd": tally.cost_usd,
            "flagged": [],
            "content_findings": [],
            "content_screened": false,
        });
        if let Some(fields) = answer.as_object_mut() {
            if tally.tool_calls == 0 {
                fields.insert("message".into(), "No tool call traces found".into());
            } else {
                fields.insert("persisted_events".into(), 0.into());
            }
            if !self.is_full_success() {
                // Protobuf's JSON form writes 64-bit numbers as text.
                let partial = json!({
                    "rejectedSpans": self.rejected.to_string(),
                    "errorMessage": self.reason.unwrap_or_default(),
                });
                fields.insert("partialSuccess".into(), partial);
            }
        }
        answer.to_string().into()
    }
}

/// The seed product's counters of a request.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    tool_calls: usize,
    model_calls: usize,
    cost_usd: f64,
}

impl Tally {
    fn of(rows: &RecordBatch) -> Self {
        let kinds = rows
            .column_by_name("op_kind")
            .and_then(|c| c.as_string_opt::<i32>());
        let count = |wanted: &[&str]| {
            let kinds = kinds.map(|kinds| kinds.iter().flatten());
            kinds.map_or(0, |kinds| {
                kinds.filter(|kind| wanted.contains(kind)).count()
            })
        };
        let costs = rows.column_by_name("cost_usd");
        let costs = costs.and_then(|c| c.as_primitive_opt::<Decimal128Type>());
        let sum: i128 = costs.map_or(0, |costs| costs.iter().flatten().sum());
        Self {
            tool_calls: count(&["tool"]),
            model_calls: count(&["llm", "embedding", "rerank"]),
            cost_usd: usd(sum),
        }
    }
}

/// An audit request, decoded.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Its rows and answer.
    pub(crate) prepared: Prepared,
    /// The scope of its idempotency key, where it has one: source and key.
    pub(crate) key: Option<String>,
    /// Tells its payload from another.
    pub(crate) payload: [u8; 16],
}

/// What stands between source and key in a stored scope; neither may hold it.
const SCOPE_MARK: char = '\u{1f}';

/// Makes the rows and the answer of a proxy-audit request.
///
/// # Errors
///
/// Where the body as a whole is refused; nothing of it is kept then.
pub(crate) fn audit(body: &[u8], at: &Acceptance, limits: &Limits) -> Result<Audit, Refusal> {
    let decoded = proxy_audit::decode(body, at, limits)?;
    let answer = decoded.answer().to_string().into();
    let mut payload = [0; 16];
    for (to, from) in payload.iter_mut().zip(decoded.payload_hash) {
        *to = from;
    }
    let key = decoded.idempotency_key.filter(|key| !key.is_empty());
    let key = key.map(|key| format!("{}{SCOPE_MARK}{key}", decoded.source_id));
    let accepted = decoded.rows.num_rows();
    Ok(Audit {
        prepared: Prepared {
            rows: stored((Dataset::ProxyAudit, decoded.rows), None),
            answer,
            accepted,
            ..Prepared::default()
        },
        key,
        payload,
    })
}

/// The answer of an audit request that repeats an earlier one.
pub(crate) fn replayed(answer: &[u8]) -> Bytes {
    let mut value: Value = serde_json::from_slice(answer).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("idempotent_replay".into(), true.into());
    }
    value.to_string().into()
}

/// Makes the rows and the answer of an OCSF request.
///
/// # Errors
///
/// Where the body as a whole is refused; nothing of it is kept then.
pub(crate) fn events(body: &[u8], at: &Acceptance, limits: &Limits) -> Result<Prepared, Refusal> {
    let decoded = ocsf::decode(body, at, limits)?;
    let answer = decoded.answer().to_string().into();
    let accepted = decoded.rows.num_rows();
    let rejected = decoded.rejected.as_ref().map_or(0, RecordBatch::num_rows);
    Ok(Prepared {
        rows: stored((Dataset::OcsfEvents, decoded.rows), decoded.rejected),
        answer,
        accepted,
        rejected,
        ..Prepared::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_rows() -> RecordBatch {
        RecordBatch::new_empty(Dataset::Spans.accepted_schema())
    }

    #[test]
    fn a_full_success_is_an_empty_message_and_has_no_partial_success() {
        let full = || Partial {
            rejected: 0,
            reason: None,
        };
        assert!(full().protobuf().is_empty());
        let json: Value = serde_json::from_slice(&full().json(&no_rows())).unwrap();
        assert_eq!(json.get("partialSuccess"), None);
        assert_eq!(json["llm_calls"], 0);
    }

    #[test]
    fn a_partial_success_names_count_and_reason_in_both_encodings() {
        let partial = || Partial {
            rejected: 3,
            reason: Some("three have no ids".into()),
        };
        let message = ExportTraceServiceResponse::decode(partial().protobuf()).unwrap();
        let told = message.partial_success.unwrap();
        assert_eq!(
            (told.rejected_spans, told.error_message.as_str()),
            (3, "three have no ids")
        );
        let json: Value = serde_json::from_slice(&partial().json(&no_rows())).unwrap();
        assert_eq!(json["partialSuccess"]["rejectedSpans"], "3");
    }

    #[test]
    fn a_replayed_answer_says_so() {
        assert_eq!(
            replayed(br#"{"ingested":true}"#),
            r#"{"ingested":true,"idempotent_replay":true}"#
        );
    }
}
