//! The edge cases of OTLP, each with the answer that is the norm.

use std::path::PathBuf;

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::app::rig::Rig;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/otlp/edge"))
}

fn rejected(answer: &Value) -> i64 {
    let count = answer.pointer("/partialSuccess/rejectedSpans");
    count
        .and_then(Value::as_str)
        .map_or(0, |n| n.parse().unwrap())
}

/// Every case of `cases.json`: status, and for JSON the spans accepted and refused.
#[tokio::test(flavor = "multi_thread")]
async fn every_edge_case_is_answered_as_the_norm_says() {
    let cases = std::fs::read_to_string(folder().join("cases.json")).unwrap();
    let cases: Value = serde_json::from_str(&cases).unwrap();
    let rig = Rig::start().await;
    let mut accepted = 0;
    for case in cases["cases"].as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        let body = std::fs::read(folder().join(file)).unwrap();
        let kind = case["content_type"].as_str().unwrap();
        let mut request = Request::post("/v1/traces").header("content-type", kind);
        if let Some(coding) = case["content_encoding"].as_str() {
            request = request.header("content-encoding", coding);
        }
        let reply = rig.send(request.body(Body::from(body)).unwrap()).await;
        let status = u64::from(reply.status.as_u16());
        let wanted = &case["expect_status"];
        let fits = match wanted.as_array() {
            Some(any) => any.iter().any(|w| w.as_u64() == Some(status)),
            None => wanted.as_u64() == Some(status),
        };
        assert!(fits, "{file}: {status} {:?}", reply.body);
        assert_eq!(reply.header("content-type"), kind, "{file}");
        if status == 200 && kind == "application/json" {
            let refused = rejected(&reply.json());
            if let Some(count) = case["expect_rejected_spans"].as_i64() {
                assert_eq!(refused, count, "{file}");
            }
        }
        // The same bytes as `p02_good.pb` once decompressed: a resend, which is folded.
        if status == 200 && file != "p06_gzip.pb.gz" {
            accepted += case["expect_accepted_spans"].as_i64().unwrap_or(0);
        }
    }
    let found = rig.sql("SELECT count(*) FROM spans").await;
    assert_eq!(
        found[0][0], accepted,
        "what was accepted is what can be asked for"
    );
    rig.app.stop().await.unwrap();
}
