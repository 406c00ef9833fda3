//! Requests through each door, and what must be true of every refusal that comes back.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use base64::Engine as _;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tower::ServiceExt as _;

use crate::app::rig::Rig;
use crate::http::contract::{Door, ROWS, Retry, Row};
use crate::http::rpc_status::{RetryInfo, Status};

/// Every door that takes a body.
pub(super) const SENDING: [Door; 6] = [
    Door::Otlp,
    Door::Grpc,
    Door::Audit,
    Door::Ocsf,
    Door::Events,
    Door::Query,
];

/// Every door that stores.
pub(super) const STORING: [Door; 5] = [
    Door::Otlp,
    Door::Grpc,
    Door::Audit,
    Door::Ocsf,
    Door::Events,
];

/// Stands in bodies for what no answer may repeat.
pub(super) const MARK: &str = "SECRET-prompt-7f3a";

impl Door {
    /// A path of it.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Otlp => "/v1/traces",
            Self::Grpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Audit => "/v1/proxy/audit",
            Self::Ocsf => "/v1/ocsf/ingest",
            Self::Events => "/api/v1/telemetry/events:batch",
            Self::Query => "/v1/query",
            Self::Other => "/v1/status",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Otlp => "application/x-protobuf",
            Self::Grpc => "application/grpc",
            Self::Audit | Self::Ocsf | Self::Events | Self::Query | Self::Other => {
                "application/json"
            }
        }
    }
}

/// A request.
pub(super) struct Ask {
    door: Door,
    request: Request<Body>,
}

impl Ask {
    /// A POST of `body` to the door's own path.
    pub(super) fn new(door: Door, body: impl Into<Body>) -> Self {
        Self::post(door, door.path(), body)
    }

    pub(super) fn post(door: Door, path: &str, body: impl Into<Body>) -> Self {
        let request = Request::post(path).header("content-type", door.content_type());
        let request = request.body(body.into()).unwrap();
        Self { door, request }
    }

    pub(super) fn get(door: Door, path: &str) -> Self {
        let request = Request::get(path).body(Body::empty()).unwrap();
        Self { door, request }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        let headers = self.request.headers_mut();
        headers.insert(name, value.parse().unwrap());
        self
    }

    pub(super) fn typed(self, kind: &str) -> Self {
        self.with("content-type", kind)
    }

    /// Says that the body is coded so.
    pub(super) fn coded(self, coding: &str) -> Self {
        let header = if self.door == Door::Grpc {
            "grpc-encoding"
        } else {
            "content-encoding"
        };
        self.with(header, coding)
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) door: Door,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    json: bool,
}

/// The way to a node: real sockets, HTTP/1.1 and, for gRPC, HTTP/2.
pub(super) struct Over<'a> {
    rig: &'a Rig,
    plain: Client<HttpConnector, Body>,
    two: Client<HttpConnector, Body>,
}

impl<'a> Over<'a> {
    pub(super) fn new(rig: &'a Rig) -> Self {
        let builder = || Client::builder(TokioExecutor::new());
        Self {
            rig,
            plain: builder().build_http(),
            two: builder().http2_only(true).build_http(),
        }
    }

    /// Sends it over a socket.
    pub(super) async fn send(&self, ask: Ask) -> Seen {
        let Ask { door, mut request } = ask;
        let json = is_json(&request);
        let addresses = self.rig.app.addresses();
        let grpc = request.headers().get("content-type");
        let grpc = grpc.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let (client, address) = match grpc {
            true => (&self.two, addresses.otlp_grpc),
            false => (&self.plain, addresses.http),
        };
        let path = request.uri().path().to_owned();
        // `POST /` means OTLP on the port of OTLP.
        let address = if path == "/" {
            addresses.otlp_http
        } else {
            address
        };
        let asked = request.uri().query().map(|query| format!("?{query}"));
        let asked = asked.unwrap_or_default();
        *request.uri_mut() = format!("http://{address}{path}{asked}").parse().unwrap();
        let response = client.request(request).await.unwrap();
        Seen::read(door, json, response).await
    }

    /// Hands it to the routes without a socket.
    pub(super) async fn hand(&self, ask: Ask) -> Seen {
        let Ask { door, request } = ask;
        let json = is_json(&request);
        let response = self.rig.api().oneshot(request).await.unwrap();
        Seen::read(door, json, response).await
    }
}

/// Whether an OTLP answer is in JSON: as the request, and for what says nothing.
fn is_json(request: &Request<Body>) -> bool {
    let kind = request.headers().get("content-type");
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    request.method() != Method::POST || kind != "application/x-protobuf"
}

impl Seen {
    async fn read<B>(door: Door, json: bool, response: Response<B>) -> Self
    where
        B: hyper::body::Body<Error: std::fmt::Debug>,
    {
        let (head, body) = response.into_parts();
        Self {
            door,
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
            json,
        }
    }

    pub(super) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn code(&self) -> &str {
        self.header("x-weir-error")
    }

    pub(super) fn succeeded(&self) {
        assert!(
            self.status.is_success() && self.code().is_empty(),
            "{self:?}"
        );
    }

    /// Checks status, headers and body, and gives the row that they are of.
    pub(super) fn hold_to_the_contract(&self) -> &'static Row {
        let fits = |row: &&Row| row.code == self.code() && row.doors.contains(&self.door);
        let row = ROWS.iter().find(fits);
        let row = row.unwrap_or_else(|| panic!("no row for {self:?}"));
        assert!(!self.header("x-request-id").is_empty(), "{self:?}");
        let told = match self.door {
            Door::Grpc => self.grpc(row),
            Door::Otlp => self.otlp(row),
            Door::Audit | Door::Ocsf | Door::Events | Door::Query | Door::Other => {
                self.problem(row)
            }
        };
        let whole = [self.body.as_ref(), told.as_bytes()].concat();
        assert!(
            !String::from_utf8_lossy(&whole).contains(MARK),
            "it quotes: {self:?}"
        );
        let wait = self.header("retry-after").parse::<u64>().ok();
        let waits = self.door == Door::Grpc || (wait >= Some(1)) == (row.retry == Retry::After);
        assert!(waits, "{self:?}");
        row
    }

    fn problem(&self, row: &Row) -> String {
        assert_eq!(self.status(), row.status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body["status"], row.status);
        assert_eq!(body["code"], row.code);
        assert_eq!(body["request_id"], self.header("x-request-id"));
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(!detail.is_empty(), "{body}");
        detail.to_owned()
    }

    fn otlp(&self, row: &Row) -> String {
        assert_eq!(self.status(), row.status, "{self:?}");
        if self.json {
            assert_eq!(self.header("content-type"), "application/json");
            let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
            assert_eq!(body["code"], rpc_code(row), "{body}");
            assert_eq!(body["message"], body["detail"], "{body}");
            let waits = body["details"][0]["retryDelay"].is_string();
            assert_eq!(waits, row.retry == Retry::After, "{body}");
            return body["detail"].as_str().unwrap().to_owned();
        }
        assert_eq!(self.header("content-type"), "application/x-protobuf");
        self.status_message(row, &self.body)
    }

    fn grpc(&self, row: &Row) -> String {
        let http = if row.code == "not_grpc" { 415 } else { 200 };
        assert_eq!(self.status(), http, "{self:?}");
        assert_eq!(self.header("content-type"), "application/grpc");
        assert_eq!(self.header("grpc-status"), rpc_code(row).to_string());
        assert!(!self.header("grpc-message").is_empty(), "{self:?}");
        let details = self.header("grpc-status-details-bin");
        let details = base64::engine::general_purpose::STANDARD_NO_PAD.decode(details);
        self.status_message(row, &details.unwrap())
    }

    fn status_message(&self, row: &Row, bytes: &[u8]) -> String {
        let status = Status::decode(bytes).unwrap();
        assert_eq!(status.code, rpc_code(row), "{self:?}");
        assert!(!status.message.is_empty(), "{self:?}");
        let wait = status.details.first().map(|any| {
            let info = RetryInfo::decode(any.value.as_slice()).unwrap();
            info.retry_delay.unwrap().seconds
        });
        assert_eq!(
            wait.is_some_and(|s| s >= 1),
            row.retry == Retry::After,
            "{self:?}"
        );
        status.message
    }
}

fn rpc_code(row: &Row) -> i32 {
    let codes = crate::http::refusal::RPC_CODES;
    codes
        .iter()
        .find(|(status, _, _)| *status == row.status)
        .unwrap()
        .1
}

/// A gRPC message that is not compressed.
pub(super) fn frame(message: &[u8]) -> Bytes {
    flagged(0, message)
}

fn flagged(flag: u8, message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [[flag].as_slice(), &length, message].concat().into()
}

/// `body` as the door carries it.
pub(super) fn framed(door: Door, body: Vec<u8>) -> Bytes {
    if door == Door::Grpc {
        return frame(&body);
    }
    body.into()
}

/// `body` as the door carries what is compressed.
pub(super) fn compressed(door: Door, body: &[u8]) -> Bytes {
    if door == Door::Grpc {
        return flagged(1, body);
    }
    Bytes::copy_from_slice(body)
}

/// A body that the door takes.
pub(super) fn good(door: Door) -> Bytes {
    match door {
        Door::Otlp | Door::Grpc => framed(door, spans(1)),
        Door::Audit => Bytes::from_static(b"{\"alerts\":[{\"type\":\"x\"}]}"),
        Door::Ocsf => Bytes::from_static(b"{\"class_uid\":2004,\"time\":1763719200000}"),
        Door::Events => Bytes::from_static(b"{\"events\":[{\"skill_id\":\"pdf\"}]}"),
        Door::Query | Door::Other => Bytes::from_static(b"{\"sql\":\"SELECT 1\"}"),
    }
}

/// A request with so many records.
pub(super) fn rows(door: Door, count: usize) -> Ask {
    let repeated = |one: &str| vec![one; count].join(",");
    let body: Bytes = match door {
        Door::Otlp | Door::Grpc => framed(door, spans(count)),
        Door::Audit => format!("{{\"alerts\":[{}]}}", repeated("{\"type\":\"x\"}")).into(),
        Door::Ocsf => format!(
            "[{}]",
            repeated("{\"class_uid\":2004,\"time\":1763719200000}")
        )
        .into(),
        Door::Events => format!("[{}]", repeated("{\"skill_id\":\"pdf\"}")).into(),
        Door::Query | Door::Other => unreachable!("{door:?} stores nothing"),
    };
    Ask::new(door, body)
}

fn spans(count: usize) -> Vec<u8> {
    let span = |n: usize| Span {
        trace_id: vec![7; 16],
        span_id: (n as u64 + 1).to_be_bytes().to_vec(),
        name: MARK.to_owned(),
        ..Span::default()
    };
    request((0..count).map(span).collect()).encode_to_vec()
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = ScopeSpans {
        spans,
        ..ScopeSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        }],
    }
}

/// One span whose name has these bytes, which need not be text.
pub(super) fn span_named(name: &[u8]) -> Vec<u8> {
    let place = "?".repeat(name.len());
    let span = Span {
        trace_id: vec![7; 16],
        span_id: vec![1; 8],
        name: place.clone(),
        ..Span::default()
    };
    let mut bytes = request(vec![span]).encode_to_vec();
    let at = bytes
        .windows(name.len())
        .position(|w| w == place.as_bytes())
        .unwrap();
    bytes[at..at + name.len()].copy_from_slice(name);
    bytes
}

/// One span with an attribute of arrays in arrays.
pub(super) fn nested_protobuf(depth: usize) -> Vec<u8> {
    let wrap = |tag: u8, inner: &[u8]| {
        let mut out = vec![tag << 3 | 2];
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.extend_from_slice(inner);
        out
    };
    let mut value = wrap(1, b"x");
    for _ in 0..depth {
        // AnyValue.array_value = 5, ArrayValue.values = 1.
        value = wrap(5, &wrap(1, &value));
    }
    let attribute = [wrap(1, b"k"), wrap(2, &value)].concat();
    let ids = [wrap(1, &[7; 16]), wrap(2, &[1; 8])].concat();
    let span = [ids, wrap(9, &attribute)].concat();
    wrap(1, &wrap(2, &wrap(2, &span)))
}

/// `begin`, then so many arrays in one another; closed as far as `begin` opened.
pub(super) fn nested_json(begin: &str, depth: usize) -> String {
    let mut text = format!("{begin}{}{}", "[".repeat(depth), "]".repeat(depth));
    for letter in begin.chars().rev() {
        match letter {
            '{' => text.push('}'),
            '[' => text.push(']'),
            _ => {}
        }
    }
    text
}
