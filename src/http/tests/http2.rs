//! HTTP/2 by hand, frame by frame: what a library would never send.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::app::rig::Rig;
use crate::http::conn::cuts::Cut;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    /// The code that a reset or a farewell gives.
    fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a request to a short path, from the static table.
fn request(method: u8, path: &str) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x41, 1, b'a', 0x44];
    block.push(u8::try_from(path.len()).unwrap());
    block.extend(path.as_bytes());
    if method == POST {
        // content-type, by its place in the static table.
        block.extend([0x5f, 16]);
        block.extend(b"application/json");
    }
    block
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

async fn connect(rig: &Rig) -> TcpStream {
    let mut stream = TcpStream::connect(rig.app.addresses().otlp_grpc)
        .await
        .unwrap();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// The next frame, or none where the server has closed.
async fn next(stream: &mut TcpStream) -> Option<Frame> {
    let read = async {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.ok()?;
        Some(Frame {
            kind: head[3],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .expect("the server is silent and does not close")
}

/// The next frame of `kind`.
async fn wait(stream: &mut TcpStream, kind: u8) -> Frame {
    loop {
        let frame = next(stream).await.expect("closed before");
        if frame.kind == kind {
            return frame;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_opened_up_to_the_limit_that_is_announced() {
    let rig = Rig::start_with(|config| config.limits.streams = 3).await;
    let mut stream = connect(&rig).await;
    let settings = wait(&mut stream, SETTINGS).await;
    let announced: Vec<(u16, u32)> = settings
        .payload
        .chunks(6)
        .map(|c| {
            let value = u32::from_be_bytes(c[2..].try_into().unwrap());
            (u16::from_be_bytes([c[0], c[1]]), value)
        })
        .collect();
    assert!(
        announced.contains(&(3, 3)),
        "concurrent streams: {announced:?}"
    );
    assert!(
        announced.contains(&(6, 16 << 10)),
        "header list: {announced:?}"
    );
    // Bodies never come, so all of them stay open.
    for id in [1, 3, 5, 7] {
        let head = frame(HEADERS, END_HEADERS, id, &request(POST, "/v1/traces"));
        stream.write_all(&head).await.unwrap();
    }
    let refused = wait(&mut stream, RESET).await;
    // 7 is REFUSED_STREAM, which tells a client that it may send again.
    assert_eq!((refused.stream, refused.code()), (7, 7));
    drop(stream);
    rig.app.stop().await.unwrap();
}

/// "Rapid reset": requests that are withdrawn at once cost the server and not the client.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_withdraws_request_after_request_is_cut_off() {
    let rig = Rig::start_with(|config| config.limits.resets = 20).await;
    let mut stream = connect(&rig).await;
    let mut flood = Vec::new();
    for number in 0..2_000_u32 {
        let id = number * 2 + 1;
        flood.extend(frame(
            HEADERS,
            END_HEADERS,
            id,
            &request(POST, "/v1/traces"),
        ));
        flood.extend(frame(RESET, 0, id, &8_u32.to_be_bytes()));
    }
    // The server may have closed before it has read all.
    let _ = stream.write_all(&flood).await;
    // 11 is ENHANCE_YOUR_CALM.
    let farewell = wait(&mut stream, GOAWAY).await;
    assert_eq!(farewell.code(), 11);
    while next(&mut stream).await.is_some() {}
    assert_eq!(cuts(&rig).await, [(Cut::Flood, 1)]);
    rig.app.stop().await.unwrap();
}

/// What was counted once something is: the count may come a moment after the farewell.
async fn cuts(rig: &Rig) -> Vec<(Cut, u64)> {
    let counted = &rig.app.node().intake.counters.cuts;
    for _ in 0..500 {
        let found: Vec<_> = counted.read().filter(|(_, count)| *count > 0).collect();
        if !found.is_empty() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Vec::new()
}

/// The head of a request that never ends, in frames of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_an_end_is_cut_off() {
    let rig = Rig::start().await;
    let mut stream = connect(&rig).await;
    let mut flood = frame(HEADERS, 0, 1, &request(POST, "/v1/traces"));
    for _ in 0..2_000 {
        flood.extend(frame(CONTINUATION, 0, 1, &[]));
    }
    let _ = stream.write_all(&flood).await;
    let farewell = wait(&mut stream, GOAWAY).await;
    assert_eq!(farewell.code(), 11);
    assert_eq!(cuts(&rig).await, [(Cut::Flood, 1)]);
    rig.app.stop().await.unwrap();
}

/// A client that breaks the rules once is told so; it is no flood.
#[tokio::test(flavor = "multi_thread")]
async fn a_slip_is_not_counted_as_an_attack() {
    let rig = Rig::start().await;
    let mut stream = connect(&rig).await;
    // Headers on stream 0, which is the connection's own.
    let slip = frame(HEADERS, END_HEADERS, 0, &request(POST, "/v1/traces"));
    stream.write_all(&slip).await.unwrap();
    let farewell = wait(&mut stream, GOAWAY).await;
    assert_eq!(farewell.code(), 1, "PROTOCOL_ERROR");
    while next(&mut stream).await.is_some() {}
    let counted = rig.app.node().intake.counters.cuts.read();
    assert_eq!(counted.map(|(_, count)| count).sum::<u64>(), 0);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_at_rest_is_ended_politely() {
    let rig = Rig::start_with(|config| {
        config.limits.keep_alive = Duration::from_millis(300);
    })
    .await;
    let mut stream = connect(&rig).await;
    let get = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &request(GET, "/livez"),
    );
    stream.write_all(&get).await.unwrap();
    assert_eq!(wait(&mut stream, HEADERS).await.stream, 1);
    let began = Instant::now();
    let farewell = wait(&mut stream, GOAWAY).await;
    assert_eq!(farewell.code(), 0, "no error");
    assert!(
        began.elapsed() > Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    // It ends for good once the client has answered the ping that follows, or has not in time.
    drop(stream);
    rig.app.stop().await.unwrap();
}

/// A window of nothing: the answer can never be sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_answer_is_never_taken_does_not_live_for_ever() {
    let rig = Rig::start_with(|config| {
        config.limits.idle_timeout = Duration::from_millis(300);
    })
    .await;
    let mut stream = TcpStream::connect(rig.app.addresses().http).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    // Initial window (4) of 0.
    stream
        .write_all(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]))
        .await
        .unwrap();
    let get = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &request(GET, "/livez"),
    );
    let began = Instant::now();
    stream.write_all(&get).await.unwrap();
    while next(&mut stream).await.is_some() {}
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_says_goodbye_and_cuts_streams_that_hang() {
    let rig = Rig::start_with(|config| {
        config.limits.drain_timeout = Duration::from_millis(400);
    })
    .await;
    let mut stream = connect(&rig).await;
    let head = frame(HEADERS, END_HEADERS, 1, &request(POST, "/v1/traces"));
    stream.write_all(&head).await.unwrap();
    wait(&mut stream, SETTINGS).await;
    let began = Instant::now();
    let (stopped, ()) = tokio::join!(rig.app.stop(), async {
        assert_eq!(wait(&mut stream, GOAWAY).await.code(), 0);
        while next(&mut stream).await.is_some() {}
    });
    stopped.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}
