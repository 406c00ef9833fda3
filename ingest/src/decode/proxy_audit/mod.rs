//! Audit events of gateways and MCP proxies in, rows of `proxy_audit` out.
//!
//! The body is `{source_id, session_id, idempotency_key, alerts, summary}` and nothing else.
//! An alert is *canonical* where its `event_type` is one of the six that gateways define; those
//! are checked strictly, and one that breaks the rules refuses the request, since its sender
//! counts on all or nothing. Any other object is a *legacy* alert and is kept as it is.
//!
//! Each alert is one row, and so is the summary, whose counters are cumulative and are never to
//! be added to the events (`record_kind = 'summary'`). The whole record stays in `details`, byte
//! for byte, since hash chains are over the sender's bytes.
//!
//! # Ids
//!
//! `event_id` is the sender's, else its `record_hash`, else the BLAKE3 of the whole request's
//! content and the record's place in it: records that differ never share an id, two equal ones
//! in one request do not either, and a request that is sent again gives the same ids.
//! `content_key` is the BLAKE3 of the record alone, whatever the order of its members: under one
//! event id it tells a repeat from a conflict.
//!
//! Nothing is folded here: repeats across requests are told apart by these two columns, and a
//! whole request that is repeated under its idempotency key is answered before it comes here.

mod canonical;
mod envelope;
mod row;

use arrow_array::RecordBatch;
use serde_json::{Value, json};
use weir_model::Dataset;

use super::table::Table;
use super::{Acceptance, DecodeError, Limits};
use envelope::Envelope;

/// What a request became.
#[derive(Clone, Debug)]
pub struct AuditDecoded {
    /// One row an alert, then one for the summary where there is one.
    pub rows: RecordBatch,
    /// Who sent it; `unknown` where it does not say.
    pub source_id: String,
    /// The session; `default` where it does not say.
    pub session_id: String,
    /// The key under which a repeat of the request gets the first answer.
    pub idempotency_key: Option<String>,
    /// Digest of the whole request but its key: the same for the same content, whatever the order
    /// of its members and the spaces between them.
    pub payload_hash: [u8; 32],
    /// How many alerts it holds.
    pub alert_count: usize,
    /// How many alerts the summary counts, where it says.
    pub summary_runtime_alerts: Option<i64>,
    /// Whether it holds a summary.
    pub has_summary: bool,
    /// How many of the alerts are canonical gateway events.
    pub canonical_count: usize,
    /// The ids of the rows, given or derived, in order.
    pub event_ids: Vec<String>,
}

impl AuditDecoded {
    /// The answer that the contract promises for a request whose rows were all stored.
    pub fn answer(&self) -> Value {
        let accepted = i64::try_from(self.alert_count).unwrap_or(i64::MAX);
        let alerts = accepted.max(self.summary_runtime_alerts.unwrap_or(0));
        json!({
            "ingested": true,
            "source_id": self.source_id,
            "session_id": self.session_id,
            "alert_count": alerts,
            "accepted_alert_count": accepted,
            "duplicate_alert_count": 0,
            "duplicate_event_ids": [],
            "durable_accepted_count": self.canonical_count,
            "durable_duplicate_count": 0,
            "durable_conflict_count": 0,
            "durable_conflict_event_ids": [],
            "has_summary": self.has_summary,
        })
    }
}

/// Decodes the body of an audit request.
///
/// # Errors
///
/// [`DecodeError`] where the request as a whole is refused; no row was made.
pub fn decode(body: &[u8], at: &Acceptance, limits: &Limits) -> Result<AuditDecoded, DecodeError> {
    let envelope = Envelope::read(body, limits)?;
    if envelope.alerts.len() >= limits.rows_max {
        return Err(DecodeError::TooManyRows {
            max: limits.rows_max,
        });
    }
    let canonical_count = canonical::check_all(&envelope, at, limits)?;
    let mut table = Table::new(Dataset::ProxyAudit);
    let mut event_ids = Vec::with_capacity(envelope.alerts.len() + 1);
    let context = row::Context {
        envelope: &envelope,
        payload_hash: envelope.payload_hash(),
        at,
    };
    for (place, record) in envelope.alerts.iter().enumerate() {
        event_ids.push(row::push_alert(&mut table, record, place, &context));
    }
    if let Some(summary) = &envelope.summary {
        let place = envelope.alerts.len();
        event_ids.push(row::push_summary(&mut table, summary, place, &context));
    }
    let summary = envelope.summary.as_ref().map(|record| &record.value);
    let runtime_alerts = summary.and_then(|summary| summary.get("runtime_alerts"));
    Ok(AuditDecoded {
        payload_hash: context.payload_hash,
        alert_count: envelope.alerts.len(),
        summary_runtime_alerts: runtime_alerts.and_then(Value::as_i64),
        has_summary: summary.is_some(),
        canonical_count,
        event_ids,
        rows: table.finish()?,
        source_id: envelope.source_id,
        session_id: envelope.session_id,
        idempotency_key: envelope.idempotency_key,
    })
}
