//! The Protobuf wire format, read in place.
//!
//! ```text
//! message  = field*
//! field    = key payload          key = number << 3 | wire type, as a varint
//! payload  = varint               wire type 0
//!          | 8 bytes              wire type 1, little endian
//!          | length bytes         wire type 2
//!          | field* end-group     wire types 3 and 4, only ever skipped
//!          | 4 bytes              wire type 5, little endian
//! ```
//!
//! A [`Reader`] hands out slices of the body and copies nothing. It reads what `prost` reads and
//! refuses what `prost` refuses (a property test compares them), but knows no message: callers ask
//! each field for the payload they expect, which fails where the wire type is another.

use std::borrow::Cow;

/// How deep unknown groups may nest before the message is refused.
const GROUP_DEPTH_MAX: usize = 100;

/// The largest key: a field number of 29 bits and a wire type.
const KEY_MAX: u64 = u32::MAX as u64;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireError {
    /// What is wrong.
    pub(super) what: &'static str,
    /// The address of the byte at fault: an offset once the body's address is taken off.
    pub(super) at: usize,
}

/// A message that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    /// Its number.
    pub(super) number: u32,
    payload: Payload<'a>,
    at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Group,
}

impl<'a> Reader<'a> {
    /// Reads `message` from its start.
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field, or none at the end of the message.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = address(self.rest);
        let (number, wire_type) = self.key()?;
        let payload = match wire_type {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => Payload::Bytes(self.delimited()?),
            3 => {
                self.skip_group(number, GROUP_DEPTH_MAX)?;
                Payload::Group
            }
            5 => Payload::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(error("an invalid wire type", at)),
        };
        Ok(Some(Field {
            number,
            payload,
            at,
        }))
    }

    /// The key of a field: its number and its wire type.
    #[inline(always)]
    fn key(&mut self) -> Result<(u32, u64), WireError> {
        let at = address(self.rest);
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number) if number != 0 && key <= KEY_MAX => Ok((number, key & 7)),
            Ok(_) | Err(_) => Err(error("an invalid field number", at)),
        }
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, WireError> {
        match self.rest.split_first() {
            Some((byte, rest)) if *byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, WireError> {
        let at = address(self.rest);
        let mut value = 0_u64;
        let mut shift = 0_u32;
        for (place, byte) in self.rest.iter().enumerate().take(10) {
            if shift == 63 && *byte > 1 {
                return Err(error("a varint of more than 64 bits", at));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                self.rest = self.rest.get(place + 1..).unwrap_or_default();
                return Ok(value);
            }
            shift += 7;
        }
        Err(error("a varint that does not end", at))
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.rest.split_first_chunk::<N>() {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(*bytes)
            }
            None => Err(error("a number that is cut off", address(self.rest))),
        }
    }

    #[inline(always)]
    fn delimited(&mut self) -> Result<&'a [u8], WireError> {
        let at = address(self.rest);
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        match self.rest.split_at_checked(length) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(error("a length beyond the end of its message", at)),
        }
    }

    /// Skips the fields of a group up to its end.
    fn skip_group(&mut self, group: u32, depth: usize) -> Result<(), WireError> {
        let at = address(self.rest);
        let depth = match depth.checked_sub(1) {
            Some(depth) => depth,
            None => return Err(error("groups that nest too deeply", at)),
        };
        while !self.rest.is_empty() {
            let (number, wire_type) = self.key()?;
            match wire_type {
                0 => drop(self.varint()?),
                1 => drop(self.array::<8>()?),
                2 => drop(self.delimited()?),
                3 => self.skip_group(number, depth)?,
                4 if number == group => return Ok(()),
                5 => drop(self.array::<4>()?),
                _ => return Err(error("a group that ends wrongly", at)),
            }
        }
        Err(error("a group that does not end", at))
    }
}

impl<'a> Field<'a> {
    /// A text, bytes or message field.
    #[inline]
    pub(super) fn bytes(&self) -> Result<&'a [u8], WireError> {
        match self.payload {
            Payload::Bytes(bytes) => Ok(bytes),
            Payload::Varint(_) | Payload::Fixed64(_) | Payload::Fixed32(_) | Payload::Group => {
                Err(self.wrong_type())
            }
        }
    }

    /// An integer, enum or boolean field.
    #[inline]
    pub(super) fn varint(&self) -> Result<u64, WireError> {
        match self.payload {
            Payload::Varint(value) => Ok(value),
            Payload::Bytes(_) | Payload::Fixed64(_) | Payload::Fixed32(_) | Payload::Group => {
                Err(self.wrong_type())
            }
        }
    }

    /// A `uint32` field: the low half of what was sent, as Protobuf wants it.
    #[inline]
    pub(super) fn uint32(&self) -> Result<i64, WireError> {
        Ok(i64::try_from(self.varint()? & 0xffff_ffff).unwrap_or(0))
    }

    /// An `int32` or enum field: the low half of what was sent, with its sign.
    #[inline]
    pub(super) fn int32(&self) -> Result<i32, WireError> {
        let low = u32::try_from(self.varint()? & 0xffff_ffff).unwrap_or(0);
        Ok(low.cast_signed())
    }

    /// A `fixed64` or double field.
    #[inline]
    pub(super) fn fixed64(&self) -> Result<u64, WireError> {
        match self.payload {
            Payload::Fixed64(value) => Ok(value),
            Payload::Varint(_) | Payload::Bytes(_) | Payload::Fixed32(_) | Payload::Group => {
                Err(self.wrong_type())
            }
        }
    }

    /// A `fixed32` field.
    #[inline]
    pub(super) fn fixed32(&self) -> Result<u32, WireError> {
        match self.payload {
            Payload::Fixed32(value) => Ok(value),
            Payload::Varint(_) | Payload::Bytes(_) | Payload::Fixed64(_) | Payload::Group => {
                Err(self.wrong_type())
            }
        }
    }

    #[cold]
    fn wrong_type(&self) -> WireError {
        error("a field of the wrong wire type", self.at)
    }
}

/// Joins a message with what came of it before: a message field that occurs twice is one message,
/// and the concatenation of two encodings is the encoding of the two merged.
pub(super) fn merge<'a>(before: Option<Cow<'a, [u8]>>, more: &'a [u8]) -> Cow<'a, [u8]> {
    match before {
        None => Cow::Borrowed(more),
        Some(before) => {
            let mut both = before.into_owned();
            both.extend_from_slice(more);
            Cow::Owned(both)
        }
    }
}

/// Splits a short text, bytes or message field off the front of a message, where it has the key
/// `key` and a length below 128, which is how nearly all parts of an attribute look; none
/// where it does not, and the general reader has to look.
#[inline(always)]
pub(super) fn split_short(message: &[u8], key: u8) -> Option<(&[u8], &[u8])> {
    match message {
        [first, length, rest @ ..] if *first == key && *length < 0x80 => {
            rest.split_at_checked(usize::from(*length))
        }
        _ => None,
    }
}

fn address(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr()
}

#[cold]
fn error(what: &'static str, at: usize) -> WireError {
    WireError { what, at }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{WireType, encode_key, encode_varint};

    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<u32>, WireError> {
        let mut reader = Reader::new(bytes);
        let mut numbers = Vec::new();
        while let Some(field) = reader.next()? {
            numbers.push(field.number);
        }
        Ok(numbers)
    }

    #[test]
    fn groups_are_skipped_whole_and_must_end() {
        let group = [0x0b, 0x08, 0x01, 0x13, 0x14, 0x0c, 0x10, 0x05];
        assert_eq!(fields(&group).unwrap(), [1, 2]);
        assert!(fields(&group[..5]).is_err());
        assert!(fields(&[0x0b, 0x14]).is_err(), "another group's end");
        assert!(fields(&[0x0b; 5000]).is_err(), "no stack overflow");
    }

    #[test]
    fn a_field_of_the_wrong_type_says_where() {
        let bytes = [0x08, 0x01];
        let field = Reader::new(&bytes).next().unwrap().unwrap();
        assert_eq!(field.bytes().unwrap_err().at, address(&bytes));
        assert_eq!(field.varint(), Ok(1));
    }

    #[test]
    fn low_halves_keep_their_sign() {
        let mut bytes = vec![0x08];
        encode_varint(u64::MAX, &mut bytes);
        let field = Reader::new(&bytes).next().unwrap().unwrap();
        assert_eq!(field.int32(), Ok(-1));
        assert_eq!(field.uint32(), Ok(i64::from(u32::MAX)));
    }

    proptest! {
        #[test]
        fn varints_read_back_as_they_were_written(value: u64, number in 1_u32..1 << 29) {
            let mut bytes = Vec::new();
            encode_key(number, WireType::Varint, &mut bytes);
            encode_varint(value, &mut bytes);
            let field = Reader::new(&bytes).next().unwrap().unwrap();
            prop_assert_eq!((field.number, field.varint()), (number, Ok(value)));
            for cut in 1..bytes.len() {
                prop_assert!(fields(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let ours = fields(&bytes);
            let theirs = <() as prost::Message>::decode(bytes.as_slice());
            prop_assert_eq!(ours.is_ok(), theirs.is_ok());
        }
    }
}
