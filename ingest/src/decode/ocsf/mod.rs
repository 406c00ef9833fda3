//! Security events in, rows of `ocsf_events` out.
//!
//! A body is one event, an array of events, `{"events":[...]}` (also as a bundle with a count and
//! times beside it), or any number of these one after the other, with or without line ends
//! between them: newline-delimited JSON, concatenated objects, and Splunk's HEC form
//! `{"time":..., "event":{...}}`. An event is told from a wrapper by its `class_uid` or
//! `class_name`.
//!
//! Each event is kept whole as it was sent (`raw`), next to the columns that are looked for;
//! whether it obeys its schema is not asked here (`validation_status` is NULL).
//!
//! # What is refused
//!
//! An object that is no event and no wrapper (400), an array with anything but objects (422), a
//! body with more than the limit of events (422), and JSON that is broken anywhere (400). Where
//! several documents follow each other, a document that is none of the forms is refused alone.

mod envelope;
mod row;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow_array::RecordBatch;
use serde_json::{Map, Value, json};
use weir_model::Dataset;

use super::json::{Extent, measure, repair_surrogates, without_mark};
use super::rejected::Rejections;
use super::table::Table;
use super::{Acceptance, DecodeError, Limits};

/// What a request became.
#[derive(Clone, Debug)]
pub struct OcsfDecoded {
    /// The events, in the accepted schema of `ocsf_events`.
    pub rows: RecordBatch,
    /// Documents that were refused on their own, at most 100, in the accepted schema of
    /// `rejected_events`.
    pub rejected: Option<RecordBatch>,
    /// How many documents were refused on their own.
    pub rejected_count: usize,
    /// How many events were taken of each class, by `class_uid`; `unknown` where there is none.
    pub class_counts: BTreeMap<String, u64>,
    /// The products that the events name, each once, sorted.
    pub sources: Vec<String>,
    tenant: String,
}

impl OcsfDecoded {
    /// The answer that the contract promises, with the refused documents beside it.
    pub fn answer(&self) -> Value {
        let mut answer = Map::new();
        answer.insert("ingested".into(), json!(self.rows.num_rows()));
        answer.insert("tenant_id".into(), json!(self.tenant));
        answer.insert("class_counts".into(), json!(self.class_counts));
        answer.insert("sources".into(), json!(self.sources));
        if self.rejected_count > 0 {
            answer.insert("rejected".into(), json!(self.rejected_count));
        }
        Value::Object(answer)
    }
}

/// What decoding gathers.
struct Gathered<'g> {
    at: &'g Acceptance,
    table: Table,
    rejections: Rejections,
    rejected_count: usize,
    class_counts: BTreeMap<String, u64>,
    sources: BTreeSet<String>,
    /// How often each event without an id of its own has occurred, by its digest.
    repeats: HashMap<[u8; 32], u64>,
}

/// Decodes the body of an ingest request.
///
/// # Errors
///
/// [`DecodeError`] where the request as a whole is refused; no row was made.
pub fn decode(body: &[u8], at: &Acceptance, limits: &Limits) -> Result<OcsfDecoded, DecodeError> {
    let body = without_mark(body);
    let max = limits.json_values_max;
    match measure(body, limits.json_depth_max, max) {
        Extent::Fits => {}
        Extent::TooDeep => return Err(DecodeError::TooDeepForContract),
        Extent::TooMany => return Err(DecodeError::TooManyValues { max }),
    }
    let gathered = match gather(body, at, limits) {
        Err(DecodeError::Syntax { .. } | DecodeError::Shape { .. }) => {
            let repaired = repair_surrogates(body);
            gather(repaired.as_deref().unwrap_or(body), at, limits)
        }
        other => other,
    }?;
    Ok(OcsfDecoded {
        rows: gathered.table.finish()?,
        rejected: gathered.rejections.finish(at)?,
        rejected_count: gathered.rejected_count,
        class_counts: gathered.class_counts,
        sources: gathered.sources.into_iter().collect(),
        tenant: at.tenant.as_str().to_owned(),
    })
}

fn gather<'g>(
    body: &[u8],
    at: &'g Acceptance,
    limits: &Limits,
) -> Result<Gathered<'g>, DecodeError> {
    let mut gathered = Gathered {
        at,
        table: Table::new(Dataset::OcsfEvents),
        rejections: Rejections::new("ocsf"),
        rejected_count: 0,
        class_counts: BTreeMap::new(),
        sources: BTreeSet::new(),
        repeats: HashMap::new(),
    };
    envelope::each(body, limits, &mut gathered)?;
    Ok(gathered)
}
