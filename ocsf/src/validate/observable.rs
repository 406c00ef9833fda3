//! Observables name an attribute of the event by its path.

use serde_json::Value;

use super::{Check, ROOT};
use crate::code::Code;
use crate::path::Place;
use crate::schema::{Kind, Shape};

/// The longest name that is followed; no path of the schema comes near.
const NAME_BYTES_MAX: usize = 1024;

impl Check {
    pub(super) fn observables(&mut self, observables: &[Value], class: &'static Shape) {
        for (index, observable) in observables.iter().enumerate() {
            let name = observable.get("name").and_then(Value::as_str);
            if name.is_some_and(|name| !self.names_attribute(name, class)) {
                let list = Place::Member(&ROOT, "observables");
                let item = Place::Item(&list, index);
                let place = Place::Member(&item, "name");
                let code = Code::ObservableNameInvalidReference;
                self.report.found(code, &place);
            }
        }
    }

    /// Whether a path as `resources[0].name` leads to an attribute of the class.
    fn names_attribute(&self, name: &str, class: &'static Shape) -> bool {
        if name.len() > NAME_BYTES_MAX {
            return false;
        }
        let schema = self.edition.schema;
        let (mut shape, mut rest) = (class, Some(name));
        while let Some(path) = rest {
            let (step, after) = split(path);
            rest = after;
            let (name, indexed) = match step.split_once('[') {
                Some((name, index)) if !name.is_empty() && index.ends_with(']') => (name, true),
                Some(_) | None => (step, false),
            };
            let Some(attr) = schema.visible(shape, name, self.profiles) else {
                return false;
            };
            if rest.is_none() {
                return true;
            }
            let object = match attr.kind {
                Kind::Object(at) => schema.shapes.get(at),
                Kind::Scalar(_) => None,
            };
            match object {
                Some(object) if attr.list || !indexed => shape = object,
                Some(_) | None => return false,
            }
        }
        false
    }
}

/// Splits at the first dot that does not stand within brackets.
fn split(path: &str) -> (&str, Option<&str>) {
    for (at, _) in path.match_indices('.') {
        let (step, after) = path.split_at(at);
        let after = after.get(1..).unwrap_or_default();
        let bracket = after.find(['[', ']']);
        let is_within = bracket.is_some_and(|at| after.as_bytes().get(at) == Some(&b']'));
        if !is_within {
            return (step, Some(after));
        }
    }
    (path, None)
}
