//! Sends the demo's traffic over real sockets.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tonic::codec::CompressionEncoding;

use super::traffic::{Piece, Way};
use crate::app::Addresses;
use crate::bench::wire::{Grpc, Http, whole};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// How a body was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    /// From the first byte sent to the answer, which comes after the fsync.
    pub(super) after: Duration,
}

/// The senders.
#[derive(Debug)]
pub(super) struct Replay {
    to: Addresses,
    http: Http,
    plain: Grpc,
    gzip: Grpc,
}

impl Replay {
    /// Connects to the server.
    ///
    /// # Errors
    ///
    /// Where nobody listens there.
    pub(super) async fn connect(to: Addresses) -> anyhow::Result<Self> {
        Ok(Self {
            to,
            http: Http::new(),
            plain: Grpc::connect(to.otlp_grpc, None).await?,
            gzip: Grpc::connect(to.otlp_grpc, Some(CompressionEncoding::Gzip)).await?,
        })
    }

    /// Sends `piece` and waits for its answer.
    ///
    /// # Errors
    ///
    /// Where it was refused, in whole or in part: the demo's traffic is sound.
    pub(super) async fn send(&mut self, piece: &Piece) -> anyhow::Result<Taken> {
        let start = Instant::now();
        let sent = match piece.way {
            Way::Grpc => whole(&self.plain.export(piece.body.clone()).await?.taken()?),
            Way::GrpcGzip => whole(&self.gzip.export(piece.body.clone()).await?.taken()?),
            Way::Protobuf | Way::ProtobufGzip | Way::Json | Way::Audit | Way::Ocsf => {
                self.post(piece).await
            }
        };
        sent.with_context(|| format!("{} by {}", piece.sender, piece.way.label()))?;
        Ok(Taken {
            after: start.elapsed(),
        })
    }

    async fn post(&self, piece: &Piece) -> anyhow::Result<()> {
        let traces = format!("http://{}/v1/traces", self.to.otlp_http);
        let (url, kind) = match piece.way {
            Way::Protobuf => (traces, (PROTOBUF, None)),
            Way::ProtobufGzip => (traces, (PROTOBUF, Some("gzip"))),
            Way::Audit => (
                format!("http://{}/v1/proxy/audit", self.to.http),
                (JSON, None),
            ),
            Way::Ocsf => {
                let url = format!("http://{}/v1/ocsf/ingest", self.to.http);
                (url, ("application/x-ndjson", None))
            }
            Way::Json | Way::Grpc | Way::GrpcGzip => (traces, (JSON, None)),
        };
        let answer = self.http.post(&url, kind, piece.body.clone()).await?;
        let answer = answer.taken()?;
        match piece.way {
            Way::Protobuf | Way::ProtobufGzip => whole(&answer),
            Way::Json | Way::Audit | Way::Ocsf | Way::Grpc | Way::GrpcGzip => {
                let answer: Value = serde_json::from_slice(&answer)?;
                let rejected = answer.pointer("/partialSuccess/rejectedSpans");
                let none = rejected.is_none_or(|n| n.as_str() == Some("0") || n == 0);
                ensure!(none, "a part of it was refused");
                Ok(())
            }
        }
    }
}
