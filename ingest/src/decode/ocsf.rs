//! Security events in, rows of `ocsf_events` out.
use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use super::{Acceptance, DecodeError, Limits};

/// What a request became.
#[derive(Clone, Debug)]
pub struct OcsfDecoded {
    /// The events, in the accepted schema of `ocsf_events`.
    pub rows: RecordBatch,
    /// Events that were refused on their own, in the accepted schema of `rejected_events`.
    pub rejected: Option<RecordBatch>,
    /// How many events were taken of each class.
    pub class_counts: BTreeMap<String, u64>,
    /// The products that the events name, each once, sorted.
    pub sources: Vec<String>,
    tenant: String,
}

impl OcsfDecoded {
    /// The answer that the contract promises.
    pub fn answer(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
}

/// Decodes the body of an ingest request.
///
/// # Errors
///
/// [`DecodeError`] where the request as a whole is refused; no row was made.
pub fn decode(_body: &[u8], _at: &Acceptance, _limits: &Limits) -> Result<OcsfDecoded, DecodeError> {
    Err(DecodeError::Internal)
}
