//! Audit events of gateways and MCP proxies in, rows of `proxy_audit` out.
use arrow_array::RecordBatch;
use super::{Acceptance, DecodeError, Limits};

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
    /// Digest of the whole request but its key: the same for the same request.
    pub payload_hash: [u8; 32],
    /// How many alerts it holds.
    pub alert_count: usize,
    /// How many alerts the summary counts at run time, where it says.
    pub summary_runtime_alerts: Option<i64>,
    /// Whether it holds a summary.
    pub has_summary: bool,
    /// How many of the alerts are canonical gateway events.
    pub canonical_count: usize,
    /// The ids of the rows, given or derived, in order.
    pub event_ids: Vec<String>,
}

impl AuditDecoded {
    /// The answer that the contract promises for a request that is stored.
    pub fn answer(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// Decodes the body of an audit request.
///
/// # Errors
///
/// [`DecodeError`] where the request as a whole is refused; no row was made.
pub fn decode(_body: &[u8], _at: &Acceptance, _limits: &Limits) -> Result<AuditDecoded, DecodeError> {
    Err(DecodeError::Internal)
}
