//! What the demo replays: bodies as real SDKs and gateways sent them, byte for byte.
//!
//! Their times are those of the capture. Where that is more than 30 days ago, the rows lie under
//! the day on which the demo ran, as all late rows do.

use bytes::Bytes;

/// The way a body takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// OTLP over HTTP, as protobuf.
    Protobuf,
    /// The same, compressed.
    ProtobufGzip,
    /// OTLP over HTTP, as JSON.
    Json,
    /// OTLP over gRPC.
    Grpc,
    /// The same, compressed.
    GrpcGzip,
    /// `POST /v1/proxy/audit`.
    Audit,
    /// `POST /v1/ocsf/ingest`.
    Ocsf,
}

impl Way {
    /// What the demo calls it.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Protobuf => "OTLP/HTTP protobuf",
            Self::ProtobufGzip => "OTLP/HTTP protobuf, gzip",
            Self::Json => "OTLP/HTTP JSON",
            Self::Grpc => "OTLP/gRPC",
            Self::GrpcGzip => "OTLP/gRPC, gzip",
            Self::Audit => "POST /v1/proxy/audit",
            Self::Ocsf => "POST /v1/ocsf/ingest",
        }
    }
}

/// A body and who sent it.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The SDK or product.
    pub(super) sender: &'static str,
    /// The way it takes.
    pub(super) way: Way,
    /// The body; for a compressed way over HTTP as compressed.
    pub(super) body: Bytes,
}

macro_rules! piece {
    ($way:ident, $file:literal, $sender:literal) => {
        Piece {
            sender: $sender,
            way: Way::$way,
            body: Bytes::from_static(include_bytes!(concat!("../../testdata/demo/", $file))),
        }
    };
}

/// All bodies, in the order in which they are sent.
pub(super) fn pieces() -> Vec<Piece> {
    vec![
        piece!(
            ProtobufGzip,
            "01_openai_v2_content_span.pb.gz",
            "OpenTelemetry for OpenAI"
        ),
        piece!(
            Json,
            "02_openai_v2_content_both.json",
            "OpenTelemetry for OpenAI"
        ),
        piece!(
            Grpc,
            "04_pydantic_ai_plus_anthropic_sdk.pb",
            "Pydantic AI, Anthropic SDK"
        ),
        piece!(
            Protobuf,
            "06_openinference_openai_anthropic.pb",
            "OpenInference"
        ),
        piece!(
            GrpcGzip,
            "07_openinference_langgraph.pb",
            "OpenInference, LangGraph"
        ),
        piece!(
            Json,
            "08_openllmetry_openai_anthropic.canonical.json",
            "OpenLLMetry"
        ),
        piece!(Grpc, "10_mcp_python_sdk2_native.pb", "MCP Python SDK"),
        piece!(Json, "13_vercel_ai_sdk7.canonical.json", "Vercel AI SDK"),
        piece!(
            Protobuf,
            "15_strands_agent_skills.pb",
            "Strands, agent skills"
        ),
        piece!(Grpc, "16_litellm_otel.pb", "LiteLLM"),
        piece!(
            ProtobufGzip,
            "18_semconv_genai_latest_skills_mcp.pb.gz",
            "GenAI conventions, skills"
        ),
        piece!(Audit, "proxy_audit_gateway.json", "MCP gateway"),
        piece!(Audit, "proxy_audit_laptop.json", "MCP proxy on a laptop"),
        piece!(Ocsf, "ocsf_events.ndjson", "security events"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_taken() {
        let pieces = pieces();
        for way in [
            Way::Protobuf,
            Way::ProtobufGzip,
            Way::Json,
            Way::Grpc,
            Way::GrpcGzip,
            Way::Audit,
            Way::Ocsf,
        ] {
            assert!(pieces.iter().any(|p| p.way == way), "{way:?}");
        }
        assert!(pieces.iter().all(|p| !p.body.is_empty()));
    }
}
