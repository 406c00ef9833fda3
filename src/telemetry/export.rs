//! The exporter, made from the environment as OpenTelemetry names it.
//!
//! The SDK hands spans over on a thread of its own; what sends them needs tokio, so each export is
//! a task of the runtime that the exporter was made on.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::WithTonicConfig as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as Exporter};
use tokio::runtime::Handle;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::telemetry::OWN_NAME;

/// How long one export may take where no variable says so.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What makes spans and exports them, with the endpoint; `None` where nothing asks for it.
///
/// # Errors
///
/// Where the variables ask for something that is not there; nothing is exported then.
pub(super) fn provider(
    get: impl Fn(&str) -> Option<String>,
) -> anyhow::Result<Option<(SdkTracerProvider, String)>> {
    let Some(endpoint) = wanted(&get) else {
        return Ok(None);
    };
    let exporter = if protocol(&get)? == Protocol::Grpc {
        anyhow::ensure!(
            !endpoint.starts_with("https://"),
            "gRPC with TLS is not there; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        );
        let mut own = MetadataMap::new();
        own.insert(OWN_NAME, MetadataValue::from_static("1"));
        let builder = SpanExporter::builder().with_tonic();
        builder.with_metadata(own).build()
    } else {
        let own = HashMap::from([(OWN_NAME.to_owned(), "1".to_owned())]);
        let builder = SpanExporter::builder().with_http();
        let builder = builder.with_protocol(Protocol::HttpBinary);
        let client = Http::new(timeout(&get)).context("the HTTP client")?;
        builder.with_headers(own).with_http_client(client).build()
    };
    let exporter = exporter.context("the OTEL_EXPORTER_OTLP_* variables cannot be used")?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Watched::new(exporter))
        .with_resource(resource(&get))
        .build();
    Ok(Some((provider, endpoint)))
}

/// The endpoint that is asked for, unless the export is switched off.
fn wanted(get: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let text = |name: &str| get(name).filter(|value| !value.trim().is_empty());
    let disabled = text("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let none = text("OTEL_TRACES_EXPORTER").is_some_and(|v| v.trim() == "none");
    let never = text("OTEL_TRACES_SAMPLER").is_some_and(|v| v.trim() == "always_off");
    if disabled || none || never {
        return None;
    }
    text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| text("OTEL_EXPORTER_OTLP_ENDPOINT"))
}

/// `http/protobuf` where nothing is said, as the specification has it.
fn protocol(get: &impl Fn(&str) -> Option<String>) -> anyhow::Result<Protocol> {
    let named = get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL");
    let named = named.or_else(|| get("OTEL_EXPORTER_OTLP_PROTOCOL"));
    match named.as_deref().map(str::trim) {
        None | Some("" | "http/protobuf") => Ok(Protocol::HttpBinary),
        Some("grpc") => Ok(Protocol::Grpc),
        Some(other) => anyhow::bail!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is `{other}`; `http/protobuf` and `grpc` are there"
        ),
    }
}

fn timeout(get: &impl Fn(&str) -> Option<String>) -> Duration {
    let named = get("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT");
    let named = named.or_else(|| get("OTEL_EXPORTER_OTLP_TIMEOUT"));
    let millis = named.and_then(|text| text.trim().parse().ok());
    millis.map_or(TIMEOUT, Duration::from_millis)
}

/// The resource: `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME`, which the SDK reads, and weir
/// where they name no service.
fn resource(get: &impl Fn(&str) -> Option<String>) -> Resource {
    let attributes = get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let named = get("OTEL_SERVICE_NAME").is_some_and(|name| !name.trim().is_empty())
        || attributes.contains("service.name=");
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match named {
        true => builder.build(),
        false => builder.with_service_name("weir").build(),
    }
}

/// Sends requests by the client that the object stores use too.
#[derive(Clone, Debug)]
struct Http(reqwest::Client);

impl Http {
    fn new(timeout: Duration) -> reqwest::Result<Self> {
        reqwest::Client::builder()
            .timeout(timeout)
            .build()
            .map(Self)
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut answer = self.0.execute(request.try_into()?).await?;
        let mut whole = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            if whole.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err("the answer is too long".into());
            }
            whole.extend_from_slice(&piece);
        }
        let mut response = Response::new(Bytes::from(whole));
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}

/// An exporter whose failures are logged: the first, and again once it has worked in between.
#[derive(Debug)]
struct Watched<E> {
    inner: Arc<E>,
    runtime: Handle,
    failing: Arc<AtomicBool>,
}

impl<E: Exporter + 'static> Watched<E> {
    fn new(inner: E) -> Self {
        Self {
            inner: Arc::new(inner),
            runtime: Handle::current(),
            failing: Arc::default(),
        }
    }
}

impl<E: Exporter + 'static> Exporter for Watched<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let (inner, failing) = (Arc::clone(&self.inner), Arc::clone(&self.failing));
        let spans = batch.len();
        let sent = self.runtime.spawn(async move { inner.export(batch).await });
        async move {
            let result = match sent.await {
                Ok(result) => result,
                Err(_) => Err(OTelSdkError::AlreadyShutdown),
            };
            let failed = result.is_err();
            let before = failing.swap(failed, Ordering::Relaxed);
            if let (Err(error), false) = (&result, before) {
                tracing::warn!(spans, %error, "traces.export.failed");
            }
            result
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Asked before the first export, so that nobody else holds it.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        |name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a");
    const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b");

    #[test]
    fn nothing_is_exported_unless_an_endpoint_says_where() {
        assert_eq!(wanted(&from(&[])), None);
        assert_eq!(wanted(&from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")])), None);
        assert_eq!(wanted(&from(&[GENERAL])).as_deref(), Some("http://a"));
        let both = from(&[GENERAL, TRACES]);
        assert_eq!(wanted(&both).as_deref(), Some("http://b"));
        for off in [
            from(&[GENERAL, ("OTEL_SDK_DISABLED", "TRUE")]),
            from(&[GENERAL, ("OTEL_TRACES_EXPORTER", "none")]),
            from(&[GENERAL, ("OTEL_TRACES_SAMPLER", "always_off")]),
        ] {
            assert_eq!(wanted(&off), None);
        }
    }

    #[test]
    fn the_protocol_is_http_unless_grpc_is_asked_for() {
        const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        const OWN: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
        const JSON: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        assert_eq!(protocol(&from(&[])).unwrap(), Protocol::HttpBinary);
        assert_eq!(protocol(&from(&[GRPC])).unwrap(), Protocol::Grpc);
        assert_eq!(protocol(&from(&[GRPC, OWN])).unwrap(), Protocol::HttpBinary);
        assert!(protocol(&from(&[JSON])).is_err());
    }

    #[test]
    fn a_service_is_named_weir_unless_it_is_named() {
        let name = |resource: &Resource| {
            let key = opentelemetry::Key::from_static_str("service.name");
            resource.get(&key).map(|value| value.to_string())
        };
        assert_eq!(name(&resource(&from(&[]))).as_deref(), Some("weir"));
    }
}
