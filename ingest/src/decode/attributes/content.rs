//! A value on the wire, and the text that stands for it.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::decode::wire::{Reader, WireError, merge, split_short};

/// The key of a `KeyValue`'s key.
const KEY: u8 = 1 << 3 | 2;

/// The key of a `KeyValue`'s value.
const VALUE: u8 = 2 << 3 | 2;

/// The key of an `AnyValue`'s text.
const TEXT: u8 = 1 << 3 | 2;

/// Why an attribute cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) enum ContentError {
    /// It is no message.
    Wire(WireError),
    /// It nests too deeply.
    TooDeep,
    /// A text is not UTF-8.
    Utf8,
}

impl From<WireError> for ContentError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

/// An attribute: `KeyValue` on the wire.
#[derive(Clone, Debug)]
pub(in crate::decode) struct KeyValue<'a> {
    pub(in crate::decode) key: &'a [u8],
    pub(in crate::decode) value: Content<'a>,
}

/// A value: `AnyValue` on the wire, its text not checked yet.
#[derive(Clone, Debug)]
pub(in crate::decode) enum Content<'a> {
    Unset,
    Text(&'a [u8]),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(&'a [u8]),
    /// The fields of an `ArrayValue`.
    Array(Cow<'a, [u8]>),
    /// The fields of a `KeyValueList`.
    KvList(Cow<'a, [u8]>),
}

impl<'a> KeyValue<'a> {
    /// Reads a `KeyValue`.
    #[inline(always)]
    pub(in crate::decode) fn read(message: &'a [u8]) -> Result<Self, WireError> {
        if let Some((key, rest)) = split_short(message, KEY)
            && let Some((value, [])) = split_short(rest, VALUE)
        {
            let value = match split_short(value, TEXT) {
                Some((text, [])) => Content::Text(text),
                Some(_) | None => Content::Unset.fold(value)?,
            };
            return Ok(Self { key, value });
        }
        Self::read_any(message)
    }

    /// Reads a `KeyValue` whatever its fields' order and length.
    fn read_any(message: &'a [u8]) -> Result<Self, WireError> {
        let mut key: &[u8] = &[];
        let mut value = Content::Unset;
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            match field.number {
                1 => key = field.bytes()?,
                2 => value = value.fold(field.bytes()?)?,
                3 => drop(field.int32()?),
                _ => {}
            }
        }
        Ok(Self { key, value })
    }
}

impl<'a> Content<'a> {
    /// Reads an `AnyValue` over what came before it: the last kind wins, and lists of the same
    /// kind are joined, as for every message that occurs twice.
    fn fold(self, message: &'a [u8]) -> Result<Self, WireError> {
        let mut value = self;
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next()? {
            value = match field.number {
                1 => Self::Text(field.bytes()?),
                2 => Self::Bool(field.varint()? != 0),
                3 => Self::Int(field.varint()?.cast_signed()),
                4 => Self::Double(f64::from_bits(field.fixed64()?)),
                5 => Self::Array(merge(value.array(), field.bytes()?)),
                6 => Self::KvList(merge(value.kv_list(), field.bytes()?)),
                7 => Self::Bytes(field.bytes()?),
                8 => {
                    field.int32()?;
                    Self::Unset
                }
                _ => value,
            };
        }
        Ok(value)
    }

    fn array(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Array(fields) => Some(fields),
            Self::Unset
            | Self::Text(_)
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Bytes(_)
            | Self::KvList(_) => None,
        }
    }

    fn kv_list(self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::KvList(fields) => Some(fields),
            Self::Unset
            | Self::Text(_)
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Bytes(_)
            | Self::Array(_) => None,
        }
    }

    /// The name of its type; none for text.
    #[inline]
    pub(in crate::decode) fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Text(_) => None,
            Self::Unset => Some("unset"),
            Self::Bool(_) => Some("bool"),
            Self::Int(_) => Some("int"),
            Self::Double(_) => Some("double"),
            Self::Bytes(_) => Some("bytes"),
            Self::Array(_) => Some("array"),
            Self::KvList(_) => Some("kvlist"),
        }
    }

    /// Writes the text that stands for it outside of any list; nothing for an unset value.
    ///
    /// What would be cut anyway is not written, and not looked at: a body of megabytes can hold
    /// one value whose text is several times as long.
    pub(in crate::decode) fn write_text(
        &self,
        out: &mut Vec<u8>,
        room: Room,
    ) -> Result<(), ContentError> {
        match self {
            Self::Unset => {}
            Self::Text(text) => out.extend_from_slice(text),
            Self::Bytes(bytes) => {
                // Four characters for each three bytes, and some, so that it shows what is cut.
                let most = room.left(out) / 4 * 3 + 6;
                write_base64(bytes.get(..most).unwrap_or(bytes), out);
            }
            Self::Double(value) => write_double(*value, out),
            Self::Bool(_) | Self::Int(_) | Self::Array(_) | Self::KvList(_) => {
                self.write_json(out, room)?;
            }
        }
        Ok(())
    }

    fn write_json(&self, out: &mut Vec<u8>, room: Room) -> Result<(), ContentError> {
        match self {
            Self::Unset => out.extend_from_slice(b"null"),
            Self::Text(text) => write_string(room.head(text, out), out),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Int(value) => {
                out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes())
            }
            Self::Double(value) if value.is_finite() => write_double(*value, out),
            Self::Double(value) => {
                out.extend_from_slice(b"{\"$double\":\"");
                write_double(*value, out);
                out.extend_from_slice(b"\"}");
            }
            Self::Bytes(bytes) => {
                out.extend_from_slice(b"{\"$bytes\":\"");
                write_base64(bytes.get(..=room.left(out)).unwrap_or(bytes), out);
                out.extend_from_slice(b"\"}");
            }
            Self::Array(fields) => write_array(fields, out, room.deeper()?)?,
            Self::KvList(fields) => write_entries(fields, out, room.deeper()?)?,
        }
        Ok(())
    }
}

/// What a value's text may still take.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) struct Room {
    /// Levels of lists.
    pub(in crate::decode) depth: usize,
    /// The length of the output from which on nothing is kept.
    pub(in crate::decode) end: usize,
}

impl Room {
    fn deeper(self) -> Result<Self, ContentError> {
        let depth = self.depth.checked_sub(1).ok_or(ContentError::TooDeep)?;
        Ok(Self { depth, ..self })
    }

    fn left(self, out: &[u8]) -> usize {
        self.end.saturating_sub(out.len())
    }

    fn is_full(self, out: &[u8]) -> bool {
        out.len() > self.end
    }

    /// As much of `text` as can be kept, in whole characters, and one more.
    fn head<'t>(self, text: &'t [u8], out: &[u8]) -> &'t [u8] {
        let most = self.left(out).saturating_add(4);
        if text.len() <= most {
            return text;
        }
        text.get(..char_boundary(text, most)).unwrap_or(text)
    }
}

/// The last place at or before `max` where a character begins.
pub(in crate::decode) fn char_boundary(text: &[u8], max: usize) -> usize {
    let inside = |place: &usize| text.get(*place).is_some_and(|byte| byte & 0xc0 == 0x80);
    let steps = (0..=max).rev().take_while(inside).count();
    max - steps.min(max)
}

fn write_array(fields: &[u8], out: &mut Vec<u8>, room: Room) -> Result<(), ContentError> {
    out.push(b'[');
    let mut first = true;
    let mut reader = Reader::new(fields);
    while let Some(field) = reader.next()? {
        if room.is_full(out) {
            break;
        }
        if field.number == 1 {
            let value = Content::Unset.fold(field.bytes()?)?;
            if !first {
                out.push(b',');
            }
            first = false;
            value.write_json(out, room)?;
        }
    }
    out.push(b']');
    Ok(())
}

fn write_entries(fields: &[u8], out: &mut Vec<u8>, room: Room) -> Result<(), ContentError> {
    let start = out.len();
    let mut marked = false;
    let mut first = true;
    let mut reader = Reader::new(fields);
    out.push(b'{');
    while let Some(field) = reader.next()? {
        if room.is_full(out) {
            break;
        }
        if field.number != 1 {
            continue;
        }
        let entry = KeyValue::read(field.bytes()?)?;
        if first && entry.key.starts_with(b"$") {
            marked = true;
            out.truncate(start);
            out.extend_from_slice(b"{\"$kvlist\":{");
        }
        if !first {
            out.push(b',');
        }
        first = false;
        write_string(room.head(entry.key, out), out);
        out.push(b':');
        entry.value.write_json(out, room)?;
    }
    out.push(b'}');
    if marked {
        out.push(b'}');
    }
    Ok(())
}

/// Writes a JSON string. Bytes that are not UTF-8 go through as they are and are refused with
/// the column: between quotes they cannot become valid by what stands beside them.
fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(stop) = rest
        .iter()
        .position(|b| *b < 0x20 || matches!(b, b'"' | b'\\'))
    {
        let (plain, tail) = rest.split_at(stop);
        out.extend_from_slice(plain);
        if let Some((byte, tail)) = tail.split_first() {
            write_escape(*byte, out);
            rest = tail;
        }
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            let digit = |nibble: u8| match nibble {
                0..=9 => b'0' + nibble,
                _ => b'a' + nibble - 10,
            };
            out.extend_from_slice(b"\\u00");
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
}

fn write_double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value == f64::INFINITY {
        out.extend_from_slice(b"Infinity");
    } else if value == f64::NEG_INFINITY {
        out.extend_from_slice(b"-Infinity");
    } else {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let room = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, room).unwrap_or(0);
    out.truncate(start + written);
}
