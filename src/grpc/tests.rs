//! With tonic's own client, as SDKs in Rust speak.

mod access;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::app::rig::Rig;
use crate::bench::wire::Raw;
use crate::http::rpc_status;
use crate::http::tests::events::claude_code_logs;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

async fn client(rig: &Rig) -> Grpc<Channel> {
    let address = rig.app.addresses().otlp_grpc;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    client
}

async fn call(
    client: &mut Grpc<Channel>,
    path: &'static str,
    body: Bytes,
) -> Result<Bytes, Status> {
    client.ready().await.unwrap();
    let path = http_path(path);
    let answer = client.unary(Request::new(body), path, Raw).await?;
    Ok(answer.into_inner())
}

fn http_path(path: &'static str) -> axum::http::uri::PathAndQuery {
    axum::http::uri::PathAndQuery::from_static(path)
}

/// A request with one span of each id; an empty id cannot be stored.
fn request(ids: &[&[u8]]) -> Bytes {
    let span = |id: &&[u8]| Span {
        trace_id: vec![7; 16],
        span_id: id.to_vec(),
        name: "chat".into(),
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: ids.iter().map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![resource],
    };
    request.encode_to_vec().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_come_in_plain_and_compressed_and_partial_success_is_told() {
    let rig = Rig::start().await;
    let plain = client(&rig).await;
    let gzip = client(&rig)
        .await
        .send_compressed(CompressionEncoding::Gzip);
    let zstd = client(&rig)
        .await
        .send_compressed(CompressionEncoding::Zstd);
    for (number, mut client) in [plain, gzip, zstd].into_iter().enumerate() {
        let id = [u8::try_from(number).unwrap() + 1; 8];
        let answer = call(&mut client, TRACES, request(&[&id])).await.unwrap();
        assert!(answer.is_empty(), "a full success is an empty message");
    }
    let mut client = client(&rig).await;
    let answer = call(&mut client, TRACES, request(&[&[9; 8], b""]))
        .await
        .unwrap();
    let told = ExportTraceServiceResponse::decode(answer)
        .unwrap()
        .partial_success
        .unwrap();
    assert_eq!(told.rejected_spans, 1);
    assert_eq!(rig.sql("SELECT count(*) FROM spans").await[0][0], 4);
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_resource_exhausted_announced_or_grown() {
    let rig = Rig::start_with(|config| {
        config.limits.body_compressed = 64 << 10;
        config.limits.body_decompressed = 64 << 10;
    })
    .await;
    let zeros = Bytes::from(vec![0_u8; 65 << 10]);
    for coding in [
        None,
        Some(CompressionEncoding::Gzip),
        Some(CompressionEncoding::Zstd),
    ] {
        let mut client = client(&rig).await;
        if let Some(coding) = coding {
            client = client.send_compressed(coding);
        }
        let refused = call(&mut client, TRACES, zeros.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        let status = rpc_status::Status::decode(refused.details()).unwrap();
        assert!(
            status.details.is_empty(),
            "no RetryInfo: a retry does not help"
        );
    }
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_unavailable_with_the_wait() {
    let rig = Rig::start().await;
    let node = rig.app.node();
    let held = node
        .intake
        .budget
        .reserve(node.intake.budget.limit())
        .unwrap();
    let mut client = client(&rig).await;
    let refused = call(&mut client, TRACES, request(&[&[1; 8]]))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    let status = rpc_status::Status::decode(refused.details()).unwrap();
    let info = rpc_status::RetryInfo::decode(status.details[0].value.as_slice()).unwrap();
    assert!(info.retry_delay.unwrap().seconds >= 1);
    drop(held);
    call(&mut client, TRACES, request(&[&[1; 8]]))
        .await
        .unwrap();
    rig.app.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_an_invalid_argument_and_an_unknown_call_is_unimplemented() {
    let rig = Rig::start().await;
    let mut client = client(&rig).await;
    let refused = call(&mut client, TRACES, Bytes::from_static(b"\x0a\x50x"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let path = "/grpc.health.v1.Health/Check";
    let refused = call(&mut client, path, Bytes::new()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
    let logs = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    assert!(
        call(&mut client, logs, Bytes::new())
            .await
            .unwrap()
            .is_empty()
    );
    let body = claude_code_logs("over gRPC");
    let told = call(&mut client, logs, body.into()).await.unwrap();
    assert!(!told.is_empty(), "one record of two is not stored");
    let stored = rig.sql("SELECT session_id, is_call FROM log_events").await;
    assert_eq!(stored, [serde_json::json!(["over gRPC", true])]);
    rig.app.stop().await.unwrap();
}

/// A message of that many bytes: an empty request with a field that nobody knows.
fn message_of(bytes: usize) -> Bytes {
    let mut message = vec![0x7a];
    // The length of the field takes three bytes of varint here.
    let length = u32::try_from(bytes - 4).unwrap();
    for shift in [0, 7, 14] {
        let low = u8::try_from(length >> shift & 0x7f).unwrap();
        message.push(if shift < 14 { low | 0x80 } else { low });
    }
    message.resize(bytes, 0);
    message.into()
}

/// Below and at the limit a message is taken; above it the answer is one that clients do not retry.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_taken_up_to_its_size_in_every_coding() {
    const MOST: usize = 100_000;
    let rig = Rig::start_with(|config| config.limits.body_decompressed = 100_000).await;
    for coding in [
        None,
        Some(CompressionEncoding::Gzip),
        Some(CompressionEncoding::Zstd),
    ] {
        for (bytes, taken) in [(MOST - 1, true), (MOST, true), (MOST + 1, false)] {
            let mut client = client(&rig).await;
            if let Some(coding) = coding {
                client = client.send_compressed(coding);
            }
            let answer = call(&mut client, TRACES, message_of(bytes)).await;
            assert_eq!(answer.is_ok(), taken, "{coding:?} {bytes}: {answer:?}");
            if let Err(refused) = answer {
                assert_eq!(refused.code(), Code::ResourceExhausted);
                assert_eq!(refused.metadata().get("retry-after"), None);
                let status = rpc_status::Status::decode(refused.details()).unwrap();
                assert!(status.details.is_empty(), "no RetryInfo");
            }
        }
    }
    rig.app.stop().await.unwrap();
}

/// The same with the sizes as they ship: far beyond what a library would take without being told.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_65_mib_is_resource_exhausted() {
    let rig = Rig::start().await;
    let large = Bytes::from(vec![0_u8; 65 << 20]);
    for coding in [None, Some(CompressionEncoding::Zstd)] {
        let mut client = client(&rig).await;
        if let Some(coding) = coding {
            client = client.send_compressed(coding);
        }
        let refused = call(&mut client, TRACES, large.clone()).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::ResourceExhausted,
            "{coding:?}: {refused}"
        );
    }
    rig.app.stop().await.unwrap();
}
