//! Clients that send bodies as they are, for the bench and the demo.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::{Buf as _, BufMut as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tonic::client::Grpc as Unary;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request as Call, Status};

/// The call that exports traces.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// One HTTP connection, kept open.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Http {
    /// A client without a connection yet.
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Self { pool }
    }

    /// Posts `body`; gives the status and the answer.
    ///
    /// # Errors
    ///
    /// Where no answer came.
    pub(crate) async fn post(
        &self,
        url: &str,
        (content_type, coding): (&'static str, Option<&'static str>),
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::post(url).header(CONTENT_TYPE, content_type);
        if let Some(coding) = coding {
            request = request.header(CONTENT_ENCODING, coding);
        }
        let request = request.body(Full::new(body))?;
        let response = self.pool.request(request).await;
        let (head, body) = response
            .with_context(|| format!("no answer from {url}"))?
            .into_parts();
        let body = body
            .collect()
            .await
            .context("the answer broke off")?
            .to_bytes();
        Ok((head.status, body))
    }
}

/// One gRPC connection.
#[derive(Clone, Debug)]
pub(crate) struct Grpc {
    unary: Unary<Channel>,
}

impl Grpc {
    /// Connects to `address`; messages are compressed by `coding`.
    ///
    /// # Errors
    ///
    /// Where nobody listens there.
    pub(crate) async fn connect(
        address: SocketAddr,
        coding: Option<CompressionEncoding>,
    ) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let channel = endpoint.connect().await;
        let channel = channel.with_context(|| format!("no gRPC server at {address}"))?;
        let mut unary = Unary::new(channel);
        if let Some(coding) = coding {
            unary = unary.send_compressed(coding).accept_compressed(coding);
        }
        Ok(Self { unary })
    }

    /// Exports an encoded `ExportTraceServiceRequest`; gives the encoded answer.
    ///
    /// # Errors
    ///
    /// Where the server refuses it or does not answer.
    pub(crate) async fn export(&mut self, message: Bytes) -> anyhow::Result<Bytes> {
        self.unary
            .ready()
            .await
            .context("the gRPC connection broke off")?;
        let path = PathAndQuery::from_static(EXPORT);
        let answer = self.unary.unary(Call::new(message), path, Raw).await?;
        Ok(answer.into_inner())
    }
}

/// Messages that are encoded already.
#[derive(Clone, Copy, Debug)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
