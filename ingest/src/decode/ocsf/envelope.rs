//! The forms in which events come, read as a stream: each event is handed on when it is found.

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::decode::DecodeError;
use crate::decode::json::refusal;

const NOT_A_FORM: DecodeError = DecodeError::NotAForm(
    "OCSF ingest expects a single event, a list of events, or an object with an 'events' array",
);
const NOT_AN_OBJECT: DecodeError = DecodeError::Contract("Input should be a valid dictionary");

/// What a shape error says.
pub(super) const EXPECTED: &str = "an OCSF event";

/// An event as it was found.
#[derive(Clone, Debug)]
pub(super) struct Found<'b> {
    /// The event as sent.
    pub(super) raw: &'b str,
    /// How it was sent.
    pub(super) envelope: &'static str,
    /// Members of the wrapper that say what the event may not.
    pub(super) time: Option<Value>,
    pub(super) source: Option<Value>,
}

/// What is found in a body.
#[derive(Clone, Debug)]
pub(super) enum Item<'b> {
    /// An event.
    Event(Found<'b>),
    /// A document among several that is none of the forms.
    Other(&'b str),
}

/// Who is handed what is found.
type Take<'t, 'b> = &'t mut dyn FnMut(Item<'b>) -> Result<(), DecodeError>;

/// Hands on each event of a body, in order. True where a bundle counts other than it holds.
///
/// # Errors
///
/// What `take` says, and where the body is none of the forms, or no JSON from somewhere on; what
/// was found before has been handed on by then.
pub(super) fn each<'b>(body: &'b [u8], take: Take<'_, 'b>) -> Result<bool, DecodeError> {
    let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<&'b RawValue>();
    let mut walk = Walk {
        take,
        miscounted: false,
    };
    // Whether a document is one of several, and how they are separated, is told by the next one.
    let mut held: Option<&'b str> = None;
    let mut among = None;
    let mut end = 0;
    while let Some(document) = stream.next() {
        let raw = document.map_err(|error| refusal(&error, EXPECTED))?.get();
        let start = stream.byte_offset().saturating_sub(raw.len());
        let gap = body.get(end..start).unwrap_or_default();
        end = stream.byte_offset();
        if let Some(held) = held.replace(raw) {
            let separated = if gap.contains(&b'\n') {
                "ndjson"
            } else {
                "concatenated"
            };
            walk.document(held, Some(among.unwrap_or(separated)))?;
            among = Some(separated);
        }
    }
    match held {
        None => return Err(NOT_A_FORM),
        Some(held) => walk.document(held, among)?,
    }
    Ok(walk.miscounted)
}

struct Walk<'t, 'b> {
    take: Take<'t, 'b>,
    miscounted: bool,
}

impl<'b> Walk<'_, 'b> {
    /// Reads a document; `among` is how it is separated from others, where there are some.
    fn document(&mut self, raw: &'b str, among: Option<&'static str>) -> Result<(), DecodeError> {
        if raw.starts_with('[') {
            return self.list(raw, "array", among.is_some()).map(drop);
        }
        if !raw.starts_with('{') {
            return match among {
                Some(_) => (self.take)(Item::Other(raw)),
                None => Err(NOT_AN_OBJECT),
            };
        }
        let members: Members<'b> =
            serde_json::from_str(raw).map_err(|error| refusal(&error, EXPECTED))?;
        if members.is_event {
            return self.event(raw, among.unwrap_or("event"));
        }
        if let Some(events) = members.events.filter(|raw| raw.starts_with('[')) {
            let name = if members.is_bundle {
                "bundle"
            } else {
                "events"
            };
            let found = self.list(events, name, among.is_some())?;
            let counted = members.count.and_then(|raw| raw.parse().ok());
            self.miscounted |= counted.is_some_and(|counted: usize| counted != found);
            return Ok(());
        }
        if let Some(event) = members.event.filter(|raw| raw.starts_with('{')) {
            let value = |raw: Option<&str>| raw.and_then(|raw| serde_json::from_str(raw).ok());
            return (self.take)(Item::Event(Found {
                raw: event,
                envelope: "hec",
                time: value(members.time),
                source: value(members.source),
            }));
        }
        match among {
            Some(_) => (self.take)(Item::Other(raw)),
            None => Err(NOT_A_FORM),
        }
    }

    fn event(&mut self, raw: &'b str, envelope: &'static str) -> Result<(), DecodeError> {
        (self.take)(Item::Event(Found {
            raw,
            envelope,
            time: None,
            source: None,
        }))
    }

    /// Hands on the items of a list; how many there are. All must be objects, or, in one of
    /// several documents, what is none is handed on as that.
    fn list(
        &mut self,
        raw: &'b str,
        envelope: &'static str,
        any: bool,
    ) -> Result<usize, DecodeError> {
        let mut failed = None;
        let mut stream = serde_json::Deserializer::from_str(raw);
        let items = Items {
            walk: self,
            envelope,
            any,
            failed: &mut failed,
        };
        let read = items.deserialize(&mut stream);
        match (read, failed) {
            (_, Some(error)) => Err(error),
            (Err(error), None) => Err(refusal(&error, EXPECTED)),
            (Ok(count), None) => Ok(count),
        }
    }
}

/// The items of a list, handed on one by one.
struct Items<'w, 't, 'b> {
    walk: &'w mut Walk<'t, 'b>,
    envelope: &'static str,
    /// Whether items may be something else than objects.
    any: bool,
    /// Why the rest was not looked at.
    failed: &'w mut Option<DecodeError>,
}

impl<'b> DeserializeSeed<'b> for Items<'_, '_, 'b> {
    type Value = usize;

    fn deserialize<D: Deserializer<'b>>(self, list: D) -> Result<usize, D::Error> {
        list.deserialize_seq(self)
    }
}

impl<'b> Visitor<'b> for Items<'_, '_, 'b> {
    type Value = usize;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'b>>(self, mut items: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(item) = items.next_element::<&'b RawValue>()? {
            let raw = item.get();
            let taken = if raw.starts_with('{') {
                self.walk.event(raw, self.envelope)
            } else if self.any {
                (self.walk.take)(Item::Other(raw))
            } else {
                Err(NOT_AN_OBJECT)
            };
            if let Err(error) = taken {
                *self.failed = Some(error);
                return Err(A::Error::custom("the list was refused"));
            }
            count += 1;
        }
        Ok(count)
    }
}

/// What tells the forms of an object apart.
#[derive(Debug, Default)]
struct Members<'b> {
    is_event: bool,
    is_bundle: bool,
    events: Option<&'b str>,
    event: Option<&'b str>,
    time: Option<&'b str>,
    source: Option<&'b str>,
    count: Option<&'b str>,
}

impl<'b> Deserialize<'b> for Members<'b> {
    fn deserialize<D: Deserializer<'b>>(object: D) -> Result<Self, D::Error> {
        object.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'b> Visitor<'b> for MembersVisitor {
    type Value = Members<'b>;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(self, mut map: A) -> Result<Members<'b>, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<Name>()? {
            let place = match name {
                Name::Class => {
                    members.is_event = true;
                    None
                }
                Name::Bundle => {
                    members.is_bundle = true;
                    None
                }
                Name::Count => {
                    members.is_bundle = true;
                    Some(&mut members.count)
                }
                Name::Events => Some(&mut members.events),
                Name::Event => Some(&mut members.event),
                Name::Time => Some(&mut members.time),
                Name::Source => Some(&mut members.source),
                Name::Other => None,
            };
            match place {
                Some(place) => *place = Some(map.next_value::<&'b RawValue>()?.get()),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}

/// A name that matters for the form.
#[derive(Clone, Copy, Debug)]
enum Name {
    Class,
    Events,
    Event,
    Time,
    Source,
    Count,
    Bundle,
    Other,
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(name: D) -> Result<Self, D::Error> {
        name.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = Name;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Name, E> {
        Ok(match name {
            "class_uid" | "class_name" => Name::Class,
            "events" => Name::Events,
            "event" => Name::Event,
            "time" => Name::Time,
            "source" => Name::Source,
            "count" => Name::Count,
            "start_time" | "end_time" | "start_time_dt" | "end_time_dt" => Name::Bundle,
            _ => Name::Other,
        })
    }
}
