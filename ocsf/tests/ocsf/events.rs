//! Events of our own, and any that are made of them.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// The events and changes; see the file.
pub(crate) fn document() -> Value {
    serde_json::from_str(include_str!("../../../testdata/ocsf/cases.json")).unwrap()
}

/// The event of a case.
pub(crate) fn event_of(bases: &Value, case: &Value) -> Value {
    let mut event = bases[case["base"].as_str().unwrap()].clone();
    let nothing = Map::new();
    for (path, value) in case["set"].as_object().unwrap_or(&nothing) {
        set(&mut event, path, value.clone());
    }
    for path in case["remove"].as_array().into_iter().flatten() {
        let (parent, name) = path.as_str().unwrap().rsplit_once('/').unwrap();
        let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.shift_remove(name);
    }
    event
}

/// Puts a value at a path, whether or not there is one.
pub(crate) fn set(event: &mut Value, path: &str, value: Value) {
    if let Some(place) = event.pointer_mut(path) {
        *place = value;
        return;
    }
    let (parent, name) = path.rsplit_once('/').unwrap();
    let parent = event.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(name.to_owned(), value);
}

/// Names that the schema knows, and some that it does not.
fn name() -> impl Strategy<Value = String> {
    let known = [
        "class_uid",
        "activity_id",
        "type_uid",
        "metadata",
        "version",
        "profiles",
        "product",
        "name",
        "actor",
        "user",
        "session",
        "process",
        "parent_process",
        "observables",
        "time",
        "severity_id",
        "severity",
        "src_endpoint",
        "ip",
        "port",
        "unmapped",
        "resources",
        "finding_info",
        "type_id",
        "type",
        "api",
        "device",
        "http_request",
        "enrichments",
        "data",
    ];
    prop_oneof![
        8 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => ".{0,20}",
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..100_i64).prop_map(Value::from),
        (-1..300_i64).prop_map(|number| Value::from(number.to_string())),
        proptest::sample::select(vec![
            "1.8.0",
            "1.3.0",
            "0.1.0",
            "true",
            "192.0.2.1",
            "Other",
            "actor.user.name"
        ])
        .prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
    ]
}

/// Any JSON.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((name(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// An event of one of our bases with some places replaced or added.
pub(crate) fn event() -> impl Strategy<Value = Value> {
    let document = document();
    let bases: Vec<Value> = document["bases"]
        .as_object()
        .unwrap()
        .values()
        .cloned()
        .collect();
    changed(bases)
}

/// One of these events with some places replaced or added.
pub(crate) fn changed(bases: Vec<Value>) -> impl Strategy<Value = Value> {
    let change = (any::<prop::sample::Index>(), name(), any_json());
    let changes = proptest::collection::vec(change, 0..5);
    (proptest::sample::select(bases), changes).prop_map(|(mut event, changes)| {
        for (place, name, value) in changes {
            let mut paths = Vec::new();
            objects(&event, String::new(), &mut paths);
            let path = place.get(&paths).clone();
            let object = event.pointer_mut(&path).unwrap().as_object_mut().unwrap();
            object.insert(name, value);
        }
        event
    })
}

/// The paths of all objects.
fn objects(value: &Value, path: String, out: &mut Vec<String>) {
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1");
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                objects(value, format!("{path}/{}", escaped(name)), out);
            }
            out.push(path);
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                objects(value, format!("{path}/{index}"), out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
