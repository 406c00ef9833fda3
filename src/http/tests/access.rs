//! Who may do what: every route, with every scope, by every way to send a key.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tower::ServiceExt as _;
use weir_model::TenantId;
use weir_store::{Ceiling, Keys, Quotas, Scope, Scopes};

use crate::app::access;
use crate::app::rig::{Reply, Rig};

const JSON: &str = "application/json";
const GRPC: &str = "/opentelemetry.proto.collector.";

/// Every route that wants a key, with its method, a type that it takes, and the scope it wants.
fn routes() -> Vec<(&'static str, String, &'static str, Scope)> {
    let post = |path: &str| ("POST", path.to_owned(), JSON, Scope::Ingest);
    let grpc = |call: &str| {
        let path = format!("{GRPC}{call}/Export");
        ("POST", path, "application/grpc", Scope::Ingest)
    };
    let query = |path: &str| ("GET", path.to_owned(), JSON, Scope::Query);
    let admin = |method, path: &str| (method, path.to_owned(), JSON, Scope::Admin);
    vec![
        post("/v1/traces"),
        post("/api/public/otel/v1/traces"),
        post("/v1/logs"),
        post("/v1/metrics"),
        post("/v1/proxy/audit"),
        post("/v1/ocsf/ingest"),
        post("/api/v1/telemetry/events"),
        post("/api/v1/telemetry/events:batch"),
        grpc("trace.v1.TraceService"),
        grpc("logs.v1.LogsService"),
        grpc("metrics.v1.MetricsService"),
        ("POST", "/v1/query".to_owned(), JSON, Scope::Query),
        ("GET", "/v1/tail".to_owned(), JSON, Scope::Query),
        query("/v1/observability/costs/budget"),
        query("/v1/reconciliations"),
        query("/v1/prices/tariffs/current"),
        query("/v1/prices/tariffs/current/list"),
        admin("PUT", "/v1/observability/costs/budget"),
        admin("DELETE", "/v1/observability/costs/budget"),
        admin("PUT", "/v1/reconciliations"),
        admin("DELETE", "/v1/reconciliations"),
        ("GET", "/v1/status".to_owned(), JSON, Scope::Admin),
        ("GET", "/v1/admin/verify".to_owned(), JSON, Scope::Admin),
    ]
}

/// Every way to send a key.
fn forms(key: &str) -> Vec<(&'static str, String)> {
    let basic = |text: String| format!("Basic {}", STANDARD.encode(text));
    vec![
        ("authorization", format!("Bearer {key}")),
        ("authorization", format!("bearer {key}")),
        ("authorization", format!("Bearer%20{key}")),
        ("authorization", basic(format!("pk-lf-any:{key}"))),
        ("authorization", basic(format!("{key}:"))),
        ("x-api-key", key.to_owned()),
    ]
}

/// The status as both protocols tell it, and the headers; the body may have no end.
async fn ask(
    rig: &Rig,
    (method, path, kind): (&str, &str, &str),
    credential: Option<&(&'static str, String)>,
) -> (u16, HeaderMap) {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("content-type", kind);
    if let Some((name, value)) = credential {
        request = request.header(*name, value);
    }
    let request = request.body(Body::from("{}")).unwrap();
    let response = rig.api().oneshot(request).await.unwrap();
    let headers = response.headers().clone();
    let status = match headers.get("grpc-status").map(|code| code.as_bytes()) {
        Some(b"16") => 401,
        Some(b"7") => 403,
        _ => response.status().as_u16(),
    };
    (status, headers)
}

fn keys(rig: &Rig) -> &Keys {
    rig.app.node().access.keys()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_wants_its_scope_in_whatever_form_the_key_comes() {
    let rig = Rig::start().await;
    let acme = TenantId::new("acme").unwrap();
    let scopes = [Scope::Ingest, Scope::Query, Scope::Admin];
    let single = scopes.map(|scope| (scope, keys(&rig).create(&acme, scope.into(), "").unwrap()));
    for (method, path, kind, wanted) in routes() {
        for (has, key) in &single {
            for form in forms(&key.text) {
                let (status, headers) = ask(&rig, (method, &path, kind), Some(&form)).await;
                let what = format!("{method} {path} with {has:?} as {form:?}");
                if *has == wanted {
                    assert!(status != 401 && status != 403, "{what}: {status}");
                } else {
                    assert_eq!(status, 403, "{what}");
                    if kind == JSON {
                        let challenge = headers["www-authenticate"].to_str().unwrap();
                        let scope = format!("scope=\"{}\"", Scopes::from(wanted));
                        assert!(challenge.contains("insufficient_scope"), "{what}");
                        assert!(challenge.contains(&scope), "{what}: {challenge}");
                    }
                }
            }
        }
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_that_holds_is_401_everywhere_and_says_what_to_send() {
    let rig = Rig::start().await;
    let acme = TenantId::new("acme").unwrap();
    let revoked = keys(&rig).create(&acme, Scopes::all(), "").unwrap();
    keys(&rig).revoke(&revoked.id).unwrap();
    let good = keys(&rig).create(&acme, Scopes::all(), "").unwrap();
    let mut unknown = good.text.clone();
    unknown.replace_range(unknown.len() - 4.., "zzzz");
    let mut wrong: Vec<Option<(&'static str, String)>> = vec![None];
    wrong.extend(forms(&revoked.text).into_iter().map(Some));
    wrong.extend(forms(&unknown).into_iter().map(Some));
    for text in ["", "Bearer", "Digest x", "Basic ???", &good.text] {
        wrong.push(Some(("authorization", text.to_owned())));
    }
    for (method, path, kind, _) in routes() {
        for credential in &wrong {
            let (status, headers) = ask(&rig, (method, &path, kind), credential.as_ref()).await;
            assert_eq!(status, 401, "{method} {path} with {credential:?}");
            if kind == JSON {
                let challenge = headers["www-authenticate"].to_str().unwrap();
                assert!(
                    challenge.starts_with("Bearer realm="),
                    "{path}: {challenge}"
                );
            }
        }
    }
    for open in ["/livez", "/readyz", "/metrics", "/"] {
        assert_eq!(ask(&rig, ("GET", open, JSON), None).await.0, 200, "{open}");
    }
    rig.app.stop().await.unwrap();
}

async fn send(rig: &Rig, path: &str, key: &str, body: impl Into<Body>) -> Reply {
    let request = Request::post(path).header("content-type", JSON);
    let request = request.header("x-api-key", key);
    rig.send(request.body(body.into()).unwrap()).await
}

fn spans(first: usize, count: usize) -> String {
    let span = |n: usize| {
        serde_json::json!({
            "traceId": format!("{n:032x}"), "spanId": format!("{n:016x}"), "name": "chat",
        })
    };
    let all: Vec<_> = (first + 1..=first + count).map(span).collect();
    serde_json::json!({ "spans": all }).to_string()
}

fn code(reply: &Reply) -> (u16, String) {
    let body = reply.json();
    let code = body["code"].as_str().map(str::to_owned);
    (
        reply.status.as_u16(),
        code.unwrap_or_else(|| body["code"].to_string()),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_rows_gets_429_and_the_others_do_not() {
    let rig =
        Rig::start_with(|config| config.quota.burst = std::time::Duration::from_secs(100)).await;
    let (acme, other) = (
        TenantId::new("acme").unwrap(),
        TenantId::new("other").unwrap(),
    );
    let quotas = Quotas {
        rows_per_second: Ceiling::At(1),
        ..Quotas::default()
    };
    keys(&rig).set_tenant_quotas(&acme, &quotas).unwrap();
    let own = keys(&rig).create(&acme, Scopes::all(), "").unwrap().text;
    let theirs = keys(&rig).create(&other, Scopes::all(), "").unwrap().text;
    let first = send(&rig, "/v1/traces", &own, spans(0, 50)).await;
    assert_eq!(first.status, StatusCode::OK, "{:?}", first.body);
    let refused = send(&rig, "/v1/traces", &own, spans(200, 60)).await;
    assert_eq!(code(&refused), (429, "8".to_owned()));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    assert_eq!(refused.header("x-ratelimit-limit"), "100");
    let remaining: u64 = refused.header("x-ratelimit-remaining").parse().unwrap();
    assert!((50..60).contains(&remaining), "{remaining}");
    let reset: u64 = refused.header("x-ratelimit-reset").parse().unwrap();
    assert!((41..=50).contains(&reset), "{reset}");
    let info = &refused.json()["details"][0];
    assert_eq!(info["retryDelay"], format!("{wait}s"), "{info}");
    // While the door is shut nothing is decoded: not even damage is seen.
    assert_eq!(
        send(&rig, "/v1/traces", &own, "{").await.status.as_u16(),
        429
    );
    let audit = send(&rig, "/v1/proxy/audit", &own, r#"{"alerts":[]}"#).await;
    assert_eq!(code(&audit), (429, "quota_rows".to_owned()));
    assert_eq!(
        send(&rig, "/v1/traces", &theirs, spans(0, 500))
            .await
            .status,
        StatusCode::OK
    );
    let count = r#"{"sql":"SELECT count(*) FROM spans"}"#;
    let stored = send(&rig, "/v1/query", &own, count).await;
    assert_eq!(
        stored.json()["rows"][0][0],
        50,
        "what was refused was not kept"
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_charged_before_they_are_read_and_a_large_body_is_not_impossible() {
    let rig = Rig::start_with(|config| {
        config.quota.bytes_per_second = Some(10);
        config.quota.burst = std::time::Duration::from_secs(10);
    })
    .await;
    let acme = TenantId::new("acme").unwrap();
    let key = keys(&rig).create(&acme, Scopes::all(), "").unwrap().text;
    let large = spans(0, 5);
    assert!(large.len() > 100, "beyond the burst");
    assert_eq!(
        send(&rig, "/v1/traces", &key, large).await.status,
        StatusCode::OK
    );
    // A body that never comes: its announced length is enough to refuse it.
    let never = futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let request = Request::post("/v1/traces").header("content-type", JSON);
    let request = request
        .header("x-api-key", &key)
        .header("content-length", "50");
    let refused = rig
        .send(request.body(Body::from_stream(never)).unwrap())
        .await;
    assert_eq!(refused.status.as_u16(), 429, "{:?}", refused.body);
    // Whatever the quota says, a body beyond the limit will never be taken.
    let request = Request::post("/v1/traces").header("content-type", JSON);
    let request = request
        .header("x-api-key", &key)
        .header("content-length", "99999999");
    let refused = rig.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(refused.status.as_u16(), 413, "{:?}", refused.body);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_have_their_quota_and_receivers_are_not_concerned() {
    let rig = Rig::start_with(|config| config.quota.queries_per_minute = Some(2)).await;
    let ask = r#"{"sql":"SELECT 1"}"#;
    for _ in 0..2 {
        assert_eq!(
            rig.post("/v1/query", JSON, ask).await.status,
            StatusCode::OK
        );
    }
    let refused = rig.post("/v1/query", JSON, ask).await;
    assert_eq!(code(&refused), (429, "quota_queries".to_owned()));
    assert_eq!(refused.header("x-ratelimit-limit"), "2");
    assert_eq!(
        rig.post("/v1/traces", JSON, spans(0, 1)).await.status,
        StatusCode::OK
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_whose_lake_is_full_may_ask_and_not_send() {
    let rig = Rig::start().await;
    let acme = TenantId::new("acme").unwrap();
    let key = keys(&rig).create(&acme, Scopes::all(), "").unwrap().text;
    assert_eq!(
        send(&rig, "/v1/traces", &key, spans(0, 3)).await.status,
        StatusCode::OK
    );
    let quotas = Quotas {
        storage_bytes: Ceiling::At(100),
        ..Quotas::default()
    };
    keys(&rig).set_tenant_quotas(&acme, &quotas).unwrap();
    let began = std::time::Instant::now();
    let refused = loop {
        access::measure(rig.app.node()).await.unwrap();
        let first = 100 + usize::try_from(began.elapsed().as_millis()).unwrap();
        let reply = send(&rig, "/v1/traces", &key, spans(first, 1)).await;
        if reply.status != StatusCode::OK {
            break reply;
        }
        assert!(began.elapsed().as_secs() < 20, "never full");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(refused.status.as_u16(), 429, "{:?}", refused.body);
    assert_eq!(refused.header("retry-after"), "300");
    let count = r#"{"sql":"SELECT count(*) FROM spans"}"#;
    assert_eq!(
        send(&rig, "/v1/query", &key, count).await.status,
        StatusCode::OK
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_cannot_take_the_whole_budget_of_the_door() {
    let rig = Rig::start().await;
    let node = rig.app.node();
    let (acme, other) = (
        TenantId::new("acme").unwrap(),
        TenantId::new("other").unwrap(),
    );
    let own = keys(&rig).create(&acme, Scopes::all(), "").unwrap().text;
    let theirs = keys(&rig).create(&other, Scopes::all(), "").unwrap().text;
    let who = node.access.keys().check(&own).unwrap();
    let caller = node
        .access
        .meters()
        .caller(acme, &Quotas::default(), Some(&who));
    let budget = caller.budget(&node.intake.budget);
    let mut held = Vec::new();
    for size in [1 << 20, 1 << 10, 1] {
        held.extend(std::iter::from_fn(|| budget.reserve(size).ok()));
    }
    assert!(held.len() > 100, "{}", held.len());
    assert_eq!(
        send(&rig, "/v1/traces", &own, spans(0, 1))
            .await
            .status
            .as_u16(),
        503
    );
    assert_eq!(
        send(&rig, "/v1/traces", &theirs, spans(0, 1)).await.status,
        StatusCode::OK
    );
    drop(held);
    assert_eq!(
        send(&rig, "/v1/traces", &own, spans(0, 1)).await.status,
        StatusCode::OK
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_shown_out_when_the_key_is_revoked() {
    let rig = Rig::start().await;
    let acme = TenantId::new("acme").unwrap();
    let key = keys(&rig).create(&acme, Scope::Query.into(), "").unwrap();
    let request = Request::get("/v1/tail").header("x-api-key", &key.text);
    let response = rig
        .api()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    keys(&rig).revoke(&key.id).unwrap();
    let rest = http_body_util::BodyExt::collect(response.into_body());
    let ended = tokio::time::timeout(std::time::Duration::from_secs(5), rest).await;
    assert!(ended.is_ok(), "the stream goes on");
    rig.app.stop().await.unwrap();
}
