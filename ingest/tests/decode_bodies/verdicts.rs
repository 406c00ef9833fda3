//! What is said of security events that are imperfect, and what becomes of them.

use serde_json::{Value, json};
use weir_ingest::decode::ocsf::{OcsfDecoded, decode, inspect};
use weir_ingest::decode::{DecodeError, Limits};

use super::at;
use super::ocsf::ocsf;
use super::rows::{int, text, texts};

/// A valid event, and how to break it.
fn call(change: impl FnOnce(&mut Value)) -> String {
    let mut event = json!({
        "class_uid": 6003, "category_uid": 6, "activity_id": 2, "type_uid": 600_302,
        "severity_id": 6, "time": 1_795_200_000_000_i64,
        "metadata": {"version": "1.8.0", "uid": "u", "product": {"name": "gateway"}},
        "actor": {"app_name": "agent"}, "api": {"operation": "read"},
        "src_endpoint": {"ip": "192.0.2.1"},
    });
    change(&mut event);
    event.to_string()
}

fn strictly(body: &str) -> OcsfDecoded {
    let mut limits = Limits::default();
    limits.ocsf.strict = true;
    decode(body.as_bytes(), &at(), &limits).unwrap()
}

#[test]
fn what_breaks_its_schema_is_stored_and_told_or_refused_alone() {
    let sound = call(|_| {});
    let odd = call(|event| event["severity"] = "secret-severity".into());
    let broken = call(|event| event["actor"] = "secret-actor".into());
    let body = format!("[{sound},{odd},{broken}]");
    let lenient = ocsf(&body).unwrap();
    let status = |row| text(&lenient.rows, "validation_status", row);
    assert_eq!(
        [0, 1, 2].map(status),
        ["ok", "warn", "invalid"].map(|s| Some(s.to_owned()))
    );
    assert!(texts(&lenient.rows, "validation_codes", 0).is_empty());
    assert_eq!(text(&lenient.rows, "raw", 2).as_ref(), Some(&broken));
    assert_eq!(int(&lenient.rows, "severity_id", 0), Some(6));
    let answer = lenient.answer();
    let wanted = json!({"ok": 1, "warn": 1, "invalid": 1, "events": [
        {"index": 1, "status": "warn", "codes": ["attribute_enum_sibling_incorrect"]},
        {"index": 2, "status": "invalid", "codes": ["attribute_wrong_type"]},
    ]});
    assert_eq!(answer["validation"], wanted);
    assert_eq!(
        (&answer["ingested"], answer.get("rejected")),
        (&json!(3), None)
    );
    assert!(!answer.to_string().contains("secret"), "{answer}");

    let strict = strictly(&body);
    assert_eq!((strict.rows.num_rows(), strict.rejected_count), (2, 1));
    let rejected = strict.rejected.as_ref().unwrap();
    assert_eq!(
        text(rejected, "reason_code", 0).as_deref(),
        Some("schema_violated")
    );
    assert!(
        text(rejected, "reason", 0)
            .unwrap()
            .ends_with(": attribute_wrong_type")
    );
    assert_eq!(text(rejected, "payload", 0).as_ref(), Some(&broken));
    assert_eq!(int(rejected, "item_index", 0), Some(2));
    let told = &strict.answer()["validation"]["events"][1];
    let codes = json!(["schema_violated", "attribute_wrong_type"]);
    assert_eq!(
        (&told["status"], &told["codes"]),
        (&json!("refused"), &codes)
    );
    assert_eq!(strict.class_counts["6003"], 2);
}

#[test]
fn an_event_that_holds_is_answered_as_its_senders_know_it() {
    let answer = ocsf(&call(|_| {})).unwrap().answer();
    let names: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(names, ["ingested", "tenant_id", "class_counts", "sources"]);
}

#[test]
fn only_what_has_no_class_and_no_time_is_refused() {
    let cases = [
        (
            call(|event| event["class_uid"] = Value::Null),
            Some("no_class_uid"),
        ),
        (
            call(|event| event["class_uid"] = "none".into()),
            Some("no_class_uid"),
        ),
        (
            call(|event| event["class_uid"] = (-1).into()),
            Some("no_class_uid"),
        ),
        (call(|event| event["class_uid"] = "6003".into()), None),
        (call(|event| event["class_uid"] = 987_654.into()), None),
        (call(|event| event["time"] = Value::Null), Some("no_time")),
        (
            call(|event| event["time"] = "yesterday".into()),
            Some("no_time"),
        ),
        (call(|event| event["time"] = json!([1])), Some("no_time")),
        (call(|event| event["metadata"] = "none".into()), None),
    ];
    for (body, refused) in cases {
        let body = body.replace("\"class_uid\":null", "\"class_name\":\"API Activity\"");
        let decoded = ocsf(&body).unwrap();
        let code = decoded
            .rejected
            .as_ref()
            .and_then(|rows| text(rows, "reason_code", 0));
        assert_eq!(code.as_deref(), refused, "{body}");
        assert_eq!(decoded.rows.num_rows(), usize::from(refused.is_none()));
    }
}

#[test]
fn a_time_is_looked_for_where_events_have_one() {
    let nanos = 1_795_200_000_000_000_000;
    let cases: [(Value, &str, &[&str]); 5] = [
        (
            json!({"time": 1_795_200_000}),
            "weir_time_coerced",
            &["unit_s"],
        ),
        (
            json!({"time": 1_795_200_000_000_000_i64}),
            "weir_time_coerced",
            &["unit_us"],
        ),
        (json!({"time": nanos}), "weir_time_coerced", &["unit_ns"]),
        (
            json!({"time": "2026-11-20T18:40:00Z"}),
            "weir_time_coerced",
            &["text"],
        ),
        (
            json!({"time": "x", "start_time": 1_795_200_000_000_i64}),
            "weir_time_substituted",
            &[],
        ),
    ];
    for (members, code, flags) in cases {
        let body = call(|event| {
            for (name, value) in members.as_object().unwrap() {
                event[name] = value.clone();
            }
        });
        let rows = ocsf(&body).unwrap().rows;
        assert_eq!(int(&rows, "event_time_unix_nano", 0), Some(nanos), "{body}");
        assert_eq!(texts(&rows, "time_flags", 0), flags);
        let codes = texts(&rows, "validation_codes", 0);
        assert!(codes.iter().any(|found| found == code), "{codes:?}");
    }
    let body = call(|event| {
        event["metadata"]["logged_time"] = event["time"].take();
    });
    assert_eq!(
        int(&ocsf(&body).unwrap().rows, "event_time_unix_nano", 0),
        Some(nanos)
    );
    let mut limits = Limits::default();
    limits.ocsf.time_of_receipt = true;
    let body = call(|event| event["time"] = Value::Null);
    let rows = decode(body.as_bytes(), &at(), &limits).unwrap().rows;
    assert_eq!(
        texts(&rows, "time_flags", 0),
        ["missing", "part_date_received"]
    );
    let codes = texts(&rows, "validation_codes", 0);
    assert!(
        codes.iter().any(|code| code == "weir_time_received"),
        "{codes:?}"
    );
}

#[test]
fn columns_are_read_as_the_schema_wants_them_and_the_text_stays() {
    let body = call(|event| {
        event["class_uid"] = "6003".into();
        event["type_uid"] = 1.into();
        event["skill_name"] = "pdf".into();
        event["metadata"]["profiles"] = "trace".into();
        event["resources"] = json!({"name": "r1"});
        event["trace"] = json!({"uid": 77});
    });
    let rows = ocsf(&body).unwrap().rows;
    assert_eq!(int(&rows, "type_uid", 0), Some(600_302));
    assert_eq!(text(&rows, "skill_name", 0).as_deref(), Some("pdf"));
    assert_eq!(text(&rows, "trace_uid", 0).as_deref(), Some("77"));
    assert_eq!(texts(&rows, "profiles", 0), ["trace"]);
    assert_eq!(texts(&rows, "resource_names", 0), ["r1"]);
    assert_eq!(text(&rows, "raw", 0).as_ref(), Some(&body));
    let codes = texts(&rows, "validation_codes", 0);
    // Also what could be checked only once the class could be read.
    for code in [
        "attribute_unknown",
        "weir_list_coerced",
        "weir_type_uid_computed",
        "weir_unmapped",
    ] {
        assert!(codes.iter().any(|found| found == code), "{code}: {codes:?}");
    }
}

#[test]
fn a_bundle_that_counts_other_than_it_holds_is_flagged() {
    let body = |count: u32| format!(r#"{{"events":[{}],"count":{count}}}"#, call(|_| {}));
    assert_eq!(ocsf(&body(1)).unwrap().answer().get("flags"), None);
    let answer = ocsf(&body(7)).unwrap().answer();
    assert_eq!(answer["flags"], json!(["bundle_count_differs"]));
    assert_eq!(answer["ingested"], 1);
}

#[test]
fn refused_events_count_towards_the_limit() {
    let mut limits = Limits::default();
    limits.ocsf_events_max = 2;
    let of = |count: usize| vec!["{\"class_uid\":1}"; count].join("\n");
    let refused = |body: &str| decode(body.as_bytes(), &at(), &limits).map(|d| d.rejected_count);
    assert_eq!(refused(&of(2)), Ok(2));
    assert_eq!(
        refused(&of(3)),
        Err(DecodeError::TooManySecurityEvents { max: 2 })
    );
}

#[test]
fn looking_at_events_says_what_storing_them_would() {
    let body = format!(
        "{}\n{}\n{{\"foo\":1}}\n{}",
        call(|_| {}),
        call(|event| event["actor"] = 7.into()),
        call(|event| event["time"] = Value::Null)
    );
    let mut seen = Vec::new();
    inspect(body.as_bytes(), &Limits::default(), |event| {
        seen.push(event)
    })
    .unwrap();
    let decoded = ocsf(&body).unwrap();
    let noted: Vec<_> = seen
        .iter()
        .filter(|event| event.refused.is_some() || !event.report.codes.is_empty())
        .map(|event| (event.index, event.report.codes, event.refused))
        .collect();
    let wanted: Vec<_> = decoded
        .noted
        .iter()
        .map(|n| (n.index, n.codes, n.refused))
        .collect();
    assert_eq!(noted, wanted);
    assert_eq!(noted.len(), 3);
    assert_eq!(seen[0].schema, Some("1.8.0"));
}

#[test]
fn an_answer_names_a_thousand_events_and_refused_ones_before_others() {
    let mut limits = Limits::default();
    limits.ocsf_events_max = 5000;
    let odd = call(|event| event["severity"] = "High".into());
    let refused = call(|event| event["time"] = Value::Null);
    let body = format!("{}\n{refused}", vec![odd.as_str(); 1500].join("\n"));
    let answer = decode(body.as_bytes(), &at(), &limits).unwrap().answer();
    let told = &answer["validation"];
    let events = told["events"].as_array().unwrap();
    assert_eq!((events.len(), &told["warn"]), (1000, &json!(1500)));
    assert_eq!(told["unnamed"], 501);
    assert_eq!(
        (&events[0]["index"], &events[999]["index"]),
        (&json!(0), &json!(1500))
    );
}
