//! Attributes of the flat form as a plain JSON object: `{"gen_ai.usage.input_tokens": 12}`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{put_bytes, put_key, put_message, put_varint};

/// An object whose entries become `KeyValue`s in the field `number`.
pub(super) struct PlainAttributes<'o> {
    pub(super) out: &'o mut Vec<u8>,
    pub(super) number: u32,
}

impl<'de> Visitor<'de> for PlainAttributes<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            put_message(self.number, self.out, |out| {
                put_bytes(1, key.as_bytes(), out);
                put_message(2, out, |out| map.next_value_seed(PlainValue { out }))
            })?;
        }
        Ok(())
    }
}

/// A plain JSON value that becomes the fields of an `AnyValue`.
struct PlainValue<'o> {
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for PlainValue<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PlainValue<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        put_key(2, 0, self.out);
        put_varint(u64::from(value), self.out);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        put_key(3, 0, self.out);
        put_varint(value.cast_unsigned(), self.out);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => {
                put_bytes(1, value.to_string().as_bytes(), self.out);
                Ok(())
            }
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        put_key(4, 1, self.out);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        put_bytes(1, value.as_bytes(), self.out);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        put_message(5, self.out, |out| {
            while let Some(()) = seq.next_element_seed(PlainItem { out: &mut *out })? {}
            Ok(())
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        put_message(6, self.out, |out| {
            PlainAttributes { out, number: 1 }.visit_map(map)
        })
    }
}

/// An item of a plain list, as an `AnyValue` in an `ArrayValue`.
struct PlainItem<'o> {
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for PlainItem<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        put_message(1, self.out, |out| {
            PlainValue { out }.deserialize(deserializer)
        })
    }
}
