//! The API's own routes: query, health, account, keys, limits.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::app::account;
use crate::app::rig::Rig;

const JSON: &str = "application/json";

/// A flat trace request with one span of that number.
fn span(number: u32) -> String {
    json!({"spans": [{
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": format!("{number:016x}"),
        "name": format!("chat {number}"),
        "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": "1760000001000000000",
    }]})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_can_be_asked_for_at_once_in_every_format() {
    let rig = Rig::start().await;
    let reply = rig.post("/v1/traces", JSON, span(1)).await;
    assert_eq!(reply.status.as_u16(), 200, "{:?}", reply.body);
    assert_eq!(rig.sql("SELECT name FROM spans").await[0][0], "chat 1");
    let ask = |accept: &'static str| {
        let request = Request::post("/v1/query").header("content-type", "application/sql");
        let request = request.header("accept", accept);
        rig.send(request.body(Body::from("SELECT name FROM spans")).unwrap())
    };
    assert_eq!(ask("text/csv").await.body, "name\nchat 1\n");
    let arrow = ask("application/vnd.apache.arrow.stream").await;
    let reader = arrow_ipc::reader::StreamReader::try_new(arrow.body.as_ref(), None).unwrap();
    assert_eq!(
        reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(),
        1
    );
    let parquet = ask("application/vnd.apache.parquet").await;
    assert!(parquet.body.starts_with(b"PAR1"));
    assert_eq!(parquet.header("x-weir-rows"), "1");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_query_is_a_problem_with_code_detail_and_request_id() {
    let rig = Rig::start().await;
    let request = Request::post("/v1/query")
        .header("content-type", JSON)
        .header("x-request-id", "mine-1");
    let body = Body::from(r#"{"sql":"DROP TABLE spans"}"#);
    let reply = rig.send(request.body(body).unwrap()).await;
    assert!(reply.status.is_client_error(), "{:?}", reply.status);
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.header("x-request-id"), "mine-1");
    let problem = reply.json();
    assert!(
        problem["detail"].is_string() && problem["code"].is_string(),
        "{problem}"
    );
    assert_eq!(problem["request_id"], "mine-1");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_identical_resend_is_folded_also_after_a_restart() {
    let rig = Rig::start().await;
    let first = rig.post("/v1/traces", JSON, span(7)).await;
    let again = rig.post("/v1/traces", JSON, span(7)).await;
    assert_eq!(first.body, again.body);
    let Rig { app, dir } = rig;
    app.stop().await.unwrap();
    let config = crate::app::rig::config_in(dir.path());
    let app = Box::pin(crate::app::App::start(&config)).await.unwrap();
    let rig = Rig { app, dir };
    let replay = rig.post("/v1/traces", JSON, span(7)).await;
    assert_eq!(first.body, replay.body);
    assert_eq!(rig.sql("SELECT count(*) FROM spans").await[0][0], 1);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn resends_in_flight_wait_for_the_first_and_store_one_row() {
    let rig = Rig::start().await;
    let all = futures::future::join_all((0..16).map(|_| rig.post("/v1/traces", JSON, span(3))));
    for reply in all.await {
        assert_eq!(reply.status.as_u16(), 200);
    }
    assert_eq!(rig.sql("SELECT count(*) FROM spans").await[0][0], 1);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_closes_while_rows_arrive_and_after() {
    let rig = Rig::start().await;
    for number in 1..=30 {
        rig.post("/v1/traces", JSON, span(number)).await;
        if number % 10 == 0 {
            let report = Box::pin(account::recount(rig.app.node())).await.unwrap();
            assert!(report.closes(), "{report:?}");
        }
    }
    let reply = rig.get("/v1/admin/verify").await;
    let report = reply.json();
    assert_eq!(report["ok"], true, "{report}");
    let spans = &report["lines"][0];
    assert_eq!(
        (&spans["dataset"], &spans["accepted"]),
        (&json!("spans"), &json!(30))
    );
    let metrics = rig.get("/metrics").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(
        text.contains("weir_accepted_rows_total{dataset=\"spans\"} 30\n"),
        "{text}"
    );
    assert!(
        text.contains("weir_requests_total{route=\"traces\"} 30\n"),
        "{text}"
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_hints_until_something_arrives_and_is_red_while_stopping() {
    let rig = Rig::start().await;
    let before = rig.get("/readyz").await;
    assert_eq!(before.status.as_u16(), 200);
    let hint = before.json()["hint"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(hint.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{hint}");
    rig.post("/v1/traces", JSON, span(1)).await;
    assert!(rig.get("/readyz").await.json().get("hint").is_none());
    assert_eq!(rig.get("/livez").await.status.as_u16(), 200);
    rig.app.node().stop.send_replace(true);
    assert_eq!(rig.get("/readyz").await.status.as_u16(), 503);
    let refused = rig.post("/v1/traces", JSON, span(2)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (503, "1")
    );
    assert_eq!(refused.json()["code"], 14);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_each_tenant_sees_its_own_and_nobody_else_sees_anything() {
    let rig = Rig::start().await;
    let keys = weir_store::Keys::open(rig.dir.path(), std::sync::Arc::new(weir_model::SystemClock));
    let keys = keys.unwrap();
    let acme = weir_model::TenantId::new("acme").unwrap();
    let other = weir_model::TenantId::new("other").unwrap();
    let acme = keys
        .create(&acme, weir_store::Scopes::all(), "")
        .unwrap()
        .text;
    let other = keys
        .create(&other, weir_store::Scope::Query.into(), "")
        .unwrap()
        .text;
    let Rig { app, dir } = rig;
    app.stop().await.unwrap();
    let config = crate::app::rig::config_in(dir.path());
    let app = Box::pin(crate::app::App::start(&config)).await.unwrap();
    let rig = Rig { app, dir };
    let send = |path: &'static str, key: String, body: String| {
        let request = Request::post(path).header("content-type", JSON);
        let request = request.header("authorization", format!("Bearer {key}"));
        rig.send(request.body(Body::from(body)).unwrap())
    };
    let nobody = rig.post("/v1/traces", JSON, span(1)).await;
    assert_eq!(
        (nobody.status.as_u16(), nobody.json()["code"].as_i64()),
        (401, Some(16))
    );
    assert_eq!(
        send("/v1/traces", acme.clone(), span(1))
            .await
            .status
            .as_u16(),
        200
    );
    assert_eq!(
        send("/v1/traces", other.clone(), span(1))
            .await
            .status
            .as_u16(),
        403
    );
    let count = r#"{"sql":"SELECT count(*) FROM spans"}"#.to_owned();
    let own = send("/v1/query", acme, count.clone()).await.json();
    assert_eq!(own["rows"][0][0], 1, "{own}");
    let theirs = send("/v1/query", other, count).await.json();
    assert_eq!(theirs["rows"][0][0], 0, "{theirs}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_methods_and_types_are_told_what_is_right() {
    let rig = Rig::start().await;
    let get = rig.get("/v1/traces").await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST"));
    assert_eq!(get.json()["code"], 12);
    let image = rig.post("/v1/traces", "image/png", "x").await;
    assert_eq!(image.status.as_u16(), 415);
    let root = rig.post("/", JSON, "{}").await;
    assert_eq!(root.status.as_u16(), 404);
    assert!(
        root.json()["message"]
            .as_str()
            .unwrap()
            .contains("/v1/traces")
    );
    assert_eq!(rig.get("/nowhere").await.status.as_u16(), 404);
    assert_eq!(rig.get("/v1/query").await.status.as_u16(), 405);
    let brotli = Request::post("/v1/traces")
        .header("content-type", JSON)
        .header("content-encoding", "br");
    let brotli = rig.send(brotli.body(Body::from("{}")).unwrap()).await;
    assert_eq!(brotli.status.as_u16(), 415);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_metrics_are_answered_and_not_stored() {
    let rig = Rig::start().await;
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#;
    let reply = rig.post("/v1/logs", JSON, body).await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.json()["partialSuccess"]["rejectedLogRecords"], "1");
    let empty = rig.post("/v1/metrics", "application/x-protobuf", "").await;
    assert_eq!((empty.status.as_u16(), empty.body.len()), (200, 0));
    rig.app.stop().await.unwrap();
}

/// A retry that packs spans anew is no resend of a body; its spans are stored, and counted.
#[tokio::test(flavor = "multi_thread")]
async fn spans_that_come_again_in_another_body_are_stored_and_counted() {
    let rig = Rig::start().await;
    let body = |ids: &[u32]| {
        let spans: Vec<serde_json::Value> = ids
            .iter()
            .map(|id| {
                serde_json::json!({
                    "trace_id": "0af7651916cd43dd8448eb211c80319c",
                    "span_id": format!("{id:016x}"),
                    "name": "a",
                    "start_time": 1_760_000_000_000_000_000_i64,
                })
            })
            .collect();
        serde_json::json!({ "spans": spans }).to_string()
    };
    for ids in [&[1, 2][..], &[2, 3], &[2, 3], &[4]] {
        let taken = rig.post("/v1/traces", "application/json", body(ids)).await;
        assert_eq!(taken.status, 200, "{:?}", taken.body);
    }
    let metrics = rig.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    // The third body was folded: it is no suspicion, but known.
    assert!(
        metrics.contains("weir_suspected_duplicate_rows_total 1\n"),
        "{metrics}"
    );
    let counts = rig.sql(
        "SELECT (SELECT count(*) FROM spans) AS a, (SELECT count(*) FROM spans_distinct) AS b",
    );
    assert_eq!(counts.await[0], serde_json::json!([5, 4]));
    rig.app.stop().await.unwrap();
}
