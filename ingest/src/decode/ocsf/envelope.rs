//! The forms in which events come.

use std::collections::HashMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::{Gathered, row};
use crate::decode::json::refusal;
use crate::decode::rejected::Rejection;
use crate::decode::{DecodeError, Limits};

const NOT_A_FORM: DecodeError = DecodeError::NotAForm(
    "OCSF ingest expects a single event, a list of events, or an object with an 'events' array",
);
const NOT_AN_OBJECT: DecodeError = DecodeError::Contract("Input should be a valid dictionary");
const TOO_MANY: DecodeError =
    DecodeError::Contract("OCSF ingest accepts at most 1000 events at once");

/// What a shape error says.
const EXPECTED: &str = "an OCSF event";

/// An event as it was found.
#[derive(Clone, Copy)]
pub(super) struct Found<'e> {
    /// The event as sent.
    pub(super) raw: &'e str,
    /// How it was sent.
    pub(super) envelope: &'static str,
    /// Members of the wrapper that say what the event may not.
    pub(super) time: Option<&'e Value>,
    pub(super) source: Option<&'e Value>,
}

/// Finds each event of a body and adds it.
pub(super) fn each(
    body: &[u8],
    limits: &Limits,
    gathered: &mut Gathered<'_>,
) -> Result<(), DecodeError> {
    let documents = documents(body)?;
    let in_a_row = documents.len() > 1;
    for (index, document) in documents.into_iter().enumerate() {
        let form = match form(&document) {
            Ok(form) => form,
            Err(_) if in_a_row => {
                refuse(gathered, index, document.raw);
                continue;
            }
            Err(error) => return Err(error),
        };
        let separated = if document.on_its_own_line {
            "ndjson"
        } else {
            "concatenated"
        };
        match form {
            Form::Event if in_a_row => add(gathered, limits, plain(document.raw, separated))?,
            Form::Event => add(gathered, limits, plain(document.raw, "event"))?,
            Form::List(events, envelope) => {
                for raw in events {
                    add(gathered, limits, plain(raw, envelope))?;
                }
            }
            Form::Hec(wrapper) => {
                let found = Found {
                    raw: wrapper.event,
                    envelope: "hec",
                    time: wrapper.time.as_ref(),
                    source: wrapper.source.as_ref(),
                };
                add(gathered, limits, found)?;
            }
        }
    }
    Ok(())
}

fn plain<'e>(raw: &'e str, envelope: &'static str) -> Found<'e> {
    Found {
        raw,
        envelope,
        time: None,
        source: None,
    }
}

fn add(gathered: &mut Gathered<'_>, limits: &Limits, found: Found<'_>) -> Result<(), DecodeError> {
    if gathered.table.rows() >= limits.ocsf_events_max {
        return Err(TOO_MANY);
    }
    if gathered.table.byte_len() > limits.decoded_bytes_max {
        return Err(DecodeError::TooManyBytes {
            max: limits.decoded_bytes_max,
        });
    }
    row::push(gathered, found)
}

fn refuse(gathered: &mut Gathered<'_>, index: usize, raw: &str) {
    gathered.rejected_count += 1;
    gathered.rejections.push(Rejection {
        code: "not_an_event",
        reason: "the document is no OCSF event and no list of events",
        index,
        id: None,
        payload: Some(raw.to_owned()).filter(|raw| raw.len() <= 64 << 10),
    });
}

/// A JSON document of the body.
struct Document<'b> {
    raw: &'b str,
    on_its_own_line: bool,
}

/// The documents of the body, one after the other.
fn documents(body: &[u8]) -> Result<Vec<Document<'_>>, DecodeError> {
    let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let mut documents: Vec<Document<'_>> = Vec::new();
    let mut end = 0;
    while let Some(document) = stream.next() {
        let raw = document.map_err(|error| refusal(&error, EXPECTED))?.get();
        let start = stream.byte_offset().saturating_sub(raw.len());
        let gap = body.get(end..start).unwrap_or_default();
        end = stream.byte_offset();
        let on_its_own_line = gap.contains(&b'\n') || documents.is_empty();
        documents.push(Document {
            raw,
            on_its_own_line,
        });
    }
    // The first of several is told by how the second is separated.
    let second = documents.get(1).map(|document| document.on_its_own_line);
    if let (Some(second), Some(first)) = (second, documents.first_mut()) {
        first.on_its_own_line = second;
    }
    if documents.is_empty() {
        return Err(NOT_A_FORM);
    }
    Ok(documents)
}

/// A document, told apart.
enum Form<'b> {
    Event,
    List(Vec<&'b str>, &'static str),
    Hec(Hec<'b>),
}

/// Splunk's wrapper around an event.
struct Hec<'b> {
    event: &'b str,
    time: Option<Value>,
    source: Option<Value>,
}

fn form<'b>(document: &Document<'b>) -> Result<Form<'b>, DecodeError> {
    if document.raw.starts_with('[') {
        return objects(document.raw).map(|events| Form::List(events, "array"));
    }
    if !document.raw.starts_with('{') {
        return Err(NOT_AN_OBJECT);
    }
    let members: HashMap<String, &'b RawValue> =
        serde_json::from_str(document.raw).map_err(|error| refusal(&error, EXPECTED))?;
    if members.contains_key("class_uid") || members.contains_key("class_name") {
        return Ok(Form::Event);
    }
    if let Some(events) = members
        .get("events")
        .filter(|raw| raw.get().starts_with('['))
    {
        let is_bundle = [
            "count",
            "start_time",
            "end_time",
            "start_time_dt",
            "end_time_dt",
        ]
        .iter()
        .any(|name| members.contains_key(*name));
        let envelope = if is_bundle { "bundle" } else { "events" };
        return objects(events.get()).map(|events| Form::List(events, envelope));
    }
    if let Some(event) = members
        .get("event")
        .filter(|raw| raw.get().starts_with('{'))
    {
        let value = |name: &str| {
            members
                .get(name)
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
        };
        return Ok(Form::Hec(Hec {
            event: event.get(),
            time: value("time"),
            source: value("source"),
        }));
    }
    Err(NOT_A_FORM)
}

/// The items of a list, all of which must be objects.
fn objects(raw: &str) -> Result<Vec<&str>, DecodeError> {
    let items: Vec<&RawValue> =
        serde_json::from_str(raw).map_err(|error| refusal(&error, EXPECTED))?;
    let objects: Vec<&str> = items.iter().map(|item| item.get()).collect();
    if objects.iter().all(|raw| raw.starts_with('{')) {
        Ok(objects)
    } else {
        Err(NOT_AN_OBJECT)
    }
}
