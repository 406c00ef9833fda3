//! Every row of the error contract, provoked through every door that it names, over real sockets.
//!
//! What cannot be provoked from outside stands in [`ELSEWHERE`] with the reason; all other rows must
//! be met, and nothing else may be.

mod doors;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use weir_model::TenantId;
use weir_store::{Keys, Scope, Scopes};

use crate::app::rig::Rig;
use crate::http::contract::{Door, ROWS};
use doors::{Ask, MARK, Over, SENDING, STORING, Seen};

/// Rows, or single doors of them, that no request can provoke, and where they are tested.
const ELSEWHERE: &[(&str, Option<Door>, &str)] = &[
    (
        "internal",
        None,
        "a defect; the rendering is that of every other row",
    ),
    (
        "log_broken",
        None,
        "ends the process: tests/heavy_fsync_eio.rs",
    ),
    (
        "disk_refused",
        None,
        "needs a failing disk: ingest's simulation",
    ),
    ("too_many_values", None, "ingest/tests/decode_bodies"),
    ("log_failed", None, "no such failure is known"),
    (
        "rows_too_large",
        None,
        "limits.rows stops it first; ingest/src/log",
    ),
    (
        "too_many_bytes",
        None,
        "takes gigabytes: ingest/tests/decode_bodies/limits.rs",
    ),
    ("query_stopped", None, "nobody waits for the answer"),
    (
        "request_timeout",
        Some(Door::Other),
        "no such route waits for its client",
    ),
    ("sql_recursive", None, "queries/testdata/hostile.sql"),
    ("sql_explain_analyze", None, "queries/testdata/hostile.sql"),
    ("sql_table_function", None, "queries/testdata/hostile.sql"),
    ("sql_too_complex", None, "queries/testdata/hostile.sql"),
    ("sql_unsupported", None, "queries/testdata/hostile.sql"),
    ("query_failed", None, "queries/tests/sql"),
    ("query_memory", None, "queries/tests/sql"),
    ("query_rows", None, "src/http/tests/rollups.rs"),
    ("bad_setting", None, "src/http/tests/settings.rs"),
    ("set_in_file", None, "src/http/tests/settings.rs"),
    ("too_many_set", None, "store/tests/contract.rs"),
    ("not_set", None, "src/http/tests/settings.rs"),
    (
        "state_unavailable",
        None,
        "store/tests: the state must be out of reach",
    ),
    ("expired_key", None, "store/tests: the clock must move"),
    (
        "keys_unconfirmed",
        None,
        "store/tests: the state must be out of reach",
    ),
    ("bad_action", None, "src/http/tests/sinks.rs"),
    ("sink_unknown", None, "src/http/tests/sinks.rs"),
    ("letter_unknown", None, "src/http/tests/sinks.rs"),
    ("replay_refused", None, "src/http/tests/sinks.rs"),
    ("replay_failed", None, "src/http/tests/sinks.rs"),
    ("quota_bytes", None, "src/http/tests/access.rs"),
    ("quota_rows", None, "src/http/tests/access.rs"),
    ("quota_storage", None, "src/http/tests/access.rs"),
    ("quota_queries", None, "src/http/tests/access.rs"),
    ("quota_queries_at_once", None, "src/http/tests/access.rs"),
];

#[derive(Default)]
struct Met {
    rows: BTreeSet<(&'static str, u16, Door)>,
    faults: Vec<String>,
}

impl Met {
    /// Notes what was answered, after holding it to the contract.
    fn note(&mut self, wanted: &str, seen: &Seen) {
        // One fault must not hide the next.
        let held = std::panic::catch_unwind(|| seen.hold_to_the_contract());
        let Ok(row) = held else {
            self.faults
                .push(format!("{wanted} was wanted, see above: {seen:?}"));
            return;
        };
        if row.code != wanted {
            self.faults.push(format!("{wanted} was wanted: {seen:?}"));
        }
        self.rows.insert((row.code, row.status, seen.door));
    }
}

fn stalled() -> Body {
    let never = stream::pending::<Result<Bytes, std::io::Error>>();
    Body::from_stream(never)
}

fn broken_off() -> Body {
    let pieces = [
        Ok(Bytes::from_static(b"{")),
        Err(std::io::Error::other("gone")),
    ];
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_contract_is_met_through_every_door_that_it_names() {
    let mut met = Met::default();
    addresses_and_bodies(&mut met).await;
    meanings(&mut met).await;
    questions(&mut met).await;
    credentials(&mut met).await;
    Box::pin(of_the_server(&mut met)).await;
    Box::pin(broken_storage(&mut met)).await;
    let elsewhere = |code: &str, door: Door| {
        ELSEWHERE
            .iter()
            .any(|(known, only, _)| *known == code && only.is_none_or(|only| only == door))
    };
    for row in ROWS {
        for door in row.doors {
            let key = (row.code, row.status, *door);
            let known = elsewhere(row.code, *door);
            if met.rows.contains(&key) == known {
                let what = if known { "is met" } else { "is not met" };
                met.faults.push(format!("{key:?} {what}"));
            }
        }
    }
    assert!(met.faults.is_empty(), "{}", met.faults.join("\n"));
}

async fn addresses_and_bodies(met: &mut Met) {
    let rig = Rig::start_with(|config| {
        // So small that a body is in the socket whole before it is refused: what is refused unread
        // closes its connection, under the hands of a client that is still sending.
        config.limits.body_compressed = 4 << 10;
        config.limits.body_decompressed = 4 << 10;
        config.limits.idle_timeout = Duration::from_millis(100);
    })
    .await;
    let over = Over::new(&rig);
    met.note(
        "not_found",
        &over.send(Ask::get(Door::Other, "/nowhere")).await,
    );
    met.note(
        "no_signal_path",
        &over.send(Ask::post(Door::Otlp, "/", "x")).await,
    );
    for door in [
        Door::Otlp,
        Door::Audit,
        Door::Ocsf,
        Door::Events,
        Door::Query,
    ] {
        let seen = over.send(Ask::get(door, door.path())).await;
        met.note("method_not_allowed", &seen);
        assert_eq!(seen.header("allow"), "POST", "{seen:?}");
    }
    let seen = over.send(Ask::post(Door::Other, "/v1/status", "")).await;
    met.note("method_not_allowed", &seen);
    assert!(seen.header("allow").contains("GET"), "{seen:?}");
    let unknown = Ask::post(
        Door::Grpc,
        "/grpc.health.v1.Health/Check",
        doors::frame(b""),
    );
    met.note("unimplemented", &over.send(unknown).await);
    let plain = Ask::post(Door::Grpc, Door::Grpc.path(), "{}").typed("application/json");
    met.note("not_grpc", &over.send(plain).await);
    let odd = Ask::post(
        Door::Grpc,
        Door::Grpc.path(),
        Bytes::from_static(b"\x09\0\0"),
    );
    met.note("bad_frame", &over.send(odd).await);
    for door in SENDING {
        // A transport would refuse these two itself, so they are handed to the routes.
        let bad = Ask::new(door, doors::good(door)).with("content-length", "x");
        met.note("bad_length", &over.hand(bad).await);
        met.note(
            "body_incomplete",
            &over.hand(Ask::new(door, broken_off())).await,
        );
        met.note("body_timeout", &over.send(Ask::new(door, stalled())).await);
        let large = doors::framed(door, vec![b' '; 5 << 10]);
        met.note("body_too_large", &over.send(Ask::new(door, large)).await);
        let corrupt = doors::compressed(door, MARK.as_bytes());
        met.note(
            "corrupt_body",
            &over.send(Ask::new(door, corrupt).coded("gzip")).await,
        );
        let unknown = Ask::new(door, doors::compressed(door, b"x")).coded("br");
        met.note("unsupported_encoding", &over.send(unknown).await);
    }
    for door in [Door::Otlp, Door::Audit, Door::Ocsf, Door::Events] {
        let picture = Ask::new(door, MARK).typed("image/png");
        met.note("unsupported_media_type", &over.send(picture).await);
    }
    rig.app.stop().await.unwrap();
}

async fn meanings(met: &mut Met) {
    let rig = Rig::start_with(|config| config.limits.rows = 5).await;
    let over = Over::new(&rig);
    for door in [Door::Otlp, Door::Grpc] {
        let damaged = doors::framed(door, [b"\x0a\x50".as_slice(), MARK.as_bytes()].concat());
        met.note(
            "malformed_protobuf",
            &over.send(Ask::new(door, damaged)).await,
        );
        let no_text = doors::framed(door, doors::span_named(&[0xff, 0xfe]));
        met.note("invalid_utf8", &over.send(Ask::new(door, no_text)).await);
        let deep = doors::framed(door, doors::nested_protobuf(200));
        met.note("too_deep", &over.send(Ask::new(door, deep)).await);
    }
    let json = "application/json";
    for door in [Door::Otlp, Door::Audit, Door::Ocsf, Door::Events] {
        let damaged = Ask::new(door, format!("{{\"{MARK}\":")).typed(json);
        met.note("malformed_json", &over.send(damaged).await);
    }
    for (door, body) in [
        (Door::Otlp, format!("{{\"resourceSpans\":\"{MARK}\"}}")),
        (Door::Ocsf, format!("{{\"{MARK}\":1}}")),
        (Door::Events, format!("{{\"{MARK}\":1}}")),
    ] {
        met.note(
            "unexpected_shape",
            &over.send(Ask::new(door, body).typed(json)).await,
        );
    }
    for (door, body) in [
        (Door::Ocsf, format!("[\"{MARK}\"]")),
        (Door::Audit, format!("{{\"{MARK}\":1}}")),
    ] {
        met.note(
            "contract_violated",
            &over.send(Ask::new(door, body).typed(json)).await,
        );
    }
    for (door, body) in [
        (
            Door::Ocsf,
            doors::nested_json("{\"class_uid\":2004,\"x\":", 300),
        ),
        (Door::Audit, doors::nested_json("{\"alerts\":[{\"x\":", 300)),
        (
            Door::Events,
            doors::nested_json("{\"events\":[{\"x\":", 300),
        ),
    ] {
        met.note(
            "too_deep",
            &over.send(Ask::new(door, body).typed(json)).await,
        );
    }
    let other = Ask::new(Door::Events, doors::good(Door::Events)).with("x-claresia-tenant", MARK);
    met.note("tenant_mismatch", &over.send(other).await);
    let many = doors::rows(Door::Events, 1_001);
    met.note("too_many_events", &over.send(many).await);
    for door in [Door::Otlp, Door::Grpc, Door::Audit, Door::Events] {
        met.note("too_many_records", &over.send(doors::rows(door, 6)).await);
    }
    let keyed = |text: &str| keyed_audit(text).typed(json);
    over.send(keyed("one")).await.succeeded();
    met.note("CONFLICT", &over.send(keyed("two")).await);
    rig.app.stop().await.unwrap();
}

/// An audit event under a key, with `text` in it.
fn keyed_audit(text: &str) -> Ask {
    let alert = format!("{{\"type\":\"x\",\"message\":\"{text} {MARK}\"}}");
    let body = format!("{{\"source_id\":\"s\",\"idempotency_key\":\"k\",\"alerts\":[{alert}]}}");
    Ask::new(Door::Audit, body)
}

async fn questions(met: &mut Met) {
    let rig = Rig::start_with(|config| {
        config.query.concurrency = 1;
        config.query.statement = 1_000;
        config.limits.rows = 1_000;
    })
    .await;
    let over = Over::new(&rig);
    let ask = |sql: &str| {
        let body = serde_json::json!({ "sql": sql }).to_string();
        Ask::new(Door::Query, body).typed("application/json")
    };
    met.note(
        "bad_question",
        &over.send(Ask::new(Door::Query, MARK)).await,
    );
    let format = r#"{"sql":"SELECT 1","format":"png"}"#;
    met.note(
        "unknown_format",
        &over.send(Ask::new(Door::Query, format)).await,
    );
    let odd = Ask::get(Door::Query, "/v1/rollups/cost-per-skill?by=weather");
    met.note("bad_rollup", &over.send(odd).await);
    for (sql, code) in [
        ("SELEKT 1", "sql_invalid"),
        ("SELECT * FROM nowhere", "table_unknown"),
        ("SELECT 1; SELECT 2", "sql_not_one"),
        ("DROP TABLE spans", "sql_not_a_query"),
    ] {
        met.note(code, &over.send(ask(sql)).await);
    }
    let long = format!("SELECT 1 -- {}", "x".repeat(2_000));
    met.note("sql_too_long", &over.send(ask(&long)).await);
    over.send(doors::rows(Door::Otlp, 900)).await.succeeded();
    let endless = "SELECT count(*) FROM spans a, spans b, spans c, spans d \
                   WHERE a.name || b.name || c.name || d.name = 'x'";
    let body = serde_json::json!({ "sql": endless, "timeout_ms": 1_500 }).to_string();
    let slow = async {
        // It may find the one place taken by a quick one.
        let question = || Ask::new(Door::Query, body.clone()).typed("application/json");
        let mut seen = over.send(question()).await;
        for _ in 0..50 {
            if seen.status() == 408 {
                break;
            }
            seen = over.send(question()).await;
        }
        seen
    };
    let meanwhile = async {
        // The slow one has its place once a quick one is refused; if it never is, a fault says so.
        // A question waits for a place for as long as it may run, which is not long.
        let quick = r#"{"sql":"SELECT 1","timeout_ms":100}"#;
        let ask = || over.send(Ask::new(Door::Query, quick));
        let mut seen = ask().await;
        for _ in 0..500 {
            if seen.status() == 429 {
                break;
            }
            seen = ask().await;
        }
        seen
    };
    let (slow, busy) = tokio::join!(slow, meanwhile);
    met.note("queries_busy", &busy);
    met.note("query_timeout", &slow);
    rig.app.stop().await.unwrap();
}

async fn credentials(met: &mut Met) {
    let rig = Rig::start_with(|config| config.auth.require_key = "always".into()).await;
    let over = Over::new(&rig);
    let keys = Keys::open(rig.dir.path(), std::sync::Arc::new(weir_model::SystemClock)).unwrap();
    let make = |scope: Scope| {
        keys.create(&TenantId::local(), Scopes::from(scope), "")
            .unwrap()
            .text
    };
    let (sends, asks) = (make(Scope::Ingest), make(Scope::Query));
    let all = [
        Door::Otlp,
        Door::Grpc,
        Door::Audit,
        Door::Ocsf,
        Door::Events,
        Door::Query,
        Door::Other,
    ];
    for door in all {
        let request = || {
            if door == Door::Other {
                return Ask::get(door, door.path());
            }
            Ask::new(door, doors::good(door))
        };
        let seen = over.send(request()).await;
        met.note("unauthorized", &seen);
        if door != Door::Grpc {
            assert!(
                seen.header("www-authenticate").starts_with("Bearer"),
                "{seen:?}"
            );
        }
        let stranger = request().with("authorization", "Bearer wk_of_nobody");
        met.note("invalid_key", &over.send(stranger).await);
        let stores = STORING.contains(&door);
        let wrong = if stores { &asks } else { &sends };
        let bearer = format!("Bearer {wrong}");
        let mut seen = over.send(request().with("authorization", &bearer)).await;
        // A key that another process made holds within seconds.
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        while seen.code() == "invalid_key" && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(100)).await;
            seen = over.send(request().with("authorization", &bearer)).await;
        }
        met.note("forbidden", &seen);
    }
    rig.app.stop().await.unwrap();
}

async fn of_the_server(met: &mut Met) {
    let rig = Rig::start_with(|config| {
        config.wal.segment_size = 4 << 10;
        config.wal.budget = 8 << 10;
        config.wal.reserve = 4 << 10;
        config.lake.flush_interval = Duration::from_hours(1);
    })
    .await;
    let over = Over::new(&rig);
    for door in STORING {
        let mut seen = over.send(doors::rows(door, 1)).await;
        for count in 2..100 {
            if seen.code() == "log_full" {
                break;
            }
            // Each of another length, so that none is folded.
            seen = over.send(doors::rows(door, count)).await;
        }
        met.note("log_full", &seen);
    }
    let budget = &rig.app.node().intake.budget;
    let held = budget.reserve(budget.limit()).unwrap();
    for door in SENDING {
        met.note(
            "overloaded",
            &over.send(Ask::new(door, doors::good(door))).await,
        );
    }
    drop(held);
    rig.app.node().stop.send_replace(true);
    for door in SENDING {
        // The sockets close with the stop, so the routes are asked themselves.
        met.note(
            "shutting_down",
            &over.hand(Ask::new(door, doors::good(door))).await,
        );
    }
    rig.app.stop().await.unwrap();
    let rig = Rig::start_with(|config| {
        config.limits.request_timeout = Duration::from_millis(100);
    })
    .await;
    let over = Over::new(&rig);
    for door in SENDING {
        met.note(
            "request_timeout",
            &over.send(Ask::new(door, stalled())).await,
        );
    }
    rig.app.stop().await.unwrap();
}

async fn broken_storage(met: &mut Met) {
    let rig = Rig::start().await;
    let over = Over::new(&rig);
    over.send(doors::rows(Door::Otlp, 1)).await.succeeded();
    let log = rig.dir.path().join("lake/spans/_delta_log");
    let until = tokio::time::Instant::now() + Duration::from_secs(20);
    while !log.join("00000000000000000001.json").try_exists().unwrap() {
        assert!(tokio::time::Instant::now() < until, "nothing was committed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for version in 2..40 {
        let path = log.join(format!("{version:020}.json"));
        std::fs::write(path, MARK).unwrap();
    }
    let body = r#"{"sql":"SELECT count(*) FROM spans"}"#;
    let seen = over.send(Ask::new(Door::Query, body)).await;
    met.note("storage_unavailable", &seen);
    let seen = over.send(Ask::get(Door::Other, "/v1/admin/verify")).await;
    met.note("verify_failed", &seen);
    rig.app.stop().await.unwrap();
}
