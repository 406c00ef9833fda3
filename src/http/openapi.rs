//! `GET /v1/openapi.json` and `GET /docs`: what this server takes and answers, from one table.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::http::contract::{Door, ROWS, Retry, Row};
use crate::http::ocsf::success;

/// A route, as whoever calls it must know it.
#[derive(Clone, Copy, Debug)]
struct Route {
    method: &'static str,
    path: &'static str,
    /// What it does, in a sentence without a full stop.
    summary: &'static str,
    /// The media types that it takes; none where it has no body.
    takes: &'static [&'static str],
    /// The status of success.
    status: u16,
    /// The media types that it answers with.
    gives: &'static [&'static str],
    /// What its refusals look like.
    door: Door,
    /// Whether it wants a key once there is one.
    key: bool,
}

const OTLP: &[&str] = &["application/x-protobuf", "application/json"];
const JSON: &[&str] = &["application/json"];
const EVENTS: &[&str] = &["application/json", "application/x-ndjson"];
const ROWS_OF_QUERY: &[&str] = &[
    "application/json",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
];

const fn get(path: &'static str, summary: &'static str) -> Route {
    Route {
        method: "get",
        path,
        summary,
        takes: &[],
        status: 200,
        gives: JSON,
        door: Door::Other,
        key: false,
    }
}

const fn otlp(path: &'static str, summary: &'static str) -> Route {
    Route {
        method: "post",
        takes: OTLP,
        gives: OTLP,
        door: Door::Otlp,
        key: true,
        ..get(path, summary)
    }
}

/// A question about a tenant's own.
const fn asked(path: &'static str, summary: &'static str) -> Route {
    Route {
        door: Door::Query,
        key: true,
        ..get(path, summary)
    }
}

/// A change of what a tenant's administrator sets.
const fn set(method: &'static str, path: &'static str, summary: &'static str) -> Route {
    let change = asked(path, summary);
    match method.as_bytes() {
        b"put" => Route {
            method,
            takes: JSON,
            ..change
        },
        _ => Route { method, ..change },
    }
}

/// Every route of HTTP. The gRPC calls, which are no HTTP API, stand in [`CALLS`].
static ROUTES: &[Route] = &[
    otlp("/v1/traces", "Take OTLP traces"),
    otlp(
        "/api/public/otel/v1/traces",
        "The same, where Langfuse's SDKs post to",
    ),
    otlp(
        "/v1/logs",
        "Take OTLP log records that tell of calls of models; count the others",
    ),
    otlp(
        "/v1/metrics",
        "Count OTLP metric points; they are not stored",
    ),
    Route {
        method: "post",
        takes: JSON,
        door: Door::Audit,
        key: true,
        ..get(
            "/v1/proxy/audit",
            "Take audit events of an agent proxy or gateway",
        )
    },
    Route {
        method: "post",
        takes: EVENTS,
        status: 202,
        door: Door::Ocsf,
        key: true,
        ..get("/v1/ocsf/ingest", "Take OCSF security events")
    },
    Route {
        method: "post",
        takes: JSON,
        status: 201,
        door: Door::Events,
        key: true,
        ..get(
            "/api/v1/telemetry/events",
            "Take a telemetry event that carries its own cost",
        )
    },
    Route {
        method: "post",
        takes: JSON,
        status: 201,
        door: Door::Events,
        key: true,
        ..get(
            "/api/v1/telemetry/events:batch",
            "Take at most 1,000 telemetry events",
        )
    },
    Route {
        method: "post",
        takes: &["application/json", "application/sql", "text/plain"],
        gives: ROWS_OF_QUERY,
        door: Door::Query,
        key: true,
        ..get("/v1/query", "Answer SQL over the caller's rows")
    },
    Route {
        gives: ROWS_OF_QUERY,
        door: Door::Query,
        key: true,
        ..get(
            "/v1/rollups/cost-per-skill",
            "Sum up cost, calls, tokens and latency by skill, or by what `by` names",
        )
    },
    asked(
        "/v1/observability/costs",
        "The same by agent, model, provider, cost centre and owner, as the senders' product has it",
    ),
    asked(
        "/v1/observability/costs/forecast",
        "What the month will cost at the rate of the last 24 hours",
    ),
    asked(
        "/v1/observability/costs/budget",
        "List the budgets that hold, and how they stand",
    ),
    set(
        "put",
        "/v1/observability/costs/budget",
        "Set a budget, in the place of the one for the same thing",
    ),
    set(
        "delete",
        "/v1/observability/costs/budget",
        "Drop the budget that the query string names",
    ),
    asked(
        "/v1/reconciliations",
        "List the periods that were held against a provider's bill",
    ),
    set(
        "put",
        "/v1/reconciliations",
        "Mark a period as held against a bill",
    ),
    set(
        "delete",
        "/v1/reconciliations",
        "Take the mark away that the query string names",
    ),
    asked(
        "/v1/prices/tariffs/{name}",
        "Give the prices of that name, or those in effect as `current`",
    ),
    asked(
        "/v1/prices/tariffs/{name}/list",
        "Give the price list that they rest on, as published",
    ),
    Route {
        gives: &["application/x-ndjson"],
        key: true,
        ..get(
            "/v1/tail",
            "Stream what arrives from now on, one object a line",
        )
    },
    Route {
        key: true,
        ..get(
            "/v1/status",
            "Say how the node stands, and its account from memory",
        )
    },
    Route {
        key: true,
        ..get(
            "/v1/admin/verify",
            "Recount the account in the sinks themselves",
        )
    },
    Route {
        gives: &["text/plain"],
        ..get("/metrics", "Metrics for Prometheus")
    },
    get("/livez", "Say whether the process can go on"),
    get(
        "/readyz",
        "Say whether requests are taken, and what is amiss",
    ),
    get("/v1/openapi.json", "This description"),
    Route {
        gives: &["text/html"],
        ..get("/docs", "The same for people")
    },
    get("/", "Say what this is, and where to look"),
    Route {
        method: "post",
        takes: OTLP,
        status: 404,
        gives: OTLP,
        door: Door::Otlp,
        ..get("/", "Tell an exporter that was configured without a path")
    },
];

/// The gRPC calls on the OTLP ports.
const CALLS: [&str; 3] = [
    "opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
];

/// `GET /v1/openapi.json`.
pub(crate) async fn json() -> Response {
    success(StatusCode::OK, document().to_string().into())
}

/// `GET /docs`.
pub(crate) async fn page() -> Response {
    let mut response = Response::new(Body::from(html()));
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn document() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_default();
        path.insert(route.method.to_owned(), operation(route));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "weir",
            "summary": "Telemetry of AI agents in, a lake and SQL out",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "apiKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "basic": { "type": "http", "scheme": "basic" },
            },
            "schemas": { "Problem": problem(), "Status": status(), "Query": query() },
        },
    })
}

fn operation(route: &Route) -> Value {
    let schema = |kind: &str| match (route.path, kind) {
        ("/v1/query", "application/json") => json!({ "$ref": "#/components/schemas/Query" }),
        _ => json!({}),
    };
    let content = |kinds: &[&str], schema: &dyn Fn(&str) -> Value| {
        let each = kinds.iter();
        let each = each.map(|kind| ((*kind).to_owned(), json!({ "schema": schema(kind) })));
        Value::Object(each.collect())
    };
    let mut responses = refusals(route);
    if route.status < 400 {
        let said = json!({
            "description": "Success",
            "content": content(route.gives, &|_| json!({})),
        });
        responses.insert(route.status.to_string(), said);
    }
    let mut out = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "responses": responses,
    });
    let Some(fields) = out.as_object_mut() else {
        return out;
    };
    if !route.takes.is_empty() {
        let body = json!({ "required": true, "content": content(route.takes, &schema) });
        fields.insert("requestBody".into(), body);
    }
    if route.key {
        // The empty one: until a key is made, none is wanted on loopback.
        let ways = json!([{ "bearer": [] }, { "apiKey": [] }, { "basic": [] }, {}]);
        fields.insert("security".into(), ways);
    }
    out
}

/// The refusals of a route, by status, as the error contract has them.
fn refusals(route: &Route) -> Map<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<&Row>> = BTreeMap::new();
    for row in ROWS.iter().filter(|row| row.doors.contains(&route.door)) {
        // A path that is there is found, and what wants no key turns nobody away for it.
        let about_keys = matches!(row.code, "unauthorized" | "forbidden");
        let elsewhere = matches!(row.code, "not_found" | "verify_failed" | "no_signal_path")
            && !matches!(route.path, "/v1/admin/verify" | "/");
        if (about_keys && !route.key) || elsewhere {
            continue;
        }
        by_status.entry(row.status).or_default().push(row);
    }
    let kind = match route.door {
        Door::Otlp | Door::Grpc => ("application/json", "Status"),
        Door::Audit | Door::Ocsf | Door::Events | Door::Query | Door::Other => {
            ("application/problem+json", "Problem")
        }
    };
    let shown = |rows: &[&Row]| {
        let codes = rows
            .iter()
            .map(|row| format!("`{}`: {}", row.code, row.when));
        let mut out = json!({
            "description": codes.collect::<Vec<_>>().join("\n\n"),
            "content": { kind.0: { "schema": { "$ref": format!("#/components/schemas/{}", kind.1) } } },
        });
        let waits = rows.iter().any(|row| row.retry == Retry::After);
        if let (true, Some(fields)) = (waits, out.as_object_mut()) {
            let header = json!({ "Retry-After": { "schema": { "type": "integer" } } });
            fields.insert("headers".into(), header);
        }
        out
    };
    let each = by_status.iter();
    each.map(|(status, rows)| (status.to_string(), shown(rows)))
        .collect()
}

fn operation_id(route: &Route) -> String {
    let letters = route.path.chars();
    let name: String = letters
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    format!("{}{name}", route.method)
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "A problem document (RFC 9457)",
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "code": { "type": "string" },
            "request_id": { "type": "string" },
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "google.rpc.Status, as OTLP wants it; in protobuf where the request was",
        "required": ["code", "message"],
        "properties": {
            "code": { "type": "integer" },
            "message": { "type": "string" },
            "details": { "type": "array", "items": { "type": "object" } },
            "detail": { "type": "string" },
        },
    })
}

fn query() -> Value {
    json!({
        "type": "object",
        "required": ["sql"],
        "additionalProperties": false,
        "properties": {
            "sql": { "type": "string" },
            "format": { "enum": ["json", "csv", "arrow", "parquet"] },
            "limit": { "type": "integer", "minimum": 0 },
            "timeout_ms": { "type": "integer", "minimum": 0 },
        },
    })
}

fn html() -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>weir</title>\n\
         <style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}\
         td,th{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}</style>\n\
         <h1>weir</h1>\n<p>The same for programs: <a href=\"/v1/openapi.json\">openapi.json</a>. \
         A key goes into <code>Authorization: Bearer</code> or <code>X-API-Key</code>.</p>\n\
         <table>\n<tr><th>route<th>what it does<th>takes<th>answers\n",
    );
    for route in ROUTES {
        out.push_str(&format!(
            "<tr><td><code>{} {}</code><td>{}<td>{}<td>{}\n",
            route.method.to_uppercase(),
            route.path,
            route.summary,
            route.takes.join("<br>"),
            route.gives.join("<br>")
        ));
    }
    out.push_str("</table>\n<h2>OTLP over gRPC</h2>\n<ul>\n");
    for call in CALLS {
        out.push_str(&format!("<li><code>{call}</code>\n"));
    }
    out.push_str("</ul>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::rig::Rig;
    use std::collections::BTreeSet;

    use axum::http::Request;

    /// The paths that the routers are made of, as their sources name them.
    fn routed() -> BTreeSet<String> {
        let source = include_str!("routes.rs");
        let calls = source.split(".route(").skip(1);
        let paths = calls.filter_map(|call| {
            let rest = call.trim_start().strip_prefix('"')?;
            rest.split('"').next().map(str::to_owned)
        });
        paths.collect()
    }

    #[test]
    fn every_route_is_described_and_every_described_route_is_there() {
        let described: BTreeSet<String> = ROUTES.iter().map(|r| r.path.to_owned()).collect();
        assert_eq!(routed(), described);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_described_route_answers_its_method_with_what_is_described() {
        let rig = Rig::start().await;
        for route in ROUTES {
            if route.path == "/v1/tail" {
                continue;
            }
            let request = Request::builder()
                .method(route.method.to_uppercase().as_str())
                .uri(route.path);
            let kind = route.takes.first().copied().unwrap_or("text/plain");
            let request = request.header("content-type", kind);
            let reply = rig.send(request.body(Body::empty()).unwrap()).await;
            let status = reply.status.as_u16();
            let known = refusals(route).contains_key(&status.to_string());
            assert!(status == route.status || known, "{route:?}: {status}");
            assert_ne!(status, 405, "{route:?}");
        }
        let reply = rig.get("/v1/openapi.json").await;
        assert_eq!(reply.json()["openapi"], "3.1.0");
        let page = rig.get("/docs").await;
        assert!(String::from_utf8_lossy(&page.body).contains("POST /v1/traces"));
        rig.app.stop().await.unwrap();
    }

    #[test]
    fn the_document_is_whole_and_its_references_lead_somewhere() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                assert!(operation["summary"].is_string(), "{path}");
                let id = operation["operationId"].as_str().unwrap();
                assert!(ids.insert(id.to_owned()), "{id} twice");
                assert!(!operation["responses"].as_object().unwrap().is_empty());
            }
        }
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
