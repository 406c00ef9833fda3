//! Attribute values as text, and back without loss.
//!
//! A row keeps its attributes in two maps: the value as text by key, and by key the name of its
//! type where it is not text. The two together give back the value that was sent:
//!
//! | type | text |
//! |---|---|
//! | (none) | the text itself |
//! | `int` | decimal digits |
//! | `double` | the shortest decimal that reads back as the same double; `NaN`, `Infinity`, `-Infinity` |
//! | `bool` | `true`, `false` |
//! | `bytes` | base64 with padding |
//! | `array` | a JSON array |
//! | `kvlist` | a JSON object, its keys in the order sent, also where one occurs twice |
//! | `unset` | NULL |
//!
//! Inside arrays and objects, text, booleans and unset values are JSON's strings, `true`, `false`
//! and `null`. A number without a point and an exponent is an `int`, any other is a `double`. What
//! JSON does not have is an object with one key that begins with `$`: `{"$bytes":"AP8="}`,
//! `{"$double":"NaN"}`, and `{"$kvlist":{...}}` around a list whose own first key begins with `$`.
//!
//! What differs from the wire: all NaNs are one, a key without a value is an unset value, and a
//! reference into a profile's string table is unset, as the specification asks of other signals.
//! An array or a list that was cut to the limit of a value is kept as text, without a type.

mod content;
mod parse;

pub(super) use content::{Content, ContentError, KeyValue, Room, char_boundary};
pub use parse::any_value;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyValue {
    /// None was set.
    Unset,
    /// Text.
    Text(String),
    /// A truth value.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Double(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of values.
    Array(Vec<AnyValue>),
    /// A list of keys with values; a key may occur twice.
    KvList(Vec<(String, AnyValue)>),
}

/// The text is not one that decoding writes for that type; the text is not repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a value of the type that is named beside it")]
pub struct InvalidValue;
