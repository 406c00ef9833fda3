//! Security events over HTTP: what is said of imperfect ones, and what is stored of them.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::app::rig::Rig;

const PATH: &str = "/v1/ocsf/ingest";
const NDJSON: &str = "application/x-ndjson";

/// Three events, a line each: one that holds, one with a warning, one with an error.
fn lines() -> String {
    let mut sound = json!({
        "class_uid": 0, "category_uid": 0, "activity_id": 0, "type_uid": 0, "severity_id": 6,
        "time": 1_795_200_000_000_i64,
        "metadata": {"uid": "sound", "version": "1.8.0", "product": {"name": "probe"}},
    });
    let first = sound.to_string();
    sound["metadata"]["uid"] = "odd".into();
    sound["severity"] = "High".into();
    let second = sound.to_string();
    sound["metadata"]["uid"] = "broken".into();
    sound["severity_id"] = "hidden".into();
    format!("{first}\n{second}\n{sound}\n")
}

const STORED: &str = "SELECT event_uid, validation_status, CASE validation_status \
                      WHEN 'ok' THEN 'nothing' ELSE array_to_string(validation_codes, ' ') END \
                      FROM ocsf_events ORDER BY event_uid";

#[tokio::test(flavor = "multi_thread")]
async fn imperfect_events_are_stored_with_their_verdict_and_told_by_index_and_code() {
    let rig = Rig::start().await;
    let reply = rig.post(PATH, NDJSON, lines()).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{:?}", reply.body);
    let answer = reply.json();
    assert_eq!(answer["ingested"], 3);
    let told: Vec<Value> = vec![
        json!({"index": 1, "status": "warn", "codes": ["attribute_enum_sibling_incorrect"]}),
        json!({"index": 2, "status": "invalid", "codes":
            ["attribute_wrong_type", "attribute_enum_value_unknown"]}),
    ];
    assert_eq!(answer["validation"]["events"], json!(told));
    assert!(!answer.to_string().contains("hidden"));
    let rows = rig.sql(STORED).await;
    let wanted = [
        json!([
            "broken",
            "invalid",
            "attribute_wrong_type attribute_enum_value_unknown"
        ]),
        json!(["odd", "warn", "attribute_enum_sibling_incorrect"]),
        json!(["sound", "ok", "nothing"]),
    ];
    assert_eq!(rows, wanted);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_node_refuses_them_one_by_one_and_keeps_what_it_refused() {
    let rig = Rig::start_with(|config| config.ocsf.validation = "strict".into()).await;
    let reply = rig.post(PATH, NDJSON, lines()).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{:?}", reply.body);
    let answer = reply.json();
    assert_eq!(
        (&answer["ingested"], &answer["rejected"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(answer["validation"]["events"][1]["status"], "refused");
    let rows = rig.sql(STORED).await;
    assert_eq!(rows.len(), 2);
    let refused = "SELECT reason_code, item_index, payload LIKE '%broken%' FROM rejected_events";
    assert_eq!(
        rig.sql(refused).await,
        [json!(["schema_violated", 2, true])]
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn how_many_events_a_request_may_hold_is_a_setting() {
    let rig = Rig::start_with(|config| config.ocsf.events = 2).await;
    let reply = rig.post(PATH, NDJSON, lines()).await;
    assert_eq!(
        reply.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{:?}",
        reply.body
    );
    let detail = "OCSF ingest accepts at most 2 events at once";
    assert_eq!(reply.json()["detail"], detail);
    rig.app.stop().await.unwrap();
}
