//! Small requests that stand for much: each is refused quickly, and memory stays where it was.

#![cfg(test)]

mod support;

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use support::http::Connection;
use support::server::{Settings, Weir, is_optimised, memory_mib, processor_time};

/// How long an answer may take in an optimised build; other builds are not measured.
const ANSWER_LIMIT: Duration = Duration::from_millis(100);

/// A body that is no more than 16 MiB, its route, and what may be answered.
struct Bomb {
    name: &'static str,
    path: &'static str,
    kind: &'static str,
    coding: &'static str,
    body: Vec<u8>,
    statuses: &'static [u16],
    /// How often the time of an optimised build it may take; a bomb that decompresses to the full
    /// 64 MiB takes what that takes.
    times: u32,
}

/// Quickly made: zeros shrink to a two hundredth even so.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(body).unwrap();
    coder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(body).unwrap();
    coder.finish().unwrap()
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::encode_all(body, 3).unwrap()
}

fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}

/// A message field.
fn field(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    varint(inside.len(), &mut out);
    out.extend_from_slice(inside);
    out
}

/// A request with one span, of which `inside` is the rest.
fn span(inside: &[u8]) -> Vec<u8> {
    let ids = [field(1, &[1; 16]), field(2, &[2; 8])].concat();
    field(1, &field(2, &field(2, &[ids, inside.to_vec()].concat())))
}

/// An attribute whose value is `value`, an `AnyValue`.
fn attribute(value: &[u8]) -> Vec<u8> {
    field(9, &[field(1, b"k"), field(2, value)].concat())
}

fn protobuf(name: &'static str, plain: &[u8], statuses: &'static [u16], times: u32) -> Bomb {
    Bomb {
        name,
        path: "/v1/traces",
        kind: "application/x-protobuf",
        coding: "zstd",
        body: zstd(plain),
        statuses,
        times,
    }
}

fn json(name: &'static str, path: &'static str, plain: &str, statuses: &'static [u16]) -> Bomb {
    Bomb {
        name,
        path,
        kind: "application/json",
        coding: "zstd",
        body: zstd(plain.as_bytes()),
        statuses,
        times: 4,
    }
}

/// What expands.
fn compressed() -> Vec<Bomb> {
    let zeros = vec![0_u8; 256 << 20];
    let mut window = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    window.window_log(27).unwrap();
    window.write_all(&zeros).unwrap();
    let single = gzip(&zeros);
    let nested = gzip(&single);
    let all: [(&'static str, &'static str, Vec<u8>, &'static [u16]); 7] = [
        ("gzip", "gzip", single, &[413]),
        ("deflate", "deflate", deflate(&zeros), &[413]),
        ("zstd", "zstd", zstd(&zeros), &[413]),
        (
            "zstd window of 128 MiB",
            "zstd",
            window.finish().unwrap(),
            &[400],
        ),
        // One coding is undone, and what comes of it is no message.
        ("gzip in gzip", "gzip", nested, &[400]),
        (
            "empty gzip members",
            "gzip",
            gzip(b"").repeat(400_000),
            &[200],
        ),
        (
            "empty zstd frames",
            "zstd",
            zstd(b"").repeat(800_000),
            &[200],
        ),
    ];
    let bomb = |(name, coding, body, statuses)| Bomb {
        name,
        path: "/v1/traces",
        kind: "application/x-protobuf",
        coding,
        body,
        statuses,
        times: 6,
    };
    all.into_iter().map(bomb).collect()
}

/// Values that nest or repeat in Protobuf, and what is no message at all.
fn binary_values() -> Vec<Bomb> {
    let million = 1_000_000;
    let mut deep = vec![0x10, 1];
    for _ in 0..10_000 {
        deep = field(5, &field(1, &deep));
    }
    let list = field(5, &[0x0a, 0].repeat(32 * million));
    let controls = field(5, &field(1, &field(1, &vec![1; 63 << 20])));
    let length = [vec![0x0a], vec![0xff; 8], vec![0x7f]].concat();
    vec![
        protobuf("a list of 32 million", &span(&attribute(&list)), &[200], 4),
        protobuf(
            "63 MiB of control characters",
            &span(&attribute(&controls)),
            &[200],
            4,
        ),
        protobuf("10,000 levels", &span(&attribute(&deep)), &[400], 1),
        protobuf(
            "groups of 1,000,000 levels",
            &vec![0x0b; million],
            &[400],
            1,
        ),
        protobuf("a length of 2^63", &length, &[400], 1),
    ]
}

/// Messages that repeat in Protobuf; nearly all of them 64 MiB once decompressed.
fn binary() -> Vec<Bomb> {
    let pairs = |pair: [u8; 2], count: usize| pair.repeat(count);
    let million = 1_000_000;
    let many = 32 * million;
    let spans = {
        // Spans that are sound, each with as many empty events as it may have.
        let ids = [
            field(1, &[1; 16]),
            field(2, &[2; 8]),
            pairs([0x5a, 0], 1_024),
        ]
        .concat();
        field(1, &field(2, &field(2, &ids).repeat(31_000)))
    };
    vec![
        protobuf(
            "a million attributes",
            &span(&attribute(&field(1, b"v")).repeat(million)),
            &[200],
            1,
        ),
        protobuf(
            "32 million empty attributes",
            &span(&pairs([0x4a, 0], many)),
            &[200],
            4,
        ),
        protobuf(
            "32 million empty events",
            &span(&pairs([0x5a, 0], many)),
            &[200],
            4,
        ),
        protobuf("31 million events in spans", &spans, &[413], 12),
        protobuf("32 million resources", &pairs([0x0a, 0], many), &[413], 4),
        protobuf(
            "32 million scopes",
            &field(1, &pairs([0x12, 0], many)),
            &[413],
            6,
        ),
        protobuf(
            "32 million spans",
            &field(1, &field(2, &pairs([0x12, 0], many))),
            &[413],
            6,
        ),
        protobuf(
            "32 million entities",
            &field(1, &field(1, &pairs([0x1a, 0], many))),
            &[200],
            8,
        ),
    ]
}

/// What nests or repeats in JSON.
fn textual() -> Vec<Bomb> {
    let deep = "[".repeat(8 << 20);
    let objects = format!("[{}{{}}]", "{},".repeat(20 << 20));
    let logs = format!(r#"{{"resourceLogs":{objects}}}"#);
    let metrics =
        format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":{objects}}}]}}]}}"#);
    let spans = format!(r#"{{"spans":{objects}}}"#);
    let numbers = format!(
        r#"{{"source_id":"a","alerts":[{}1]}}"#,
        "1,".repeat(30 << 20)
    );
    let events = format!(r#"{{"events":[{}{{}}]}}"#, "{},".repeat(20 << 20));
    let inside = format!(
        r#"[{{"class_uid":6003,"unmapped":[{}0]}}]"#,
        "0,".repeat(30 << 20)
    );
    vec![
        json("deep in traces", "/v1/traces", &deep, &[400]),
        json("deep in audit", "/v1/proxy/audit", &deep, &[400, 422]),
        json("deep in OCSF", "/v1/ocsf/ingest", &deep, &[400, 422]),
        json("deep in logs", "/v1/logs", &deep, &[400]),
        json("deep in a question", "/v1/query", &deep, &[400, 413]),
        Bomb {
            times: 8,
            ..json("20 million log resources", "/v1/logs", &logs, &[200])
        },
        json("20 million metrics", "/v1/metrics", &metrics, &[200]),
        json("20 million flat spans", "/v1/traces", &spans, &[413]),
        json(
            "30 million numbers for alerts",
            "/v1/proxy/audit",
            &numbers,
            &[400, 413, 422],
        ),
        json(
            "20 million events",
            "/v1/ocsf/ingest",
            &events,
            &[400, 413, 422],
        ),
        json(
            "an event of 30 million numbers",
            "/v1/ocsf/ingest",
            &inside,
            &[200, 202, 400, 413, 422],
        ),
    ]
}

/// The most memory that the process has held since the last reset.
fn peak_mib(server: &Weir) -> u64 {
    memory_mib(server.process.id(), "VmHWM:")
}

fn reset_peak(server: &Weir) {
    fs::write(format!("/proc/{}/clear_refs", server.process.id()), "5").unwrap();
}

#[test]
fn each_bomb_is_answered_quickly_and_memory_stays_flat() {
    let folder = tempfile::tempdir().unwrap();
    let server = Settings::plain(&folder.path().join("data")).start();
    let mut faults = Vec::new();
    for bombs in [compressed, binary, binary_values, textual] {
        for bomb in bombs() {
            assert!(
                bomb.body.len() <= 16 << 20,
                "{}: {}",
                bomb.name,
                bomb.body.len()
            );
            reset_peak(&server);
            let before = peak_mib(&server);
            let headers = [
                ("content-type", bomb.kind),
                ("content-encoding", bomb.coding),
            ];
            let mut connection = Connection::open(server.http).unwrap();
            let (began, worked) = (Instant::now(), processor_time(server.process.id()));
            let answer = connection
                .send("POST", bomb.path, &headers, &bomb.body)
                .unwrap();
            // Of wall clock and processor time the lesser: others may hold the processors.
            let worked = processor_time(server.process.id()).saturating_sub(worked);
            let took = began.elapsed().min(worked.max(Duration::from_millis(10)));
            let grown = peak_mib(&server).saturating_sub(before);
            println!(
                "{:<34} {:>9} B  {}  {:>7.1} ms  {grown:>4} MiB",
                bomb.name,
                bomb.body.len(),
                answer.status,
                took.as_secs_f64() * 1e3
            );
            if !bomb.statuses.contains(&answer.status) {
                faults.push(format!(
                    "{}: {} {}",
                    bomb.name,
                    answer.status,
                    answer.text()
                ));
            }
            // The largest body once decompressed, the largest decoded rows (`limits.decoded`), and as
            // much again as the rows, since a buffer that doubles is there twice while it is copied.
            if grown > 64 + 256 + 256 + 32 {
                faults.push(format!("{}: {grown} MiB", bomb.name));
            }
            let limit = ANSWER_LIMIT * bomb.times * if is_optimised() { 1 } else { 25 };
            if took > limit {
                faults.push(format!("{}: {took:?} of {limit:?}", bomb.name));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
