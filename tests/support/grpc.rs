//! A gRPC client for the one call that matters here.

use std::marker::PhantomData;
use std::net::SocketAddr;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

/// Protobuf messages as prost knows them.
#[derive(Debug)]
struct Protobuf<E, D>(PhantomData<(E, D)>);

impl<E: Message + 'static, D: Message + Default + 'static> Codec for Protobuf<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<E: Message, D> Encoder for Protobuf<E, D> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(into)
            .map_err(|fault| Status::internal(fault.to_string()))
    }
}

impl<E, D: Message + Default> Decoder for Protobuf<E, D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(from)
            .map(Some)
            .map_err(|fault| Status::internal(fault.to_string()))
    }
}

/// Calls `TraceService/Export`, compressed where `coding` says so.
pub(crate) fn export(
    address: SocketAddr,
    request: ExportTraceServiceRequest,
    coding: Option<CompressionEncoding>,
) -> Result<ExportTraceServiceResponse, Status> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let mut client = Grpc::new(endpoint.connect().await.unwrap());
        if let Some(coding) = coding {
            client = client.send_compressed(coding).accept_compressed(coding);
        }
        client.ready().await.unwrap();
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let codec: Protobuf<ExportTraceServiceRequest, _> = Protobuf(PhantomData);
        let path = PathAndQuery::from_static(path);
        let answer = client.unary(Request::new(request), path, codec).await?;
        Ok(answer.into_inner())
    })
}
