//! One case a check: a valid event, one change, and what is found then.

use serde_json::Value;
use weir_ocsf::{Checks, Code, Codes, Status, coerce, validate, validate_with};

use crate::events::{document, event_of, set};

#[test]
fn every_case_is_found_with_its_code_and_its_path() {
    let document = document();
    let mut seen = Codes::default();
    let mut wrong = Vec::new();
    for case in document["cases"].as_array().unwrap() {
        let report = validate(&event_of(&document["bases"], case)).unwrap();
        let also: Vec<&str> = case["also"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|c| c.as_str().unwrap())
            .collect();
        let mut found: Vec<(&str, &str)> = report
            .findings
            .iter()
            .map(|finding| (finding.code.as_str(), finding.path.as_str()))
            .collect();
        let mut wanted: Vec<(&str, &str)> = case["finds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        found.retain(|pair| wanted.contains(pair) || !also.contains(&pair.0));
        found.sort_unstable();
        wanted.sort_unstable();
        if found != wanted {
            wrong.push(format!("{}: {found:?}, not {wanted:?}", case["name"]));
        }
        seen = seen.union(report.codes);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let unseen: Vec<Code> = Code::ALL
        .iter()
        .copied()
        .filter(|code| !code.is_ours() && *code != Code::AttributeRecommendedMissing)
        .filter(|code| !seen.contains(*code))
        .collect();
    assert_eq!(unseen, [], "no case finds these");
}

#[test]
fn what_is_recommended_is_looked_for_where_asked_for() {
    let event = document()["bases"]["finding"].clone();
    let report = validate_with(&event, Checks { recommended: true }).unwrap();
    let wanted = |path: &str| report.findings.iter().any(|found| found.path == path);
    assert!(
        wanted("message") && wanted("metadata.product.name"),
        "{report:?}"
    );
    // Those of a profile only under it.
    assert!(!wanted("action_id"), "{report:?}");
    let only = [Code::AttributeRecommendedMissing].into_iter().collect();
    assert_eq!((report.codes, report.status()), (only, Status::Warn));
}

#[test]
fn the_verdict_is_the_worst_of_what_was_found() {
    let document = document();
    let status = |name: &str| {
        let cases = document["cases"].as_array().unwrap();
        let case = cases.iter().find(|case| case["name"] == name).unwrap();
        validate(&event_of(&document["bases"], case))
            .unwrap()
            .status()
    };
    assert_eq!(status("an API call holds"), Status::Ok);
    assert_eq!(status("a name beside another value"), Status::Warn);
    assert_eq!(status("an unknown severity"), Status::Invalid);
}

#[test]
fn what_is_sent_in_another_type_is_read_as_its_own() {
    let document = document();
    let mut event = document["bases"]["api"].clone();
    let changes = [
        ("/class_uid", Value::from("6003")),
        ("/type_uid", 7.into()),
        ("/message", 12.into()),
        ("/message_context/prompt_tokens", "12".into()),
        ("/resources", serde_json::json!({"name": "read_file"})),
        (
            "/metadata/profiles",
            serde_json::json!(["ai_operation", "trace"]),
        ),
        ("/skill_name", "pdf".into()),
    ];
    for (path, value) in changes {
        set(&mut event, path, value);
    }
    let done = coerce(&mut event).unwrap();
    let wanted = [
        Code::WeirScalarCoerced,
        Code::WeirListCoerced,
        Code::WeirTypeUidComputed,
        Code::WeirUnmapped,
    ];
    assert_eq!(done, wanted.into_iter().collect());
    assert_eq!(event["class_uid"], 6003);
    assert_eq!(event["type_uid"], 600_301);
    assert_eq!(event["message"], "12");
    assert_eq!(event["message_context"]["prompt_tokens"], 12);
    assert_eq!(event["resources"][0]["name"], "read_file");
    assert_eq!(event["unmapped"]["skill_name"], "pdf");
    assert_eq!(event["unmapped"]["skill"], "pdf");
    let left = validate(&event).unwrap();
    let left: Vec<_> = left.findings.iter().map(|found| found.code).collect();
    assert_eq!(left, [Code::AttributeUnknown]);
}

#[test]
fn what_would_lose_something_is_left_as_it_is() {
    let document = document();
    for (path, value) in [
        ("/message_context/prompt_tokens", Value::from("012")),
        ("/message_context/prompt_tokens", " 12".into()),
        ("/message_context/prompt_tokens", 1.5.into()),
        ("/message_context/prompt_tokens", "many".into()),
        ("/actor", "ann".into()),
        ("/time", "2025-11-21T10:00:00.123456Z".into()),
    ] {
        let mut event = document["bases"]["api"].clone();
        set(&mut event, path, value);
        let before = event.clone();
        assert!(coerce(&mut event).unwrap().is_empty(), "{path}");
        assert_eq!(event, before);
    }
}
