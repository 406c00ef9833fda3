//! The pass over the JSON: each value goes into the place that its member has.

use std::fmt;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::plain::PlainAttributes;
use super::shape::{FLAT_SPAN, KEY_VALUE, Kind, Member, Shape};
use super::{put_bytes, put_key, put_message, put_varint};

/// Base64 with or without padding, in either alphabet.
const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// 2^63 as a double: no integer at or above it fits 64 signed bits.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// A message whose fields are appended to `out`.
pub(super) struct Message<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) shape: &'static Shape,
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(member) = map.next_key_seed(MemberName(self.shape))? {
            match member {
                Some(member) => map.next_value_seed(Slot {
                    out: &mut *self.out,
                    number: member.number,
                    kind: member.kind,
                })?,
                None => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(())
    }
}

/// Finds a member by its name.
struct MemberName(&'static Shape);

impl<'de> DeserializeSeed<'de> for MemberName {
    type Value = Option<&'static Member>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberName {
    type Value = Option<&'static Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let is_it = |m: &&Member| m.name == name || (!m.alias.is_empty() && m.alias == name);
        Ok(self.0.members.iter().find(is_it))
    }
}

/// A field that waits for its value.
struct Slot<'o> {
    out: &'o mut Vec<u8>,
    number: u32,
    kind: Kind,
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a JSON value fits few kinds of member, and all others are the one mismatch"
)]
impl<'de> Visitor<'de> for Slot<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the member's type")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.kind {
            Kind::Bool => {
                self.put_varint(u64::from(value));
                Ok(())
            }
            _ => Err(mismatch()),
        }
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match self.kind {
            Kind::Int64 => match i64::try_from(value) {
                Ok(value) => self.put_varint(value.cast_unsigned()),
                Err(_) => put_bytes(1, value.to_string().as_bytes(), self.out),
            },
            Kind::Double => self.put_fixed64(as_double(&value.to_string())?.to_bits()),
            Kind::Fixed64 => self.put_fixed64(value),
            Kind::Fixed32 => self.put_fixed32(u32::try_from(value).map_err(|_| mismatch())?),
            Kind::Uint32 | Kind::Enum(..) => self.put_varint(value),
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        match self.kind {
            Kind::Int64 | Kind::Enum(..) => self.put_varint(value.cast_unsigned()),
            Kind::Double => self.put_fixed64(as_double(&value.to_string())?.to_bits()),
            _ => return self.visit_u64(u64::try_from(value).map_err(|_| mismatch())?),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.kind {
            Kind::Double => {
                self.put_fixed64(value.to_bits());
                Ok(())
            }
            Kind::Int64 => match integral(value) {
                Some(value) => self.visit_i64(value),
                None => {
                    self.put_beside_int(value);
                    Ok(())
                }
            },
            _ => match integral(value).map(u64::try_from) {
                Some(Ok(value)) => self.visit_u64(value),
                _ => Err(mismatch()),
            },
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.kind {
            Kind::Text => put_bytes(self.number, text.as_bytes(), self.out),
            Kind::Id(length) => self.put_id(text, length),
            Kind::Double => self.put_fixed64(as_double(text)?.to_bits()),
            Kind::Int64 => return self.put_int_text(text.trim()),
            Kind::Fixed64 | Kind::Fixed32 | Kind::Uint32 => return self.put_digits(text.trim()),
            Kind::Enum(prefix, names) => return self.put_enum(text, prefix, names),
            Kind::Bool => match text {
                "true" => self.put_varint(1),
                "false" => self.put_varint(0),
                _ => return Err(mismatch()),
            },
            Kind::Bytes => {
                let bytes = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text));
                put_bytes(self.number, &bytes.map_err(|_| mismatch())?, self.out);
            }
            _ => return Err(mismatch()),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let (shape, null_counts) = match self.kind {
            Kind::Many(shape) => (shape, false),
            Kind::Values(shape) => (shape, true),
            Kind::Attributes => (&KEY_VALUE, false),
            Kind::FlatSpans => return put_flat_spans(self.number, self.out, seq),
            Kind::Texts => {
                while let Some(text) = seq.next_element::<Option<String>>()? {
                    put_bytes(self.number, text.unwrap_or_default().as_bytes(), self.out);
                }
                return Ok(());
            }
            _ => return Err(mismatch()),
        };
        while let Some(()) = seq.next_element_seed(Element {
            out: &mut *self.out,
            number: self.number,
            shape,
            null_counts,
        })? {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.kind {
            Kind::One(shape) => put_message(self.number, self.out, |out| {
                Message { out, shape }.visit_map(map)
            }),
            Kind::Attributes => PlainAttributes {
                out: self.out,
                number: self.number,
            }
            .visit_map(map),
            _ => Err(mismatch()),
        }
    }
}

impl Slot<'_> {
    fn put_varint(self, value: u64) {
        put_key(self.number, 0, self.out);
        put_varint(value, self.out);
    }

    fn put_fixed64(self, value: u64) {
        put_key(self.number, 1, self.out);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn put_fixed32(self, value: u32) {
        put_key(self.number, 5, self.out);
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// An `intValue` that is no 64-bit integer becomes a `doubleValue`.
    fn put_beside_int(self, value: f64) {
        Slot {
            number: 4,
            kind: Kind::Double,
            ..self
        }
        .put_fixed64(value.to_bits());
    }

    fn put_int_text<E: Error>(self, text: &str) -> Result<(), E> {
        if let Ok(value) = text.parse::<i64>() {
            self.put_varint(value.cast_unsigned());
            return Ok(());
        }
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            put_bytes(1, text.as_bytes(), self.out);
            return Ok(());
        }
        self.visit_f64(as_double(text)?)
    }

    fn put_digits<E: Error>(self, text: &str) -> Result<(), E> {
        match text.parse() {
            Ok(value) => self.visit_u64(value),
            Err(_) if text.is_empty() => Ok(()),
            Err(_) => self.visit_f64(as_double(text)?),
        }
    }

    fn put_enum<E: Error>(
        self,
        text: &str,
        prefix: &str,
        names: &'static [&'static str],
    ) -> Result<(), E> {
        let upper = text.trim().to_ascii_uppercase();
        let bare = upper.strip_prefix(prefix).unwrap_or(&upper);
        if let Some(place) = names.iter().position(|name| *name == bare) {
            self.put_varint(u64::try_from(place).unwrap_or(0));
            return Ok(());
        }
        let value: i32 = bare.parse().map_err(|_| mismatch())?;
        self.put_varint(i64::from(value).cast_unsigned());
        Ok(())
    }

    fn put_id(self, text: &str, length: usize) {
        let id = hex::decode(text).unwrap_or_else(|_| {
            let mut bytes = text.as_bytes().to_vec();
            if bytes.len() == length {
                bytes.push(0);
            }
            bytes
        });
        put_bytes(self.number, &id, self.out);
    }
}

/// An item of a list of messages.
struct Element<'o> {
    out: &'o mut Vec<u8>,
    number: u32,
    shape: &'static Shape,
    null_counts: bool,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        if self.null_counts {
            put_bytes(self.number, &[], self.out);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let shape = self.shape;
        put_message(self.number, self.out, |out| {
            Message { out, shape }.visit_map(map)
        })
    }
}

/// Appends flat spans as one `ResourceSpans` with one `ScopeSpans`.
fn put_flat_spans<'de, A: SeqAccess<'de>>(
    number: u32,
    out: &mut Vec<u8>,
    mut seq: A,
) -> Result<(), A::Error> {
    put_message(number, out, |out| {
        put_message(2, out, |out| {
            while let Some(()) = seq.next_element_seed(Element {
                out: &mut *out,
                number: 2,
                shape: &FLAT_SPAN,
                null_counts: false,
            })? {}
            Ok(())
        })
    })
}

fn mismatch<E: Error>() -> E {
    E::custom("another type was expected")
}

/// The double that a text stands for.
fn as_double<E: Error>(text: &str) -> Result<f64, E> {
    match text.trim() {
        "NaN" => Ok(f64::NAN),
        "Infinity" | "+Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        text => text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(mismatch),
    }
}

/// The integer that a double is exactly, if it is one and fits.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the value is integral and lies within 64 signed bits"
)]
fn integral(value: f64) -> Option<i64> {
    let fits = value.fract() == 0.0 && (-TWO_TO_63..TWO_TO_63).contains(&value);
    fits.then_some(value as i64)
}
