//! Clients that send bodies as they are, for the bench and the demo.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, BufMut as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tonic::client::Grpc as Unary;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request as Call, Status};

/// The call that exports traces.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What a server said to a body.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It took it, and said this.
    Taken(Bytes),
    /// It did not take it.
    Refused {
        /// How it said so.
        status: String,
        /// It said when to come again.
        hinted: bool,
    },
}

impl Answer {
    /// What the server said, where it took the body.
    ///
    /// # Errors
    ///
    /// Where it did not.
    pub(crate) fn taken(self) -> anyhow::Result<Bytes> {
        match self {
            Self::Taken(body) => Ok(body),
            Self::Refused { status, .. } => Err(anyhow::anyhow!("it was refused: {status}")),
        }
    }
}

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

    /// Posts `body`; gives what came of it.
    ///
    /// # Errors
    ///
    /// Where no answer came.
    pub(crate) async fn post(
        &self,
        url: &str,
        (content_type, coding): (&'static str, Option<&'static str>),
        body: Bytes,
    ) -> anyhow::Result<Answer> {
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
        Ok(if head.status.is_success() {
            Answer::Taken(body)
        } else {
            Answer::Refused {
                status: head.status.to_string(),
                hinted: head.headers.contains_key(RETRY_AFTER),
            }
        })
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

    /// Exports an encoded `ExportTraceServiceRequest`; gives what came of it.
    ///
    /// # Errors
    ///
    /// Where the connection broke.
    pub(crate) async fn export(&mut self, message: Bytes) -> anyhow::Result<Answer> {
        self.unary
            .ready()
            .await
            .context("the gRPC connection broke off")?;
        let path = PathAndQuery::from_static(EXPORT);
        Ok(
            match self.unary.unary(Call::new(message), path, Raw).await {
                Ok(answer) => Answer::Taken(answer.into_inner()),
                Err(status) => Answer::Refused {
                    hinted: !status.details().is_empty(),
                    status: format!("{:?}: {}", status.code(), status.message()),
                },
            },
        )
    }
}

/// Checks that an export's answer refuses nothing.
///
/// # Errors
///
/// Where spans of it were refused.
pub(crate) fn whole(answer: &[u8]) -> anyhow::Result<()> {
    let answer = ExportTraceServiceResponse::decode(answer)?;
    let rejected = answer.partial_success.map_or(0, |p| p.rejected_spans);
    ensure!(
        rejected == 0,
        "the server refused {rejected} spans of a body"
    );
    Ok(())
}

/// Messages that are encoded already.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

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
