//! Reads an event as its schema wants it, without losing anything.

use serde_json::{Map, Number, Value};

use crate::code::{Code, Codes};
use crate::edition::Edition;
use crate::schema::{Attr, Kind, Primitive, Schema, Shape};
use crate::tables::TablesError;
use crate::validate::{DEPTH_MAX, is_integer};

/// Doubles hold every whole number up to here.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// Makes of `event` what its schema wants, where that loses nothing, and tells what was done:
///
/// * a number or a truth value that is sent as text becomes one if it would be written as the
///   same text, and the other way round;
/// * a single value where a list is wanted becomes a list of one;
/// * `type_uid` is computed from class and activity, where it is not what they say;
/// * attributes of the root that the schema does not know are copied into `unmapped`, where that
///   has none of the name.
///
/// Times are left alone: their units are told by their size, which is not without loss for what
/// is smaller than a millisecond. Everything else stays as it is, also what is wrong.
///
/// # Errors
///
/// Where the program carries no readable tables; `event` is as it was.
pub fn coerce(event: &mut Value) -> Result<Codes, TablesError> {
    let edition = Edition::of_event(event)?;
    let mut coercion = Coercion {
        schema: edition.schema,
        profiles: 0,
        done: Codes::default(),
    };
    if let Some(members) = event.as_object_mut() {
        coercion.event(members);
    }
    Ok(coercion.done)
}

struct Coercion {
    schema: &'static Schema,
    profiles: u64,
    done: Codes,
}

impl Coercion {
    fn event(&mut self, event: &mut Map<String, Value>) {
        if let Some(uid) = event.get_mut("class_uid") {
            self.scalar(uid, Primitive::Integer);
        }
        let uid = event.get("class_uid").and_then(Value::as_i64);
        let Some(class) = uid.and_then(|uid| self.schema.class(uid)) else {
            return;
        };
        self.profiles = self.named(event);
        self.members(event, class, 0);
        self.type_uid(event);
        self.unmapped(event, class);
    }

    fn named(&self, event: &Map<String, Value>) -> u64 {
        let named = event
            .get("metadata")
            .and_then(|metadata| metadata.get("profiles"));
        let names: &[Value] = match named {
            Some(Value::Array(names)) => names,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let known = &self.schema.profiles;
        let bit = |name: &Value| {
            let place = known.iter().position(|known| name.as_str() == Some(known));
            place.map_or(0, |place| 1_u64 << place)
        };
        names.iter().map(bit).fold(0, |all, one| all | one)
    }

    fn members(&mut self, members: &mut Map<String, Value>, shape: &Shape, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        for (name, value) in members.iter_mut() {
            let attr = self.schema.visible(shape, name, self.profiles);
            if let Some(attr) = attr.filter(|_| !value.is_null()) {
                self.attribute(value, attr, depth);
            }
        }
    }

    fn attribute(&mut self, value: &mut Value, attr: &'static Attr, depth: usize) {
        if !attr.list {
            self.one(value, attr.kind, depth);
            return;
        }
        if !value.is_array() {
            *value = Value::Array(vec![value.take()]);
            self.done.insert(Code::WeirListCoerced);
        }
        for item in value.as_array_mut().into_iter().flatten() {
            self.one(item, attr.kind, depth);
        }
    }

    fn one(&mut self, value: &mut Value, kind: Kind, depth: usize) {
        match kind {
            Kind::Scalar(at) => {
                if let Some(kind) = self.schema.types.get(at) {
                    self.scalar(value, kind.primitive);
                }
            }
            Kind::Object(at) => {
                if let (Some(shape), Some(members)) =
                    (self.schema.shapes.get(at), value.as_object_mut())
                {
                    self.members(members, shape, depth + 1);
                }
            }
        }
    }

    fn scalar(&mut self, value: &mut Value, primitive: Primitive) {
        let wanted = match primitive {
            Primitive::Integer | Primitive::Long => integer(value),
            Primitive::Float => float(value),
            Primitive::Boolean => boolean(value),
            Primitive::Text => text(value),
            Primitive::Json => None,
        };
        if let Some(wanted) = wanted {
            *value = wanted;
            self.done.insert(Code::WeirScalarCoerced);
        }
    }

    fn type_uid(&mut self, event: &mut Map<String, Value>) {
        let number = |name: &str| event.get(name).and_then(Value::as_i64);
        let (Some(class), Some(activity)) = (number("class_uid"), number("activity_id")) else {
            return;
        };
        let computed = class
            .checked_mul(100)
            .and_then(|class| class.checked_add(activity));
        let Some(computed) = computed else {
            return;
        };
        if number("type_uid") != Some(computed) {
            event.insert("type_uid".to_owned(), computed.into());
            self.done.insert(Code::WeirTypeUidComputed);
        }
    }

    fn unmapped(&mut self, event: &mut Map<String, Value>, class: &Shape) {
        let unknown = |name: &str| self.schema.visible(class, name, self.profiles).is_none();
        let extra: Vec<(String, Value)> = event
            .iter()
            .filter(|(name, _)| unknown(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if extra.is_empty() {
            return;
        }
        let unmapped = event
            .entry("unmapped")
            .or_insert_with(|| Value::Object(Map::new()));
        let Some(unmapped) = unmapped.as_object_mut() else {
            return;
        };
        for (name, value) in extra {
            unmapped.entry(name).or_insert(value);
        }
        self.done.insert(Code::WeirUnmapped);
    }
}

/// A whole number, out of its own text or a double without a fraction.
fn integer(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => {
            let number: i64 = text.parse().ok()?;
            (number.to_string() == *text).then(|| number.into())
        }
        Value::Number(number) if !is_integer(value) => {
            let double = number.as_f64()?;
            let is_whole = double.fract() == 0.0 && double.abs() <= EXACT_MAX;
            // The sign of a zero would be lost.
            let keeps_sign = double != 0.0 || double.is_sign_positive();
            let whole = (is_whole && keeps_sign).then(|| format!("{double:.0}"))?;
            whole.parse::<i64>().ok().map(Value::from)
        }
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

fn float(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    if let Some(whole) = integer(value) {
        return Some(whole);
    }
    let number = Number::from_f64(text.parse().ok()?)?;
    (number.to_string() == text).then_some(Value::Number(number))
}

fn boolean(value: &Value) -> Option<Value> {
    match value.as_str()? {
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        _ => None,
    }
}

fn text(value: &Value) -> Option<Value> {
    match value {
        Value::Number(number) => Some(number.to_string().into()),
        Value::Bool(truth) => Some(truth.to_string().into()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
