//! OTLP/JSON written as Protobuf, read tolerantly.
//!
//! One pass over the JSON, driven by tables of the messages' fields ([`shape`]), appends the
//! same request in the wire format; no tree is built. What real senders write and a strict reader
//! would refuse is taken:
//!
//! * `null` anywhere is the default; empty lists may lack their `values`;
//! * 64-bit integers are numbers or text, also `42.0`; what is beyond 64 bits (JavaScript writes
//!   `1e21`) becomes a double, or stays text where it came as text: never is an integer rounded;
//! * doubles are numbers or text, also `"NaN"` and `"Infinity"`;
//! * bytes are base64 of either alphabet, with or without padding;
//! * ids are hex of either case; what is no hex is kept as its text's bytes, of a length that no
//!   sound id has, so that the usual rules about ids say what becomes of it;
//! * enums are numbers or names; unknown fields are skipped, whatever they hold;
//! * a byte order mark, and halves of surrogate pairs (read as U+FFFD).
//!
//! A wrong type (an object where text belongs) refuses the request, as the specification wants.
//! The flat form `{"spans":[...]}` takes spans with the same members, also in snake_case, and
//! attributes also as a plain object.

mod plain;
mod shape;
mod slot;

use serde::de::DeserializeSeed;

use super::super::json::{is_deeper_than, refusal, repair_surrogates, without_mark};
use crate::decode::{DecodeError, Limits};
use slot::Message;

/// What a shape error says.
const EXPECTED: &str = "a member has another type than OTLP/JSON gives it";

/// The body of an export request of traces in JSON, as Protobuf.
pub(super) fn to_protobuf(body: &[u8], limits: &Limits) -> Result<Vec<u8>, DecodeError> {
    written(body, &shape::REQUEST, limits)
}

/// The body of an export request of logs in JSON, as Protobuf.
pub(super) fn logs_to_protobuf(body: &[u8], limits: &Limits) -> Result<Vec<u8>, DecodeError> {
    written(body, &shape::LOGS_REQUEST, limits)
}

fn written(
    body: &[u8],
    shape: &'static shape::Shape,
    limits: &Limits,
) -> Result<Vec<u8>, DecodeError> {
    let body = without_mark(body);
    if is_deeper_than(body, limits.json_depth_max) {
        return Err(DecodeError::TooDeep {
            max: limits.json_depth_max,
        });
    }
    match transcode(body, shape) {
        Ok(message) => Ok(message),
        Err(error) => match repair_surrogates(body) {
            Some(repaired) => {
                transcode(&repaired, shape).map_err(|error| refusal(&error, EXPECTED))
            }
            None => Err(refusal(&error, EXPECTED)),
        },
    }
}

fn transcode(body: &[u8], shape: &'static shape::Shape) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(body.len() / 2);
    let mut json = serde_json::Deserializer::from_slice(body);
    Message {
        out: &mut out,
        shape,
    }
    .deserialize(&mut json)?;
    json.end()?;
    Ok(out)
}

/// Appends a varint.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    out.push(low_bits(value));
}

/// The low seven bits.
fn low_bits(value: u64) -> u8 {
    u8::try_from(value & 0x7f).unwrap_or(0)
}

/// Appends the key of a field.
fn put_key(number: u32, wire_type: u32, out: &mut Vec<u8>) {
    put_varint(u64::from(number << 3 | wire_type), out);
}

/// Appends a field of text or bytes.
pub(super) fn put_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    put_key(number, 2, out);
    put_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    out.extend_from_slice(bytes);
}

/// Appends a message field whose fields `write` appends.
fn put_message<T, E>(
    number: u32,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, E>,
) -> Result<T, E> {
    put_key(number, 2, out);
    let start = out.len();
    let result = write(out)?;
    let end = out.len();
    put_varint(u64::try_from(end - start).unwrap_or(u64::MAX), out);
    let prefix = out.len() - end;
    if let Some(message) = out.get_mut(start..) {
        message.rotate_right(prefix);
    }
    Ok(result)
}
