//! The whole binary over real sockets: what is accepted comes back in SQL, once, and stays.

#![cfg(test)]

mod support;

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use support::http::{self, Connection};
use support::load::Load;
use support::oracle::Oracle;
use support::random::Random;
use support::server::{Settings, Weir, run_cli};
use support::traffic::{KINDS, Kind, TABLES, spans_protobuf, text_of};
use support::{grpc, wait_for};
use tonic::codec::CompressionEncoding;

const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

fn started() -> (tempfile::TempDir, Settings, Weir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::plain(&folder.path().join("data"));
    let server = settings.start();
    (folder, settings, server)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_receiver_and_every_coding_ends_in_the_same_table() {
    let (_folder, _settings, server) = started();
    let plain = |first| spans_protobuf(first..first + 10).encode_to_vec();
    let zstd = |body: Vec<u8>| zstd::encode_all(body.as_slice(), 1).unwrap();
    let bodies = [
        (server.http, "identity", plain(0)),
        (server.otlp_http, "gzip", gzip(&plain(10))),
        (server.http, "zstd", zstd(plain(20))),
        (server.otlp_http, "deflate", deflate(&plain(30))),
    ];
    for (address, coding, body) in bodies {
        let headers = [
            ("content-type", "application/x-protobuf"),
            ("content-encoding", coding),
        ];
        let mut connection = Connection::open(address).unwrap();
        let answer = connection
            .send("POST", "/v1/traces", &headers, &body)
            .unwrap();
        assert_eq!(answer.status, 200, "{coding}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("application/x-protobuf")
        );
    }
    let json = Kind::SpansJson.body(40, 10);
    let answer = http::post(server.otlp_http, "/v1/traces", "application/json", &json).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    for (first, coding) in [
        (50, None),
        (60, Some(CompressionEncoding::Gzip)),
        (70, Some(CompressionEncoding::Zstd)),
    ] {
        let request = spans_protobuf(first..first + 10);
        let answer = grpc::export(server.otlp_grpc, request, coding).unwrap();
        assert!(
            answer
                .partial_success
                .is_none_or(|partial| partial.rejected_spans == 0)
        );
    }
    // Fresh at once: nothing waits for the lake.
    assert_eq!(server.number("SELECT count(*) FROM spans"), 80);
    assert_eq!(
        server.number("SELECT count(DISTINCT trace_id) FROM spans"),
        80
    );
    let texts = server.query("SELECT name FROM spans ORDER BY trace_id");
    for (number, row) in (0..).zip(texts) {
        assert_eq!(row, [text_of(number)]);
    }
}

#[test]
fn all_kinds_of_events_come_back_and_the_account_closes() {
    let (_folder, _settings, server) = started();
    for (place, kind) in (0_u64..).zip(KINDS) {
        let body = kind.body(place * 100, 20);
        let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
        assert!(
            answer.is_success(),
            "{kind:?}: {} {}",
            answer.status,
            answer.text()
        );
        assert!(kind.took_all(&answer, 20), "{kind:?}: {}", answer.text());
    }
    server.wait_stored();
    for (table, rows) in TABLES.into_iter().zip([40, 20, 20]) {
        let sql = format!("SELECT count(*) FROM {}", table.name);
        assert_eq!(server.number(&sql), rows, "{}", table.name);
    }
}

#[test]
fn what_was_acknowledged_survives_both_ways_to_stop_and_a_resend_is_folded() {
    let (_folder, settings, mut server) = started();
    let body = Kind::SpansProtobuf.body(0, 25);
    let send = |server: &Weir| {
        let kind = Kind::SpansProtobuf;
        let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    send(&server);
    send(&server);
    assert_eq!(server.number("SELECT count(*) FROM spans"), 25);
    server.process.kill();
    let mut server = settings.start();
    send(&server);
    assert_eq!(server.number("SELECT count(*) FROM spans"), 25);
    let (status, took) = server.terminate(SHUTDOWN_LIMIT);
    assert_eq!(status.code(), Some(0), "after {took:?}");
    let server = settings.start();
    assert_eq!(server.number("SELECT count(*) FROM spans"), 25);
}

#[test]
fn a_stop_under_load_is_clean_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::hasty(&folder.path().join("data"));
    let oracle = Arc::new(Oracle::default());
    let mut random = Random::from_env();
    for _ in 0..3 {
        let mut server = settings.start();
        let load = Load::start(&oracle, server.http, 4, &mut random);
        wait_for("the load begins", Duration::from_secs(10), || {
            load.tally.last_acknowledged()
        });
        std::thread::sleep(random.millis(50, 300));
        let (status, took) = server.terminate(SHUTDOWN_LIMIT);
        assert_eq!(status.code(), Some(0), "after {took:?}");
        load.stop();
    }
    let verdict = oracle.judge(&settings.start());
    assert!(verdict.is_clean(), "{verdict}");
}

#[test]
fn one_data_directory_has_one_process() {
    let (_folder, settings, server) = started();
    let (status, log) = settings.launch().try_ready().unwrap_err();
    assert_eq!(status.and_then(|status| status.code()), Some(73), "{log}");
    assert!(log.contains("in use"), "{log}");
    // The first one is not disturbed.
    assert_eq!(http::get(server.http, "/readyz").unwrap().status, 200);
}

#[test]
fn an_interrupt_ends_it_as_a_termination_does() {
    let (_folder, _settings, mut server) = started();
    server.process.signal(Signal::INT);
    let status = server.process.wait_within(SHUTDOWN_LIMIT);
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

#[test]
fn answers_come_in_every_format() {
    let (_folder, _settings, server) = started();
    let kind = Kind::SpansJson;
    let body = kind.body(0, 3);
    let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
    assert_eq!(answer.status, 200);
    let ask = |format: &str| {
        let sql = "SELECT name, kind FROM spans ORDER BY trace_id";
        run_cli(&["query", "--url", &server.url(), "--format", format, sql])
    };
    let csv = String::from_utf8(ask("csv").stdout).unwrap();
    let expected: Vec<String> = (0..3).map(|n| format!("{},client", text_of(n))).collect();
    assert_eq!(
        csv.lines().collect::<Vec<_>>(),
        [&["name,kind".to_owned()], &expected[..]].concat()
    );
    let table = String::from_utf8(ask("table").stdout).unwrap();
    assert!(table.contains(&text_of(2)), "{table}");
    let json: serde_json::Value = serde_json::from_slice(&ask("json").stdout).unwrap();
    let rows = json.as_array().or_else(|| json["rows"].as_array());
    assert_eq!(rows.map(Vec::len), Some(3), "{json}");
    let refused = run_cli(&["query", "--url", &server.url(), "DROP TABLE spans"]);
    assert_eq!(refused.status.code(), Some(1));
}

/// The test of the tests: a judge that finds nothing must be one that could.
#[test]
fn the_oracle_sees_what_is_missing_doubled_foreign_and_torn() {
    let (_folder, _settings, server) = started();
    let oracle = Oracle::default();
    let kind = Kind::SpansJson;
    let send = |first, count| {
        let body = kind.body(first, count);
        let answer = http::post(server.http, kind.path(), kind.content_type(), &body).unwrap();
        assert_eq!(answer.status, 200);
    };
    let (place, first) = oracle.claim(kind, 10);
    oracle.acknowledge(place);
    send(first, 10);
    assert!(oracle.judge(&server).is_clean());

    let (place, _) = oracle.claim(kind, 3);
    oracle.acknowledge(place);
    let (_, first) = oracle.claim(kind, 4);
    send(first, 2);
    // Not the bytes of the first request, so that the server must take them for new.
    send(0, 5);
    send(1_000, 6);
    let verdict = oracle.judge(&server);
    let found = (
        verdict.missing,
        verdict.doubled,
        verdict.foreign,
        verdict.torn,
    );
    assert_eq!(found, (3, 5, 6, 1), "{verdict}");
}

/// With no file descriptor left nothing is accepted; once there are some again, all goes on.
#[test]
fn a_lack_of_file_descriptors_does_not_end_the_listeners() {
    let (_folder, _settings, server) = started();
    let id = Pid::from_raw(i32::try_from(server.process.id()).unwrap()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", server.process.id())).unwrap();
    let few = u64::try_from(open.count()).unwrap() + 4;
    let limit = |current| Rlimit {
        current: Some(current),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(Some(id), Resource::Nofile, limit(few)).unwrap();
    let held: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(server.otlp_http).unwrap())
        .collect();
    wait_for("the log tells of it", Duration::from_secs(10), || {
        server
            .process
            .log()
            .contains("http.accept.failed")
            .then_some(())
    });
    prlimit(Some(id), Resource::Nofile, before).unwrap();
    let answer = http::get(server.otlp_http, "/livez").unwrap();
    assert_eq!(answer.status, 200);
    drop(held);
}

/// As a user has it: defaults, everything hanging, SIGTERM, and the end within five seconds.
#[test]
fn a_stop_with_everything_hanging_takes_less_than_five_seconds() {
    let (_folder, _settings, mut server) = started();
    let mut hanging = Vec::new();
    for first in [
        "",
        "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /livez HT",
        "GET /v1/tail HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ] {
        for address in [server.http, server.otlp_http, server.otlp_grpc] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(first.as_bytes()).unwrap();
            hanging.push(stream);
        }
    }
    let (status, took) = server.terminate(SHUTDOWN_LIMIT);
    assert_eq!(status.code(), Some(0), "after {took:?}");
    drop(hanging);
}

/// The command line speaks TLS to a server that does, and SIGHUP does not end it.
#[test]
fn the_command_line_asks_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let path = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let certificate = path("tls.crt", made.cert.pem());
    let key = path("tls.key", made.signing_key.serialize_pem());
    let mut server = Settings::plain(&folder.path().join("data"))
        .with("WEIR_TLS_CERT_FILE", &certificate)
        .with("WEIR_TLS_KEY_FILE", &key)
        .start();
    server.process.signal(Signal::HUP);
    let url = format!("https://{}", server.http);
    let ask = |more: &[&str]| {
        let asked = [
            &["query", "--url", &url, "--format", "csv", "SELECT 1 AS one"],
            more,
        ];
        run_cli(&asked.concat())
    };
    let output = ask(&["--ca-file", &certificate]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "one\n1\n",
        "{output:?}"
    );
    let refused = ask(&[]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("--ca-file"), "{said}");
    let (status, took) = server.terminate(SHUTDOWN_LIMIT);
    assert_eq!(status.code(), Some(0), "after {took:?}");
}
