//! The envelope of an audit request, by its contract.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::decode::json::{Extent, measure, refusal, repair_surrogates, without_mark};
use crate::decode::{DecodeError, Limits};

/// The longest `source_id`, in characters.
const SOURCE_CHARS_MAX: usize = 200;

const NOT_AN_OBJECT: DecodeError = DecodeError::Contract("Input should be a valid dictionary");

/// An audit request.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) source_id: String,
    pub(super) session_id: String,
    pub(super) idempotency_key: Option<String>,
    pub(super) alerts: Vec<Record>,
    pub(super) summary: Option<Record>,
}

/// A JSON object, as sent and as read.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) raw: String,
    pub(super) value: Value,
}

impl Record {
    fn read(raw: &RawValue) -> Result<Self, DecodeError> {
        let value: Value =
            serde_json::from_str(raw.get()).map_err(|error| refusal(&error, "a JSON object"))?;
        if !value.is_object() {
            return Err(NOT_AN_OBJECT);
        }
        Ok(Self {
            raw: raw.get().to_owned(),
            value,
        })
    }
}

impl Envelope {
    /// Reads the body.
    pub(super) fn read(body: &[u8], limits: &Limits) -> Result<Self, DecodeError> {
        let body = without_mark(body);
        let max = limits.json_values_max;
        match measure(body, limits.json_depth_max, max) {
            Extent::Fits => {}
            Extent::TooDeep => return Err(DecodeError::TooDeepForContract),
            Extent::TooMany => return Err(DecodeError::TooManyValues { max }),
        }
        let body = match serde_json::from_slice::<Value>(body) {
            Ok(_) => Cow::Borrowed(body),
            Err(error) => match repair_surrogates(body) {
                Some(repaired) => Cow::Owned(repaired),
                None => return Err(refusal(&error, "a JSON object")),
            },
        };
        Self::members(&body)
    }

    fn members(body: &[u8]) -> Result<Self, DecodeError> {
        let top: &RawValue =
            serde_json::from_slice(body).map_err(|error| refusal(&error, "a JSON object"))?;
        if !top.get().starts_with('{') {
            return Err(NOT_AN_OBJECT);
        }
        let members: HashMap<String, &RawValue> =
            serde_json::from_str(top.get()).map_err(|error| refusal(&error, "a JSON object"))?;
        let mut envelope = Self {
            source_id: String::new(),
            session_id: String::new(),
            idempotency_key: None,
            alerts: Vec::new(),
            summary: None,
        };
        for (name, raw) in members {
            match name.as_str() {
                "source_id" => envelope.source_id = text(raw)?,
                "session_id" => envelope.session_id = text(raw)?,
                "idempotency_key" => {
                    envelope.idempotency_key = Some(text(raw)?).filter(|key| !key.is_empty());
                }
                "alerts" => envelope.alerts = records(raw)?,
                "summary" if raw.get() == "null" => {}
                "summary" => envelope.summary = Some(Record::read(raw)?),
                _ => return Err(DecodeError::Contract("Extra inputs are not permitted")),
            }
        }
        if envelope.source_id.chars().count() > SOURCE_CHARS_MAX {
            return Err(DecodeError::Contract(
                "String should have at most 200 characters",
            ));
        }
        set_default(&mut envelope.source_id, "unknown");
        set_default(&mut envelope.session_id, "default");
        Ok(envelope)
    }

    /// Digest of all that was sent but the idempotency key.
    pub(super) fn payload_hash(&self) -> [u8; 32] {
        let mut digest = blake3::Hasher::new();
        let mut feed = |part: &str| {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            digest.update(&length.to_le_bytes());
            digest.update(part.as_bytes());
        };
        feed(&self.source_id);
        feed(&self.session_id);
        for record in &self.alerts {
            feed(&sorted(&record.value));
        }
        if let Some(summary) = &self.summary {
            feed("summary");
            feed(&sorted(&summary.value));
        }
        *digest.finalize().as_bytes()
    }
}

/// The same text for the same content: JSON without spaces, members by name.
pub(super) fn sorted(value: &Value) -> String {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string()
}

fn set_default(text: &mut String, default: &str) {
    if text.is_empty() {
        default.clone_into(text);
    }
}

fn text(raw: &RawValue) -> Result<String, DecodeError> {
    serde_json::from_str(raw.get())
        .map_err(|_| DecodeError::Contract("Input should be a valid string"))
}

fn records(raw: &RawValue) -> Result<Vec<Record>, DecodeError> {
    let items: Vec<&RawValue> = serde_json::from_str(raw.get())
        .map_err(|_| DecodeError::Contract("Input should be a valid list"))?;
    items.into_iter().map(Record::read).collect()
}
