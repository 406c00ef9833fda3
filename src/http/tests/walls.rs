//! Raw sockets against a real node with short timers: who is too slow, too many, or does not go.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::raw::{connect, status_line};
use crate::app::rig::Rig;
use crate::config::Config;

/// No timer of these tests is longer; a connection that outlives it is not guarded.
const PATIENCE: Duration = Duration::from_secs(5);

const GET: &str = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";

/// Timers that a test can wait for, each far from the next.
fn hasty(config: &mut Config) {
    config.limits.first_byte_timeout = Duration::from_millis(150);
    config.limits.header_timeout = Duration::from_millis(300);
    config.limits.keep_alive = Duration::from_millis(900);
    config.limits.idle_timeout = Duration::from_millis(300);
    config.limits.drain_timeout = Duration::from_millis(500);
}

async fn rig() -> Rig {
    Rig::start_with(hasty).await
}

/// Reads until the server closes; what came, and how long it took.
async fn rest(stream: &mut TcpStream) -> (String, Duration) {
    let (began, mut bytes) = (Instant::now(), Vec::new());
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    // A reset is an end as well.
    drop(read.expect("the server holds the connection"));
    (
        String::from_utf8_lossy(&bytes).into_owned(),
        began.elapsed(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_slow_headers_end_in_their_own_times() {
    let rig = rig().await;
    for (first, least, most) in [
        ("", 140, 290),
        ("GET / HTTP/1.1\r\nHost", 290, 800),
        ("PRI * HT", 290, 800),
    ] {
        let mut stream = connect(&rig).await;
        stream.write_all(first.as_bytes()).await.unwrap();
        let (_, took) = rest(&mut stream).await;
        let millis = took.as_millis();
        assert!(
            millis >= least && millis < most + 700,
            "{first:?}: {millis} ms"
        );
    }
    rig.app.stop().await.unwrap();
}

/// One byte of a header at a time, each well within any pause: the time is for the whole head.
#[tokio::test(flavor = "multi_thread")]
async fn a_drip_of_headers_gains_no_time() {
    let rig = rig().await;
    let mut stream = connect(&rig).await;
    let began = Instant::now();
    let mut sent = 0;
    for byte in b"GET /livez HTTP/1.1\r\nX-Slow: "
        .iter()
        .chain([b'a'; 200].iter())
    {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        let mut none = [0; 1];
        let closed = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut none)).await;
        if matches!(closed, Ok(Ok(0) | Err(_))) {
            break;
        }
    }
    assert!(sent < 100, "{sent} bytes in {:?}", began.elapsed());
    rig.app.stop().await.unwrap();
}

/// The second request of a connection has its header time as well, and rest is longer than that.
#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_later_request_is_timed_too() {
    let rig = rig().await;
    let mut stream = connect(&rig).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(status_line(&mut stream).await, "HTTP/1.1 200 OK");
    // Longer than a head may take, shorter than the rest.
    tokio::time::sleep(Duration::from_millis(500)).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(status_line(&mut stream).await, "HTTP/1.1 200 OK");
    stream.write_all(b"GET /livez HT").await.unwrap();
    let (_, took) = rest(&mut stream).await;
    assert!(
        took < Duration::from_millis(850),
        "the rest's time: {took:?}"
    );
    let mut stream = connect(&rig).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(status_line(&mut stream).await, "HTTP/1.1 200 OK");
    let (_, took) = rest(&mut stream).await;
    assert!(
        took > Duration::from_millis(800),
        "cut in its rest: {took:?}"
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order_and_a_half_one_is_timed() {
    let rig = rig().await;
    let mut stream = connect(&rig).await;
    let three = format!("{GET}GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n{GET}GET /li");
    stream.write_all(three.as_bytes()).await.unwrap();
    let (text, took) = rest(&mut stream).await;
    let statuses: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            line.find("HTTP/1.1 ")
                .and_then(|at| line.get(at + 9..at + 12))
        })
        .collect();
    assert_eq!(statuses, ["200", "404", "200"], "{text}");
    assert!(took < Duration::from_millis(1_500), "{took:?}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_pauses_is_408_and_its_connection_ends() {
    let rig = rig().await;
    let mut stream = connect(&rig).await;
    let head = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (text, took) = rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_request_has_its_time_however_its_body_drips() {
    let rig = Rig::start_with(|config| {
        hasty(config);
        config.query.timeout = Duration::from_millis(100);
        config.limits.request_timeout = Duration::from_millis(600);
    })
    .await;
    let mut stream = connect(&rig).await;
    let head = "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Content-Length: 1000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let (began, mut bytes) = (Instant::now(), vec![0; 4096]);
    let count = tokio::time::timeout(PATIENCE, read.read(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&bytes[..count]);
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    assert!(text.contains("request_timeout"), "{text}");
    assert!(began.elapsed() > Duration::from_millis(550));
    drip.abort();
    rig.app.stop().await.unwrap();
}

/// The number of headers and their size: at the limit taken, above it refused.
#[tokio::test(flavor = "multi_thread")]
async fn headers_are_taken_up_to_their_limits() {
    let rig = Rig::start_with(|config| {
        hasty(config);
        config.limits.headers = 10;
        config.limits.header_size = 8 << 10;
    })
    .await;
    // Two headers are there without any.
    let with_count = |count: usize| {
        let more: String = (3..=count).map(|n| format!("X-{n}: 1\r\n")).collect();
        format!("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}\r\n")
    };
    let with_bytes = |bytes: usize| {
        let bare = "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: \r\n\r\n".len();
        let fill = "x".repeat(bytes - bare);
        format!("GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: {fill}\r\n\r\n")
    };
    for (request, status) in [
        (with_count(9), "200"),
        (with_count(10), "200"),
        (with_count(11), "431"),
        (with_bytes((8 << 10) - 1), "200"),
        (with_bytes(8 << 10), "200"),
        (with_bytes((8 << 10) + 1), "431"),
    ] {
        let mut stream = connect(&rig).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let (text, _) = rest(&mut stream).await;
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {text}"
        );
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_its_share_of_connections_and_gets_it_back() {
    let rig = Rig::start_with(|config| {
        hasty(config);
        config.limits.first_byte_timeout = Duration::from_secs(60);
        config.limits.connections_per_peer = 5;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut stream = connect(&rig).await;
        // Answered, so it is known to have its place.
        stream.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(status_line(&mut stream).await, "HTTP/1.1 200 OK");
        held.push(stream);
    }
    let mut sixth = connect(&rig).await;
    let (text, _) = rest(&mut sixth).await;
    assert_eq!(text, "", "the sixth is closed at once");
    // Their rest is over in less than a second, and then there is room.
    drop(held);
    for attempt in 0.. {
        let mut next = connect(&rig).await;
        next.write_all(
            GET.replace("Host: a", "Host: a\r\nConnection: close")
                .as_bytes(),
        )
        .await
        .unwrap();
        let (text, _) = rest(&mut next).await;
        if text.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(attempt < 200, "no place is given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.app.stop().await.unwrap();
}

/// With every place taken by idle connections, an honest client waits until one of them times out,
/// and is not turned away.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_for_a_place_and_gets_it() {
    let rig = Rig::start_with(|config| {
        hasty(config);
        config.limits.first_byte_timeout = Duration::from_millis(400);
        config.limits.connections = 3;
    })
    .await;
    let mut idle = Vec::new();
    for _ in 0..6 {
        idle.push(connect(&rig).await);
    }
    let mut honest = connect(&rig).await;
    honest.write_all(GET.as_bytes()).await.unwrap();
    let began = Instant::now();
    assert_eq!(status_line(&mut honest).await, "HTTP/1.1 200 OK");
    let took = began.elapsed();
    assert!(
        took > Duration::from_millis(300),
        "it did not have to wait: {took:?}"
    );
    drop(idle);
    rig.app.stop().await.unwrap();
}

/// A client that asks for much and reads nothing is given up.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_dropped() {
    let rig = rig().await;
    let mut stream = connect(&rig).await;
    let sql = r#"{"sql":"SELECT repeat('x', 1000) FROM generate_series(1, 30000)"}"#;
    let request = format!(
        "POST /v1/query HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{sql}",
        sql.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let open = || {
        rig.app
            .node()
            .intake
            .counters
            .connections
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    let began = Instant::now();
    while open() == 0 || began.elapsed() < Duration::from_millis(200) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while open() > 0 {
        assert!(began.elapsed() < PATIENCE, "it is still held");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    assert!(
        !bytes.is_empty() && bytes.len() < 30_000_000,
        "{} bytes came",
        bytes.len()
    );
    rig.app.stop().await.unwrap();
}

/// Everything hangs: idle, half a head, half a body, a watcher; the end is still within its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_who_hangs() {
    let rig = Rig::start_with(|config| {
        config.limits.drain_timeout = Duration::from_millis(500);
    })
    .await;
    let mut hanging = Vec::new();
    for first in [
        "",
        GET,
        "GET /livez HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /v1/tail HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut stream = connect(&rig).await;
        stream.write_all(first.as_bytes()).await.unwrap();
        hanging.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = Instant::now();
    rig.app.stop().await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    for mut stream in hanging {
        rest(&mut stream).await;
    }
}

/// A request that has begun when the stop comes is taken, answered, and durable.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_at_a_stop_is_finished() {
    let rig = Rig::start().await;
    let body = r#"{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"eee19b7ec3c1b174","name":"late"}]}"#;
    let (first, second) = body.split_at(20);
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{first}",
        body.len()
    );
    let mut stream = connect(&rig).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let used = || rig.app.node().intake.budget.used();
    while used() == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let node = std::sync::Arc::clone(rig.app.node());
    let Rig { app, dir } = rig;
    let (stopped, text) = tokio::join!(app.stop(), async {
        node.stopping().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(second.as_bytes()).await.unwrap();
        rest(&mut stream).await.0
    });
    stopped.unwrap();
    drop(node);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(
        text.to_ascii_lowercase().contains("connection: close"),
        "{text}"
    );
    let config = crate::app::rig::config_in(dir.path());
    let app = Box::pin(crate::app::App::start(&config)).await.unwrap();
    let rig = Rig { app, dir };
    let rows = rig
        .sql("SELECT count(*) FROM spans WHERE name = 'late'")
        .await;
    assert_eq!(rows[0][0], 1);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_connection_that_is_cut_is_counted_by_its_timer() {
    let rig = rig().await;
    for (first, by) in [
        ("", "first_byte"),
        ("GET / HTTP/1.1\r\nHo", "header"),
        (GET, "keep_alive"),
    ] {
        let mut stream = connect(&rig).await;
        stream.write_all(first.as_bytes()).await.unwrap();
        rest(&mut stream).await;
        let metrics = rig.get("/metrics").await;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let counted = format!("weir_connections_cut_total{{by=\"{by}\"}} 1\n");
        assert!(metrics.contains(&counted), "{by}: {metrics}");
    }
    rig.app.stop().await.unwrap();
}
