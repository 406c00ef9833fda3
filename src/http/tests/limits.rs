//! Bodies at, below and above each limit, announced or not, plain or compressed.

use std::io::Write as _;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;

use crate::app::rig::Rig;

const JSON: &str = "application/json";

/// An empty request of exactly that many bytes.
fn json_of(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"resourceSpans":[]}"#.to_vec();
    body.resize(bytes, b' ');
    body
}

/// The same as gzip without compression, of exactly that many bytes.
fn gzip_of(bytes: usize) -> Vec<u8> {
    let pack = |plain: usize| {
        let level = flate2::Compression::none();
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), level);
        coder.write_all(&json_of(plain)).unwrap();
        coder.finish().unwrap()
    };
    let beside = pack(bytes - 100).len() - (bytes - 100);
    let packed = pack(bytes - beside);
    assert_eq!(packed.len(), bytes);
    packed
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut coder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    coder.write_all(plain).unwrap();
    coder.finish().unwrap()
}

fn request(coding: &str, body: Body) -> Request<Body> {
    Request::post("/v1/traces")
        .header("content-type", JSON)
        .header("content-encoding", coding)
        .body(body)
        .unwrap()
}

/// In pieces, without a length.
fn chunked(bytes: Vec<u8>) -> Body {
    let pieces: Vec<Bytes> = bytes.chunks(700).map(Bytes::copy_from_slice).collect();
    let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
    Body::from_stream(futures::stream::iter(pieces))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_taken_up_to_its_size_as_sent() {
    let rig = Rig::start_with(|config| config.limits.body_compressed = 4_000).await;
    for (bytes, status) in [(3_999, 200), (4_000, 200), (4_001, 413)] {
        for body in [Body::from(json_of(bytes)), chunked(json_of(bytes))] {
            let reply = rig.send(request("identity", body)).await;
            assert_eq!(reply.status.as_u16(), status, "{bytes}: {:?}", reply.body);
        }
        for body in [Body::from(gzip_of(bytes)), chunked(gzip_of(bytes))] {
            let reply = rig.send(request("gzip", body)).await;
            assert_eq!(
                reply.status.as_u16(),
                status,
                "gzip {bytes}: {:?}",
                reply.body
            );
        }
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_taken_up_to_its_size_once_decompressed() {
    let rig = Rig::start_with(|config| config.limits.body_decompressed = 100_000).await;
    for (bytes, status) in [(99_999, 200), (100_000, 200), (100_001, 413)] {
        let plain = json_of(bytes);
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for (coding, body) in [("deflate", deflated(&plain)), ("zstd", zstd)] {
            let reply = rig.send(request(coding, Body::from(body))).await;
            assert_eq!(reply.status.as_u16(), status, "{coding} {bytes}");
        }
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_taken_up_to_its_size() {
    let rig = Rig::start_with(|config| config.query.statement = 1_000).await;
    // Six times the statement, for escapes, and 4 KiB.
    let most = 6_000 + 4_096;
    for (bytes, status) in [(most - 1, 200), (most, 200), (most + 1, 413)] {
        let mut body = br#"{"sql":"SELECT 1"}"#.to_vec();
        body.resize(bytes, b' ');
        let reply = rig.post("/v1/query", JSON, body).await;
        assert_eq!(reply.status.as_u16(), status, "{bytes}: {:?}", reply.body);
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_rows_and_decoded_size_follow_their_settings() {
    let rig = Rig::start_with(|config| {
        config.limits.json_depth = 20;
        config.limits.rows = 2;
        config.limits.decoded = 10_000;
    })
    .await;
    let nested = |depth: usize| {
        let inside = depth - 1;
        format!(r#"{{"x":{}{}}}"#, "[".repeat(inside), "]".repeat(inside))
    };
    let spans = |count: usize, name: usize| {
        let span = |n: usize| {
            let name = "n".repeat(name);
            format!(r#"{{"traceId":"{n:032x}","spanId":"{n:016x}","name":"{name}"}}"#)
        };
        let spans: Vec<String> = (1..=count).map(span).collect();
        format!(r#"{{"spans":[{}]}}"#, spans.join(","))
    };
    for (body, status) in [
        (nested(19), 200),
        (nested(20), 200),
        (nested(21), 400),
        (spans(1, 1), 200),
        (spans(2, 1), 200),
        (spans(3, 1), 413),
        (spans(1, 9_000), 200),
        (spans(1, 11_000), 413),
    ] {
        let shown = body.get(..40).unwrap_or(&body).to_owned();
        let reply = rig.post("/v1/traces", JSON, body).await;
        assert_eq!(reply.status.as_u16(), status, "{shown}: {:?}", reply.body);
    }
    rig.app.stop().await.unwrap();
}
