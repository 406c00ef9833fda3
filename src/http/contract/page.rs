//! `docs/errors.md`, made from the table.

use super::{ALL, Door, ROWS, Retry, Row};

/// Where weir answers otherwise than the senders' product, on purpose.
const DIFFERS: &[(&str, &str)] = &[
    (
        "gzip, zstd, deflate and protobuf bodies are taken",
        "their product answers 400 to a compressed and 422 to a protobuf body",
    ),
    (
        "times as text in OTLP/JSON, and times in nanoseconds in OCSF events, are taken",
        "there a valid exporter's request ends in a 500 or is counted as nothing",
    ),
    (
        "an OCSF event whose time nobody can read is refused alone and kept in `rejected_events`, \
         unless `ocsf.missing_time` is `received`",
        "there it is taken, and the store then refuses every batch that it is in",
    ),
    (
        "the answer names OCSF events that break their schema by index, status and codes, in the \
         further members `validation` and `rejected`",
        "there events are not checked",
    ),
    (
        "a storage that fails is a 503 with `Retry-After`",
        "there the events are gone behind a 202",
    ),
    (
        "no body is ever `Internal Server Error` in plain text",
        "every refusal of a route is a document of one of the two kinds above",
    ),
    (
        "there is one shape on each route, whether a layer or the route refuses",
        "there the middleware answers `{\"detail\": ...}` and routes wrap it in `error`; \
         `detail` as text is what their clients read, and it is here in both shapes",
    ),
    (
        "`detail` is text also where they send a list",
        "their 422 lists the fields; here the sentence names the first fault",
    ),
    (
        "`request_id` stands in the document",
        "there it is `error.correlation_id`; the header `X-Request-ID` is the same in both",
    ),
    (
        "a JSON body that cannot be parsed is 400 on the HTTP API",
        "there it is 422",
    ),
];

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Otlp => "OTLP/HTTP",
            Self::Grpc => "OTLP/gRPC",
            Self::Audit => "proxy audit",
            Self::Ocsf => "OCSF",
            Self::Events => "telemetry events",
            Self::Query => "query",
            Self::Other => "others",
        }
    }
}

impl Retry {
    fn text(self) -> &'static str {
        match self {
            Self::Never => "no",
            Self::Now => "yes",
            Self::After => "after `Retry-After`",
        }
    }
}

fn doors(of: &[Door]) -> String {
    if of == ALL {
        return "all".to_owned();
    }
    let names: Vec<&str> = of.iter().map(|door| door.name()).collect();
    names.join(", ")
}

/// `docs/errors.md`.
fn page() -> String {
    let mut out = String::from(PREAMBLE);
    out.push_str(
        "\n| status | code | where | send again? | what happened |\n|---|---|---|---|---|\n",
    );
    let mut rows: Vec<&Row> = ROWS.iter().collect();
    rows.sort_by_key(|row| row.status);
    for row in rows {
        out.push_str(&format!(
            "| {} | `{}` | {} | {} | {} |\n",
            row.status,
            row.code,
            doors(row.doors),
            row.retry.text(),
            row.when
        ));
    }
    out.push_str(GRPC);
    for (status, code, name) in crate::http::refusal::RPC_CODES {
        out.push_str(&format!("| {status} | {code} | {name} |\n"));
    }
    out.push_str(SEED);
    for (here, there) in DIFFERS {
        out.push_str(&format!("| {here} | {there} |\n"));
    }
    out
}

const PREAMBLE: &str = "\
# Errors

<!-- Made from the table in src/http/contract.rs by its test; do not edit. -->

A refusal says what happened, whether sending the same again can help, and when. It never repeats
what was sent: no row, no attribute, no key.

- **OTLP over HTTP** (`/v1/traces`, `/v1/logs`, `/v1/metrics`) answers `google.rpc.Status` in the
  encoding of the request (`code`, `message`, and `details` with a `RetryInfo` where there is a
  wait); in JSON the same sentence stands in `detail` too.
- **OTLP over gRPC** answers HTTP 200 with `grpc-status`, `grpc-message` and the same message in
  `grpc-status-details-bin`.
- **Everything else** answers a problem document (RFC 9457, `application/problem+json`) with
  `title`, `status`, `detail` (always text), `code` (the word below) and `request_id`.

Every refusal names its code in `X-Weir-Error`, also where the body has no place for it. Every
answer has an `X-Request-ID`: the client's own, or a new one. A 401 has `WWW-Authenticate`, a
405 has `Allow`. What is no HTTP at all is answered by the transport with a bare 400 or 431.

\"Send again\" speaks of the same bytes. OTLP exporters send again by themselves on 429, 502, 503
and 504; every such answer here has a `Retry-After`. Nothing of a refused request was stored, but
after `request_timeout`, and after `log_broken`, that is not known.
";

const GRPC: &str = "
## Over gRPC

The status becomes a gRPC code. Exporters send again on UNAVAILABLE, on DEADLINE_EXCEEDED, and on
RESOURCE_EXHAUSTED only where a `RetryInfo` comes with it.

| status | code | name |
|---|---|---|
";

const SEED: &str = "
## Where this is not what the senders' product answers

The three receivers take the traffic of existing senders unchanged. In these points weir answers
otherwise on purpose:

| here | why |
|---|---|
";

#[test]
fn the_page_is_made_from_the_table() {
    crate::document::compare("docs/errors.md", &page());
}
