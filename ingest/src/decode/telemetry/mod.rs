//! Telemetry events that carry their own cost in, rows of `telemetry_events` out.
//!
//! A body is one event, a JSON object, or, for the batch route, `{"events":[...]}` or a bare array
//! of at most 1,000. Every member of an event is optional. Numbers are read by their digits, so
//! that an amount is exact to 10^-12 US dollars and no number is too long to be read; what cannot
//! be (a negative count, 1e400) leaves its column NULL, is named in `flags`, and stays in `raw`.
//!
//! # Ids
//!
//! `event_id` is a UUID (version 8) of the BLAKE3 of the tenant, of the event's members as they
//! were sent, whatever their order, and of how many equal events stand before it in the request.
//! The same request always gives the same ids, and no two events of it share one.
//!
//! # What is refused
//!
//! A body that is no JSON or none of the forms, and more than 1,000 events (400 each, by the
//! contract). In a batch, what is no object is refused alone.

mod event;

use arrow_array::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use weir_model::Dataset;

use super::json::{Extent, measure, refusal, repair_surrogates, without_mark};
use super::rejected::{Rejection, Rejections};
use super::table::Table;
use super::{Acceptance, DecodeError, Limits};
use event::Event;

const NO_EVENT: DecodeError = DecodeError::NotAForm("a telemetry event must be a JSON object");
const NO_BATCH: DecodeError =
    DecodeError::NotAForm("a batch must be an object with the list `events`, or a list");
const FAILED: &str = "a telemetry event must be a JSON object";

/// The longest refused element that is kept.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;

/// Whether a body is one event or a batch of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetryForm {
    /// One event.
    One,
    /// `{"events":[...]}`, or the list alone.
    Batch,
}

/// What a request became.
#[derive(Clone, Debug)]
pub struct TelemetryDecoded {
    /// The events, in the accepted schema of `telemetry_events`; the cost columns that are worked
    /// out are NULL.
    pub rows: RecordBatch,
    /// Elements that were refused on their own, at most 100, in the accepted schema of
    /// `rejected_events`.
    pub rejected: Option<RecordBatch>,
    /// How many elements were refused on their own.
    pub rejected_count: usize,
    form: TelemetryForm,
    records: Vec<Value>,
}

impl TelemetryDecoded {
    /// The answer that the contract promises once the rows are stored. Nothing here is signed, so
    /// that `provenance_cosign` is null.
    pub fn answer(&self) -> Value {
        match self.form {
            TelemetryForm::One => self.records.first().cloned().unwrap_or_default(),
            TelemetryForm::Batch => json!({
                "accepted": self.rows.num_rows(),
                "failed": self.rejected_count,
                "records": self.records,
            }),
        }
    }
}

/// Decodes the body of a request.
///
/// # Errors
///
/// [`DecodeError`] where the request as a whole is refused; no row was made.
pub fn decode(
    body: &[u8],
    form: TelemetryForm,
    at: &Acceptance,
    limits: &Limits,
) -> Result<TelemetryDecoded, DecodeError> {
    let body = without_mark(body);
    let max = limits.json_values_max;
    match measure(body, limits.json_depth_max, max) {
        Extent::Fits => {}
        Extent::TooDeep => {
            return Err(DecodeError::TooDeep {
                max: limits.json_depth_max,
            });
        }
        Extent::TooMany => return Err(DecodeError::TooManyValues { max }),
    }
    let repaired = repair_surrogates(body);
    let body = repaired.as_deref().unwrap_or(body);
    let whole: &RawValue =
        serde_json::from_slice(body).map_err(|error| refusal(&error, "a JSON object"))?;
    let events = match form {
        TelemetryForm::One if whole.get().starts_with('{') => vec![whole],
        TelemetryForm::One => return Err(NO_EVENT),
        TelemetryForm::Batch => batch(whole)?,
    };
    let max = limits.telemetry_events_max;
    if events.len() > max {
        return Err(DecodeError::TooManyEvents { max });
    }
    if events.len() > limits.rows_max {
        return Err(DecodeError::TooManyRows {
            max: limits.rows_max,
        });
    }
    let mut gathered = Gathered {
        at,
        table: Table::new(Dataset::TelemetryEvents),
        rejections: Rejections::new("telemetry_events"),
        rejected_count: 0,
        records: Vec::with_capacity(events.len()),
        repeats: HashMap::new(),
    };
    for (index, raw) in events.into_iter().enumerate() {
        match Event::read(raw) {
            Some(event) => gathered.take(&event),
            None => gathered.refuse(index, raw),
        }
    }
    Ok(TelemetryDecoded {
        rows: gathered.table.finish()?,
        rejected: gathered.rejections.finish(at)?,
        rejected_count: gathered.rejected_count,
        form,
        records: gathered.records,
    })
}

/// The elements of a batch.
fn batch(whole: &RawValue) -> Result<Vec<&RawValue>, DecodeError> {
    let list = match whole.get().as_bytes().first() {
        Some(b'[') => whole,
        Some(b'{') => {
            let members: HashMap<String, &RawValue> =
                serde_json::from_str(whole.get()).map_err(|_| NO_BATCH)?;
            *members.get("events").ok_or(NO_BATCH)?
        }
        _ => return Err(NO_BATCH),
    };
    serde_json::from_str(list.get()).map_err(|_| NO_BATCH)
}

/// What decoding gathers.
struct Gathered<'g> {
    at: &'g Acceptance,
    table: Table,
    rejections: Rejections,
    rejected_count: usize,
    /// What is answered of each element.
    records: Vec<Value>,
    /// How often each event has occurred, by its digest.
    repeats: HashMap<[u8; 32], u64>,
}

impl Gathered<'_> {
    fn take(&mut self, event: &Event<'_>) {
        let digest = event.digest();
        let repeat = self.repeats.entry(digest).or_insert(0);
        let id = event_id(self.at, &digest, *repeat);
        *repeat += 1;
        event.push(&mut self.table, &id, self.at);
        self.records.push(json!({
            "record_id": id,
            "provenance_hash": URL_SAFE_NO_PAD.encode(digest),
            "provenance_cosign": null,
        }));
    }

    fn refuse(&mut self, index: usize, raw: &RawValue) {
        self.rejected_count += 1;
        self.rejections.push(Rejection {
            code: "not_an_event",
            reason: FAILED.into(),
            index,
            id: None,
            payload: Some(raw.get().to_owned()).filter(|raw| raw.len() <= PAYLOAD_BYTES_MAX),
        });
        let mut record = Map::new();
        record.insert("index".into(), index.into());
        record.insert("error".into(), FAILED.into());
        self.records.push(Value::Object(record));
    }
}

/// A UUID of version 8: 122 bits of a hash.
fn event_id(at: &Acceptance, digest: &[u8; 32], repeat: u64) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(digest);
    hash.update(&repeat.to_le_bytes());
    hash.update(at.tenant.as_str().as_bytes());
    let mut id = [0; 16];
    hash.finalize_xof().fill(&mut id);
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut id;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    let digits = hex::encode(id);
    let mut text = String::with_capacity(36);
    for (place, digit) in digits.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}
