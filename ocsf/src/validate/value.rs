//! Scalars: types, ranges, lengths, patterns, listed values and the names beside them.

use serde_json::{Map, Number, Value};

use super::{Check, is_integer};
use crate::code::Code;
use crate::path::Place;
use crate::schema::{Attr, Entry, Primitive, Type, Values};

/// The value that stands for any other one.
const OTHER: i64 = 99;

/// 2 to the power of 127, where `long_t` ends.
const LONG_END: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// 2 to the power of 63: whole numbers below are never read as doubles.
const INTEGER_END: f64 = 9_223_372_036_854_775_808.0;

impl Check {
    pub(super) fn scalar(&mut self, value: &Value, kind: &Type, place: &Place<'_>) {
        if !is_of(value, kind.primitive) {
            self.report.found(Code::AttributeWrongType, place);
            return;
        }
        if let (Some((min, max)), true) = (kind.range, is_integer(value)) {
            let number = value.as_i64().map(i128::from);
            let number = number.or_else(|| value.as_u64().map(i128::from));
            if number.is_some_and(|number| number < min || number > max) {
                self.report.found(Code::AttributeValueExceedsRange, place);
            }
        }
        let Value::String(text) = value else {
            return;
        };
        // Characters are never more than bytes.
        let is_long = |max: usize| text.len() > max && text.chars().nth(max).is_some();
        if kind.max_len.is_some_and(is_long) {
            self.report.found(Code::AttributeValueExceedsMaxLen, place);
        }
        if kind.pattern.as_ref().is_some_and(|p| !p.accepts(text)) && !self.was_accepted(text, kind)
        {
            self.report
                .found(Code::AttributeValueRegexNotMatched, place);
        }
    }

    /// Whether the table before the event's release accepts the text.
    fn was_accepted(&self, text: &str, kind: &Type) -> bool {
        let before = self.edition.before.and_then(|schema| {
            let mut types = schema.types.iter();
            types.find(|before| before.name == kind.name)
        });
        before.is_some_and(|kind| kind.pattern.as_ref().is_none_or(|p| p.accepts(text)))
    }

    /// Checks a value, or each of a list, against those that the attribute lists.
    pub(super) fn listed(
        &mut self,
        members: &Map<String, Value>,
        value: &Value,
        attr: &Attr,
        places: (&Place<'_>, &Place<'_>),
    ) {
        let values = attr.values.and_then(|at| self.edition.schema.enums.get(at));
        let Some(values) = values else {
            return;
        };
        let (object, here) = places;
        let named = attr.sibling.and_then(|sibling| {
            let value = members.get(sibling).filter(|value| !value.is_null());
            value.map(|value| (value, Place::Member(object, sibling)))
        });
        let named = named.as_ref().map(|(value, place)| (*value, place));
        if !attr.list {
            let entry = self.entry(values, value, here, Code::AttributeEnumValueUnknown);
            if let (Some(entry), Some((name, place))) = (entry, named) {
                self.sibling(value, entry, name, place);
            }
            return;
        }
        let Value::Array(items) = value else {
            return;
        };
        for (index, item) in items.iter().enumerate() {
            let here = Place::Item(here, index);
            let entry = self.entry(values, item, &here, Code::AttributeEnumArrayValueUnknown);
            let (Some(entry), Some((name, place))) = (entry, named) else {
                continue;
            };
            if item.as_i64() == Some(OTHER) {
                continue;
            }
            match name.as_array().and_then(|names| names.get(index)) {
                None => self
                    .report
                    .found(Code::AttributeEnumArraySiblingMissing, place),
                Some(name) if name.as_str() != Some(entry.caption) => self
                    .report
                    .found(Code::AttributeEnumArraySiblingIncorrect, place),
                Some(_) => {}
            }
        }
    }

    fn entry<'v>(
        &mut self,
        values: &'v Values,
        value: &Value,
        place: &Place<'_>,
        unknown: Code,
    ) -> Option<&'v Entry> {
        let entry = match value {
            Value::Number(number) => number.as_i64().and_then(|n| values.of_number(n)),
            Value::String(text) => values.of_text(text),
            Value::Bool(truth) => values.of_text(if *truth { "true" } else { "false" }),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        };
        match entry {
            None => self.report.found(unknown, place),
            Some(entry)
                if entry
                    .deprecated
                    .is_some_and(|since| self.edition.knows(since)) =>
            {
                self.report.found(Code::AttributeEnumValueDeprecated, place);
            }
            Some(_) => {}
        }
        entry
    }

    fn sibling(&mut self, value: &Value, entry: &Entry, name: &Value, place: &Place<'_>) {
        let says_it = name.as_str() == Some(entry.caption);
        if value.as_i64() == Some(OTHER) {
            if says_it {
                let code = Code::AttributeEnumSiblingSuspiciousOther;
                self.report.found(code, place);
            }
        } else if !says_it {
            self.report
                .found(Code::AttributeEnumSiblingIncorrect, place);
        }
    }
}

fn is_of(value: &Value, primitive: Primitive) -> bool {
    match (primitive, value) {
        (Primitive::Boolean, Value::Bool(_))
        | (Primitive::Text, Value::String(_))
        | (Primitive::Float, Value::Number(_))
        | (Primitive::Json, _) => true,
        (Primitive::Integer, Value::Number(number)) => number.is_i64(),
        (Primitive::Long, Value::Number(number)) => is_long(number),
        (
            Primitive::Boolean
            | Primitive::Text
            | Primitive::Float
            | Primitive::Integer
            | Primitive::Long,
            _,
        ) => false,
    }
}

/// JSON is read with 64 bits; a longer whole number is there as a double, and told by its size.
fn is_long(number: &Number) -> bool {
    if number.is_i64() || number.is_u64() {
        return true;
    }
    let size = number.as_f64().map(f64::abs);
    size.is_some_and(|size| (INTEGER_END..LONG_END).contains(&size))
}
