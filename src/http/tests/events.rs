//! Telemetry events and OTLP logs: what their senders post, and what becomes of it.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use weir_model::TenantId;
use weir_store::{Scope, Scopes};

use crate::app::rig::{Reply, Rig};

const JSON: &str = "application/json";
const ONE: &str = "/api/v1/telemetry/events";
const BATCH: &str = "/api/v1/telemetry/events:batch";

fn testdata(path: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    std::fs::read(root.join(path)).unwrap()
}

fn sample() -> Value {
    let text = testdata("claresia/01_telemetry_event_request.json");
    serde_json::from_slice(&text).unwrap()
}

async fn named(rig: &Rig, path: &str, tenant: &str, key: Option<&str>, body: &Value) -> Reply {
    let mut request = Request::post(path).header("content-type", JSON);
    request = request.header("X-Claresia-Tenant", tenant);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    rig.send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

/// The rows of a query once they are `wanted`.
async fn until(rig: &Rig, sql: &str, wanted: Value) {
    let mut rows = Vec::new();
    for _ in 0..600 {
        rows = rig.sql(sql).await;
        if Value::from(rows.clone()) == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{sql}: {rows:?}, and {wanted} was wanted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_the_seed_product_is_answered_stored_priced_and_booked() {
    let rig = Rig::start_with(|config| config.ledger.interval = Duration::from_millis(50)).await;
    let mut body = sample()["body"].clone();
    let reply = named(&rig, ONE, "default", None, &body).await;
    assert_eq!(reply.status.as_u16(), 201, "{:?}", reply.body);
    let told = reply.json();
    assert_eq!(told["provenance_cosign"], Value::Null, "nothing is signed");
    // The same bytes again are a resend; the same event in another batch is another one.
    let again = named(&rig, ONE, "default", None, &body).await;
    assert_eq!((again.status.as_u16(), again.body), (201, reply.body));
    let columns = "SELECT event_id, skill_name, model, cost_reported_usd, cost_usd, cost_status, \
                   usage_input_tokens FROM telemetry_events";
    let wanted = json!([[
        told["record_id"],
        "gatespic.incident-postmortem",
        "claude-sonnet-4.7",
        "0.041000000000",
        "0.041000000000",
        "reported",
        4823
    ]]);
    assert_eq!(Value::from(rig.sql(columns).await), wanted);
    // With a model of the list the price stands beside the estimate; without an estimate it counts.
    body["llm_model"] = "claude-sonnet-4-5".into();
    let priced = named(&rig, ONE, "default", None, &body).await;
    assert_eq!(priced.status.as_u16(), 201);
    body["cost_usd_estimate"] = Value::Null;
    body["success"] = false.into();
    assert_eq!(named(&rig, ONE, "", None, &body).await.status.as_u16(), 201);
    let costs = "SELECT cost_reported_usd, cost_computed_usd, cost_usd, cost_status, \
                 cost_disagrees FROM telemetry_events WHERE model = 'claude-sonnet-4-5' \
                 ORDER BY cost_status";
    let computed = "0.035784000000";
    let wanted = json!([
        [null, computed, computed, "computed", null],
        [
            "0.041000000000",
            computed,
            "0.041000000000",
            "reported",
            true
        ],
    ]);
    assert_eq!(Value::from(rig.sql(costs).await), wanted);
    // One event, one booking, under its own source, with the error that was not named.
    until(
        &rig,
        "SELECT source, skill_attribution, op_kind, sum(sign), sum(cost_usd), count(error_type), \
         count(DISTINCT event_id) FROM cost_ledger GROUP BY 1, 2, 3",
        json!([[
            "telemetry_event",
            "direct",
            "llm",
            3,
            "0.117784000000",
            1,
            3
        ]]),
    )
    .await;
    let rollup = "/v1/rollups/cost-per-skill?since=all&by=skill,source";
    let answer = rig.get(rollup).await.json();
    assert_eq!(answer["rows"][0]["source"], "telemetry_event", "{answer}");
    assert_eq!(answer["totals"]["cost_usd"], "0.117784000000");
    let costs = rig.get("/v1/observability/costs").await.json();
    assert_eq!(costs["total_calls"], 3, "{costs}");
    assert_eq!(costs["by_provider"][0]["key"], "anthropic", "{costs}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_taken_up_to_a_thousand() {
    let rig = Rig::start().await;
    for (count, status) in [(0, 201), (999, 201), (1_000, 201), (1_001, 400)] {
        let events: Vec<Value> = (0..count)
            .map(|n| json!({"skill_id": "a", "n": n}))
            .collect();
        let reply = rig
            .post(BATCH, JSON, json!({ "events": events }).to_string())
            .await;
        assert_eq!(reply.status.as_u16(), status, "{count}: {:?}", reply.body);
        if status == 400 {
            assert_eq!(reply.json()["code"], "too_many_events");
            continue;
        }
        let answer = reply.json();
        assert_eq!(
            (&answer["accepted"], &answer["failed"]),
            (&json!(count), &json!(0))
        );
        assert_eq!(answer["records"].as_array().unwrap().len(), count);
    }
    let stored = rig.sql("SELECT count(*) FROM telemetry_events").await;
    assert_eq!(stored[0][0], 1_999);
    let some = json!({"events": [{"skill_id": "a"}, "x"]}).to_string();
    let answer = rig.post(BATCH, JSON, some).await.json();
    assert_eq!(
        (&answer["accepted"], &answer["failed"]),
        (&json!(1), &json!(1))
    );
    let refused = "SELECT source, reason_code, item_index FROM rejected_events";
    let wanted = json!([["telemetry_events", "not_an_event", 1]]);
    assert_eq!(Value::from(rig.sql(refused).await), wanted);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_may_only_agree_with_the_key() {
    let rig = Rig::start_with(|config| config.auth.require_key = "always".into()).await;
    let keys = rig.app.node().access.keys();
    let dainese = TenantId::new("dainese").unwrap();
    let key = keys
        .create(&dainese, Scopes::from(Scope::Ingest), "")
        .unwrap()
        .text;
    let body = sample()["body"].clone();
    for (tenant, status) in [("dainese", 201), ("acme", 403), ("Dainese", 403), ("", 201)] {
        let reply = named(&rig, ONE, tenant, Some(&key), &body).await;
        assert_eq!(
            reply.status.as_u16(),
            status,
            "{tenant:?}: {:?}",
            reply.body
        );
        if status == 403 {
            assert_eq!(reply.json()["code"], "tenant_mismatch");
        }
    }
    let nobody = named(&rig, ONE, "dainese", None, &body).await;
    assert_eq!(nobody.status.as_u16(), 401);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_cannot_be_are_told_and_cost_nothing() {
    let rig = Rig::start().await;
    for (body, status) in [
        (r#"{"skill_id":"a","cost_usd_estimate":NaN}"#, 400),
        (r#"{"skill_id":"b","cost_usd_estimate":1e400}"#, 201),
        (
            r#"{"skill_id":"c","cost_usd_estimate":-3,"tokens_in":1}"#,
            201,
        ),
        (
            r#"{"skill_id":"d","cost_usd_estimate":0.1000000000000000055511151231257827021181}"#,
            201,
        ),
        (
            r#"{"skill_id":"e","cost_usd_estimate":1,"tokens_in":-1}"#,
            201,
        ),
    ] {
        let reply = rig.post(ONE, JSON, body).await;
        assert_eq!(reply.status.as_u16(), status, "{body}");
    }
    let sql = "SELECT skill_name, cost_usd, cost_status FROM telemetry_events ORDER BY 1";
    let wanted = json!([
        ["b", null, "no_usage"],
        ["c", null, "unpriced"],
        ["d", "0.100000000000", "reported"],
        ["e", null, "invalid_usage"],
    ]);
    assert_eq!(Value::from(rig.sql(sql).await), wanted);
    rig.app.stop().await.unwrap();
}

/// A field of a message: text, bytes or another message.
fn field(number: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = inner.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(inner);
    out
}

/// Claude Code's record of a call, and one of something else, as Protobuf.
pub(crate) fn claude_code_logs(session: &str) -> Vec<u8> {
    let attribute = |key: &str, value: &str| {
        let value = field(2, &field(1, value.as_bytes()));
        field(6, &[field(1, key.as_bytes()), value].concat())
    };
    let mut call = vec![0x09];
    call.extend_from_slice(&1_795_208_000_000_000_000_u64.to_le_bytes());
    call.extend(field(5, &field(1, b"claude_code.api_request")));
    for (key, value) in [
        ("event.name", "api_request"),
        ("session.id", session),
        ("model", "claude-sonnet-4-5-20250929"),
        ("input_tokens", "12"),
        ("output_tokens", "340"),
        ("cache_read_tokens", "18000"),
        ("cache_creation_tokens", "1500"),
        ("cost_usd", "0.016161"),
        ("duration_ms", "2317"),
    ] {
        call.extend(attribute(key, value));
    }
    let other = field(2, &field(5, &field(1, b"claude_code.tool_result")));
    let scope = field(1, &field(1, b"com.anthropic.claude_code.events"));
    field(1, &field(2, &[scope, field(2, &call), other].concat()))
}

/// The calls of Claude Code's records as they are stored, the dearest first.
fn claude_code_calls() -> Value {
    let sonnet = "claude-sonnet-4-5-20250929";
    json!([
        // Claude Code counts cached tokens beside the input; here the input includes them.
        [
            "5f1c",
            sonnet,
            "llm",
            19512,
            18000,
            "0.016161000000",
            "reported",
            "pdf"
        ],
        [
            "s2",
            sonnet,
            "llm",
            19512,
            18000,
            "0.016161000000",
            "reported",
            null
        ],
        [
            "5f1c",
            "claude-haiku-4-5-20251001",
            "llm",
            900,
            0,
            "0.000955000000",
            "reported",
            null
        ],
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_tell_of_calls_are_stored_and_booked_once_in_every_coding() {
    let rig = Rig::start_with(|config| config.ledger.interval = Duration::from_millis(50)).await;
    let body = testdata("otlp/captured/claude_code.logs.json");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let request = Request::post("/v1/logs")
        .header("content-type", JSON)
        .header("content-encoding", "gzip");
    let reply = rig
        .send(request.body(Body::from(gzip.finish().unwrap())).unwrap())
        .await;
    assert_eq!(reply.status.as_u16(), 200, "{:?}", reply.body);
    let told = reply.json();
    assert_eq!(told["partialSuccess"]["rejectedLogRecords"], "2", "{told}");
    // Plain, the same bytes are a resend.
    rig.post("/v1/logs", JSON, body).await;
    let zstd = zstd::encode_all(claude_code_logs("s2").as_slice(), 1).unwrap();
    let request = Request::post("/v1/logs")
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "zstd");
    let reply = rig.send(request.body(Body::from(zstd)).unwrap()).await;
    assert_eq!(reply.status.as_u16(), 200);
    assert_eq!(reply.body[..2], [0x0a, reply.body[1]], "a partial success");
    // GenAI events of a trace: one call that was answered, and one that failed.
    let events = testdata("otlp/captured/02_openai_v2_content_both.logs.json");
    let reply = rig.post("/v1/logs", JSON, events).await;
    assert_eq!(reply.json(), json!({}), "all of it is stored");
    let sql = "SELECT session_id, model, op_kind, usage_input_tokens, usage_cache_read_tokens, \
               cost_reported_usd, cost_status, skill_name FROM log_events \
               WHERE event_name = 'claude_code.api_request' ORDER BY cost_usd DESC, session_id";
    assert_eq!(Value::from(rig.sql(sql).await), claude_code_calls());
    until(
        &rig,
        "SELECT source, provider, sum(sign), count(cost_usd), min(trace_id) FROM cost_ledger \
         GROUP BY 1, 2 ORDER BY 2 NULLS LAST",
        json!([
            [
                "log_event",
                "openai",
                2,
                1,
                "58a226d31d6856f8bb1818a9d6192dc8"
            ],
            ["log_event", null, 3, 3, null],
        ]),
    )
    .await;
    let computed = "SELECT count(cost_computed_usd) FROM log_events WHERE is_call";
    assert_eq!(
        rig.sql(computed).await[0][0],
        4,
        "the list knows these models"
    );
    rig.app.stop().await.unwrap();
}
