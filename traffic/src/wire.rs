//! Traces into requests: split, late, out of order, and some of it twice.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;

use crate::dialect;
use crate::draft::Draft;
use crate::random::Stream;
use crate::tenant::Service;

/// In how many turns the spans of a window arrive.
const ROUNDS: usize = 8;

/// Spans of a request are at most so many bytes, by their own estimate.
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// Whole requests that are sent again, as after an answer that was lost.
const RESENT: f64 = 0.005;

/// Spans that also come in another request.
const COPIED: f64 = 0.005;

/// Of so many spans one has attributes whose names no other has.
const JUNK_EVERY: u64 = 50;

/// A span on its way.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    service: usize,
    scope: (&'static str, &'static str),
    span: Span,
    bytes: usize,
}

/// A trace's spans in the turns in which they arrive.
#[derive(Debug)]
pub(crate) struct Schedule {
    rounds: Vec<Vec<Parcel>>,
    /// Spans, copies not counted.
    pub(crate) spans: u64,
}

impl Schedule {
    pub(crate) fn new() -> Self {
        Self {
            rounds: (0..ROUNDS).map(|_| Vec::new()).collect(),
            spans: 0,
        }
    }

    /// Adds a trace: in one request's worth or in several, parents mostly after their children,
    /// sometimes long after.
    pub(crate) fn add(
        &mut self,
        drafts: &[Draft],
        trace: u128,
        (place, service): (usize, &Service),
        stream: &mut Stream,
    ) {
        let mut sent: Vec<&Draft> = drafts.iter().filter(|draft| !draft.lost).collect();
        if stream.chance(0.9) {
            sent.sort_by_key(|draft| draft.end);
        }
        let pieces = if stream.chance(0.5) {
            stream.between(2, 6)
        } else {
            1
        };
        let late_parents = stream.chance(0.1);
        let first = stream.below(ROUNDS);
        let total = sent.len();
        let pieces = usize::try_from(pieces).unwrap_or(1);
        for (at, draft) in sent.into_iter().enumerate() {
            let piece = at * pieces / total.max(1);
            let is_parent = draft.what.has_below();
            let round = if late_parents && is_parent {
                ROUNDS - 1
            } else {
                (first + piece * stream.below(3)).min(ROUNDS - 1)
            };
            let parcel = parcel(draft, trace, place, service);
            self.spans += 1;
            if stream.chance(COPIED) {
                let later = stream.below(ROUNDS);
                self.put(later, parcel.clone());
            }
            self.put(round, parcel);
        }
    }

    fn put(&mut self, round: usize, parcel: Parcel) {
        if let Some(round) = self.rounds.get_mut(round) {
            round.push(parcel);
        }
    }

    /// Packs all into requests of many sizes.
    pub(crate) fn pack(self, services: &[Service], stream: &mut Stream) -> Vec<Packed> {
        let mut requests = Vec::new();
        for mut parcels in self.rounds {
            // Spans of several traces mix, as in a collector.
            for at in (1..parcels.len()).rev() {
                if stream.chance(0.3) {
                    parcels.swap(at, stream.below(at + 1));
                }
            }
            while !parcels.is_empty() {
                let taken = take(&mut parcels, stream);
                let packed = request(taken, services);
                if stream.chance(RESENT) {
                    requests.push(packed.clone());
                }
                requests.push(packed);
            }
        }
        requests
    }
}

/// A request before it is encoded.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) body: ExportTraceServiceRequest,
    pub(crate) spans: u64,
}

/// Takes as many as an exporter would send at once.
fn take(parcels: &mut Vec<Parcel>, stream: &mut Stream) -> Vec<Parcel> {
    let wanted = match stream.weighted(&[0.25, 0.45, 0.2, 0.1]) {
        0 => 1,
        1 => 2 + stream.below(49),
        2 => 51 + stream.below(461),
        _ => 512,
    };
    let mut bytes = 0;
    let fitting = parcels.iter().rev().take(wanted).take_while(|parcel| {
        bytes += parcel.bytes;
        bytes <= REQUEST_BYTES_MAX
    });
    let count = fitting.count().max(1);
    parcels.split_off(parcels.len() - count)
}

fn request(parcels: Vec<Parcel>, services: &[Service]) -> Packed {
    let spans = u64::try_from(parcels.len()).unwrap_or_default();
    let mut by_service: BTreeMap<usize, BTreeMap<(&str, &str), Vec<Span>>> = BTreeMap::new();
    for parcel in parcels {
        let scopes = by_service.entry(parcel.service).or_default();
        scopes.entry(parcel.scope).or_default().push(parcel.span);
    }
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    for (place, scopes) in by_service {
        let Some(service) = services.get(place) else {
            continue;
        };
        let scope_spans = scopes
            .into_iter()
            .map(|((name, version), spans)| ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    ..InstrumentationScope::default()
                }),
                spans,
                ..ScopeSpans::default()
            });
        resource_spans.push(ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: scope_spans.collect(),
            ..ResourceSpans::default()
        });
    }
    Packed {
        body: ExportTraceServiceRequest { resource_spans },
        spans,
    }
}

fn parcel(draft: &Draft, trace: u128, place: usize, service: &Service) -> Parcel {
    let mut words = dialect::words(draft, service);
    if draft.span % JUNK_EVERY == 0 {
        words.junk(draft.span);
    }
    let span = Span {
        trace_id: trace.to_be_bytes().to_vec(),
        span_id: draft.span.to_be_bytes().to_vec(),
        parent_span_id: draft
            .parent
            .map_or_else(Vec::new, |id| id.to_be_bytes().to_vec()),
        name: words.name,
        kind: words.kind,
        start_time_unix_nano: draft.start,
        end_time_unix_nano: draft.end,
        attributes: words.attributes,
        flags: 256,
        status: Some(Status {
            code: if draft.error.is_some() { 2 } else { 0 },
            ..Status::default()
        }),
        ..Span::default()
    };
    Parcel {
        service: place,
        scope: dialect::scope(draft, service),
        bytes: span.encoded_len(),
        span,
    }
}

fn resource(service: &Service) -> Resource {
    let text = |key: &str, value: &str| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    };
    let mut attributes = vec![
        text("service.name", &service.name),
        text("service.version", "4.12.1"),
        text("deployment.environment.name", service.environment),
        text("host.name", "node-17.eu-central"),
        text("k8s.pod.name", "agents-7d9f8b6c5-x2x9k"),
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.37.0"),
    ];
    attributes.extend(
        service
            .skill
            .as_deref()
            .map(|skill| text("skill.name", skill)),
    );
    attributes.extend(
        service
            .cost_center
            .as_deref()
            .map(|center| text("cost_center", center)),
    );
    Resource {
        attributes,
        ..Resource::default()
    }
}
