//! What holds for any JSON.

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_ocsf::{Code, FINDINGS_MAX, PATH_BYTES_MAX, coerce, validate};

use crate::events::{any_json, document, event};

/// Every scalar with its place, written as text; lists of one are what they hold.
fn leaves(value: &Value, path: String, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                leaves(value, format!("{path}/{name}"), out);
            }
        }
        Value::Array(items) if items.len() == 1 => leaves(&items[0], path, out),
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                leaves(value, format!("{path}/{index}"), out);
            }
        }
        Value::String(text) => out.push((path, text.clone())),
        Value::Number(number) => out.push((path, plain(&number.to_string()).to_owned())),
        Value::Null | Value::Bool(_) => out.push((path, value.to_string())),
    }
}

/// A whole double is written as the integer that it is.
fn plain(number: &str) -> &str {
    number.strip_suffix(".0").unwrap_or(number)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_panics_and_what_is_kept_is_bounded(value in any_json()) {
        let report = validate(&value).unwrap();
        prop_assert!(report.findings.len() <= FINDINGS_MAX);
        prop_assert!(report.findings.iter().all(|found| found.path.len() <= PATH_BYTES_MAX));
        let mut value = value;
        coerce(&mut value).unwrap();
    }

    #[test]
    fn an_event_and_its_text_are_found_equal(event in event()) {
        let report = validate(&event).unwrap();
        let again: Value = serde_json::from_str(&event.to_string()).unwrap();
        prop_assert_eq!(&validate(&again).unwrap(), &report);
        let pretty: Value =
            serde_json::from_str(&serde_json::to_string_pretty(&event).unwrap()).unwrap();
        prop_assert_eq!(&validate(&pretty).unwrap(), &report);
    }

    #[test]
    fn coercion_loses_nothing_and_is_done_once(event in event()) {
        let mut coerced = event.clone();
        let done = coerce(&mut coerced).unwrap();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        leaves(&event, String::new(), &mut before);
        leaves(&coerced, String::new(), &mut after);
        for leaf in before {
            let computed = leaf.0.starts_with("/type_uid") && done.contains(Code::WeirTypeUidComputed);
            prop_assert!(computed || after.contains(&leaf), "{leaf:?} is lost");
        }
        let once = coerced.clone();
        let again = coerce(&mut coerced).unwrap();
        prop_assert_eq!(coerced, once);
        prop_assert!(!again.contains(Code::WeirScalarCoerced) && !again.contains(Code::WeirListCoerced));
    }

    #[test]
    fn coercion_makes_no_event_worse(event in event()) {
        let before = validate(&event).unwrap();
        let mut coerced = event;
        coerce(&mut coerced).unwrap();
        let after = validate(&coerced).unwrap();
        // A class or a profile that can be read at last lets more be found.
        let read_at_last = before.codes.contains(Code::AttributeWrongType);
        prop_assert!(read_at_last || after.errors <= before.errors, "{before:?} {after:?}");
    }
}

#[test]
fn what_nests_without_end_is_not_followed_without_end() {
    let mut process = json!({"name": "p"});
    for _ in 0..100 {
        process = json!({"name": "p", "parent_process": process});
    }
    let event = json!({"class_uid": 1007, "metadata": {"version": "1.8.0"}, "process": process});
    let report = validate(&event).unwrap();
    assert!(report.codes.contains(Code::WeirTooDeep));
}

#[test]
fn a_thousand_faults_are_counted_and_the_first_are_kept() {
    let mut event = document()["bases"]["api"].clone();
    for index in 0..1000 {
        event[format!("x{index}")] = 1.into();
    }
    let report = validate(&event).unwrap();
    assert_eq!((report.errors, report.findings.len()), (1000, FINDINGS_MAX));
}
