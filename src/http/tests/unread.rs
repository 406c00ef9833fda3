//! Raw sockets that send a whole large body before they look for an answer, as most clients do: a
//! refusal must reach them, whatever was refused and however early.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::raw::{answer, connect};
use crate::app::rig::Rig;
use crate::config::Config;
use crate::http::conn::cuts::Cut;
use crate::http::conn::unread::DISCARD_BYTES_MAX;

/// No step of these tests takes longer, but for the one that shows a bound.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than the buffers of both sides hold.
const LARGE: usize = 12 << 20;

fn small(config: &mut Config) {
    config.limits.body_compressed = 1 << 20;
    config.limits.body_decompressed = 1 << 20;
}

fn head(start: &str, headers: &str, length: usize) -> String {
    format!("{start} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n")
}

/// Writes all of it, then reads one answer.
async fn send(stream: &mut TcpStream, head: &str, length: usize) -> String {
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b' '; length]).await
    };
    let sent = tokio::time::timeout(PATIENCE, sent).await;
    sent.expect("nobody reads the body").unwrap();
    answer(stream).await
}

fn cuts(rig: &Rig, why: Cut) -> u64 {
    let cuts = &rig.app.node().intake.counters.cuts;
    cuts.read().find(|(cut, _)| *cut == why).unwrap().1
}

/// The refusal is read, and the connection serves the next request.
async fn assert_refused(rig: &Rig, (head, length): (String, usize), status: &str) {
    let mut stream = connect(rig).await;
    let began = Instant::now();
    let text = send(&mut stream, &head, length).await;
    let line = format!("HTTP/1.1 {status}");
    assert!(text.starts_with(&line), "{head}: {text}");
    assert!(began.elapsed() < PATIENCE, "{head}");
    let text = send(&mut stream, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", 0).await;
    assert!(text.starts_with("HTTP/1.1 200"), "after {head}: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_an_unread_body_is_read_by_who_sends_it_whole() {
    let json = "Content-Type: application/json\r\n";
    let traces = "POST /v1/traces";
    let rig = Rig::start_with(small).await;
    for (start, headers, length, status) in [
        ("POST /nowhere", json, LARGE, "404"),
        ("POST /v1/status", json, LARGE, "405"),
        ("PUT /v1/traces", json, LARGE, "405"),
        (traces, json, LARGE, "413"),
        ("POST /v1/proxy/audit", json, LARGE, "413"),
        ("POST /v1/query", json, LARGE, "413"),
        (traces, "Content-Type: text/plain\r\n", LARGE, "415"),
        (
            "POST /v1/ocsf/ingest",
            "Content-Type: image/png\r\n",
            LARGE,
            "415",
        ),
        (
            traces,
            "Content-Type: application/json\r\nContent-Encoding: br\r\n",
            LARGE,
            "415",
        ),
    ] {
        assert_refused(&rig, (head(start, headers, length), length), status).await;
    }
    assert_eq!(cuts(&rig, Cut::Unread), 0);
    rig.app.stop().await.unwrap();

    let rig = Rig::start_with(|config| config.auth.require_key = "always".into()).await;
    assert_refused(&rig, (head(traces, json, LARGE), LARGE), "401").await;
    rig.app.stop().await.unwrap();

    let rig = Rig::start_with(|config| {
        config.quota.bytes_per_second = Some(1);
        config.quota.burst = Duration::from_secs(1);
    })
    .await;
    let mut first = connect(&rig).await;
    send(&mut first, &head(traces, json, 2), 2).await;
    assert_refused(&rig, (head(traces, json, LARGE), LARGE), "429").await;
    let metrics = rig.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let counted = "weir_quota_refusals_total{quota=\"bytes\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_there_is_no_memory_for_is_refused_to_who_sends_it_whole() {
    let rig = Rig::start_with(|config| config.limits.in_flight = LARGE as u64).await;
    let _held = rig.app.node().intake.budget.reserve(LARGE / 2).unwrap();
    let head = head(
        "POST /v1/traces",
        "Content-Type: application/json\r\n",
        LARGE,
    );
    assert_refused(&rig, (head, LARGE), "503").await;
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_without_end_is_read_up_to_its_bound() {
    let rig = Rig::start_with(small).await;
    let length = DISCARD_BYTES_MAX + (24 << 20);
    let head = head(
        "POST /v1/traces",
        "Content-Type: application/json\r\n",
        length,
    );
    let mut stream = connect(&rig).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let writing = tokio::spawn(async move {
        let piece = vec![b' '; 1 << 20];
        let mut sent = 0_usize;
        while sent < length && write.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        sent
    });
    let mut text = vec![0; 16];
    read.read_exact(&mut text).await.unwrap();
    assert!(text.starts_with(b"HTTP/1.1 413"));
    let sent = tokio::time::timeout(PATIENCE, writing).await;
    let sent = sent.expect("it is read on and on").unwrap();
    assert!(sent < length, "all of {sent} bytes were taken");
    assert!(sent > DISCARD_BYTES_MAX / 2, "{sent}");
    assert_eq!(cuts(&rig, Cut::Unread), 1);

    // One that pauses is given up as well.
    let mut stream = connect(&rig).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    answer(&mut stream).await;
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    drop(ended.expect("a body that pauses holds its connection"));
    assert_eq!(cuts(&rig, Cut::Unread), 2);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_before_sending_is_told_and_sends_nothing() {
    let rig = Rig::start_with(small).await;
    let mut stream = connect(&rig).await;
    let headers = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
    let head = head("POST /v1/traces", headers, LARGE);
    let text = send(&mut stream, &head, 0).await;
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    let began = Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
    assert!(began.elapsed() < Duration::from_millis(500), "it waits");
    rig.app.stop().await.unwrap();
}
