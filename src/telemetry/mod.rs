//! Traces of what weir itself does, exported over OTLP where the usual `OTEL_*` variables say so.
//!
//! ```text
//! a request  --> span "POST /v1/traces"  (route, status, bytes, rows, code; never a tenant)
//! a commit   --> span "commit spans"     (sink, dataset, batches, rows)
//! ```
//!
//! # Invariants
//!
//! * Off, which is the default, nothing is made, kept or sent.
//! * An export is never traced, neither here nor in another weir: it carries [`OWN`], and a request
//!   with that header makes no span.
//! * A commit makes a span only where something that is not such an export was accepted since the
//!   last one that did. Otherwise a weir that sends to itself would trace the storing of its own
//!   spans, store that, and never rest.

mod export;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::Response;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Span as _, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use weir_sinks::Part;

use crate::http::refusal::Code;

/// The header of an export of weir's own spans.
pub(crate) const OWN: HeaderName = HeaderName::from_static(OWN_NAME);

/// Its name.
const OWN_NAME: &str = "x-weir-own-traces";

/// What makes spans; clones share it. The default makes none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telemetry(Option<Arc<On>>);

#[derive(Debug)]
struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    /// Requests that are worth a span, so far.
    seen: AtomicU64,
    /// How many of them were there at the last commit that made a span.
    told: AtomicU64,
}

/// The span of a request or a commit, where there is one.
#[derive(Debug)]
pub(crate) struct Work(Option<Span>);

/// How many rows an accepted request brought; a route leaves it with its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows(pub(crate) usize);

/// Starts the export, where the environment asks for it. Needs a running tokio.
///
/// What cannot be used is logged and leaves the export off: a wrong address for traces is no reason
/// to take no data.
pub(crate) fn start() -> Telemetry {
    match export::provider(|name| std::env::var(name).ok()) {
        Ok(None) => Telemetry::default(),
        Ok(Some((provider, endpoint))) => {
            tracing::info!(endpoint, "traces.export.started");
            Telemetry::of(provider)
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "traces.export.off");
            Telemetry::default()
        }
    }
}

impl Telemetry {
    fn of(provider: SdkTracerProvider) -> Self {
        let tracer = provider.tracer("weir");
        Self(Some(Arc::new(On {
            provider,
            tracer,
            propagator: TraceContextPropagator::new(),
            seen: AtomicU64::new(0),
            told: AtomicU64::new(0),
        })))
    }

    /// Begins the span of a request, unless it is an export of weir's own spans or asks after the
    /// process itself.
    pub(crate) fn request(&self, request: &Request) -> Work {
        let Some(on) = &self.0 else {
            return Work(None);
        };
        let headers = request.headers();
        let path = request.extensions().get::<MatchedPath>();
        let route = path.map_or("(none)", MatchedPath::as_str);
        if headers.contains_key(OWN) || matches!(route, "/metrics" | "/livez" | "/readyz") {
            return Work(None);
        }
        on.seen.fetch_add(1, Ordering::Relaxed);
        let parent = on
            .propagator
            .extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let mut attributes = vec![
            KeyValue::new("http.request.method", request.method().to_string()),
            KeyValue::new("http.route", route.to_owned()),
        ];
        attributes.extend(announced(headers).map(|n| KeyValue::new("http.request.body.size", n)));
        let builder = on
            .tracer
            .span_builder(format!("{} {route}", request.method()))
            .with_kind(SpanKind::Server)
            .with_attributes(attributes);
        Work(Some(builder.start_with_context(&on.tracer, &parent)))
    }

    /// Begins the span of a commit of `run` to `sink`, where something else than weir's own spans
    /// may be in it.
    pub(crate) fn commit(&self, sink: &str, run: &[Part]) -> Work {
        let (Some(on), Some(first)) = (&self.0, run.first()) else {
            return Work(None);
        };
        let seen = on.seen.load(Ordering::Relaxed);
        if on.told.swap(seen, Ordering::Relaxed) == seen {
            return Work(None);
        }
        let dataset = first.batch().dataset();
        let rows: usize = run.iter().map(Part::len).sum();
        let builder = on
            .tracer
            .span_builder(format!("commit {dataset}"))
            .with_kind(SpanKind::Client)
            .with_attributes([
                KeyValue::new("weir.sink", sink.to_owned()),
                KeyValue::new("weir.dataset", dataset.name()),
                KeyValue::new("weir.batches", number(run.len())),
                KeyValue::new("weir.rows", number(rows)),
            ]);
        Work(Some(
            builder.start_with_context(&on.tracer, &Context::new()),
        ))
    }

    /// Sends what is still to be sent, for at most the SDK's own few seconds.
    pub(crate) async fn stop(&self) {
        let Some(on) = &self.0 else {
            return;
        };
        let provider = on.provider.clone();
        // What could not be sent was logged by the export itself.
        let _ = tokio::task::spawn_blocking(move || provider.shutdown()).await;
    }
}

impl Work {
    /// Ends the span of a request with what was answered.
    pub(crate) fn answered(self, answer: &Response) {
        let Some(mut span) = self.0 else {
            return;
        };
        let status = answer.status();
        span.set_attribute(KeyValue::new(
            "http.response.status_code",
            i64::from(status.as_u16()),
        ));
        if let Some(Rows(rows)) = answer.extensions().get() {
            span.set_attribute(KeyValue::new("weir.rows", number(*rows)));
        }
        if let Some(Code(code)) = answer.extensions().get() {
            span.set_attribute(KeyValue::new("error.type", *code));
            if status.is_server_error() {
                span.set_status(Status::error(*code));
            }
        }
        span.end();
    }

    /// Ends the span of a commit.
    pub(crate) fn end(self, stored: bool) {
        let Some(mut span) = self.0 else {
            return;
        };
        if !stored {
            span.set_status(Status::error("not stored"));
        }
        span.end();
    }
}

/// The announced length of a body.
fn announced(headers: &HeaderMap) -> Option<i64> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn on() -> Telemetry {
        Telemetry::of(SdkTracerProvider::builder().build())
    }

    fn request(header: Option<HeaderName>) -> Request {
        let mut request = Request::post("/v1/traces").body(Body::empty()).unwrap();
        if let Some(name) = header {
            let value = header::HeaderValue::from_static("1");
            request.headers_mut().insert(name, value);
        }
        request
    }

    #[test]
    fn off_makes_nothing() {
        let off = Telemetry::default();
        assert!(off.request(&request(None)).0.is_none());
        assert!(off.commit("lake", &[]).0.is_none());
    }

    #[test]
    fn an_export_of_own_spans_is_not_traced_and_wakes_no_commit() {
        let telemetry = on();
        assert!(telemetry.request(&request(Some(OWN))).0.is_none());
        let on = telemetry.0.as_ref().unwrap();
        assert_eq!(on.seen.load(Ordering::Relaxed), 0);
        assert!(telemetry.request(&request(None)).0.is_some());
        assert_eq!(on.seen.load(Ordering::Relaxed), 1);
    }
}
