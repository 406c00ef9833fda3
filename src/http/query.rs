//! `POST /v1/query`: SQL in, rows out in the format that is asked for.
//!
//! The body is `{"sql": "...", "format": "json"}`, or the SQL itself as `text/plain` or
//! `application/sql`. The format is that of the body, else that of `Accept`, else JSON.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use weir_queries::{Answer, QueryError, QueryLimits, format};
use weir_store::Scope;

use crate::app::{Node, counters};
use crate::http::otlp::arrive_within;
use crate::http::refusal::Refusal;

/// Whether a limit cut the answer.
const TRUNCATED: HeaderName = HeaderName::from_static("x-weir-truncated");

/// How many rows the answer has.
const ROWS: HeaderName = HeaderName::from_static("x-weir-rows");

/// How long the query took.
const ELAPSED: HeaderName = HeaderName::from_static("x-weir-elapsed-ms");

/// A question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    sql: String,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    timeout_ms: Option<u64>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One object; of a rollup, page by page.
    Json,
    /// RFC 4180.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
    /// Parquet.
    Parquet,
}

impl Format {
    /// The format of that name.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "arrow" | "arrow_stream" => Some(Self::Arrow),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }

    /// The first media type of `Accept` that rows can be written as.
    fn of_accept(headers: &HeaderMap) -> Option<Self> {
        let accept = headers.get(ACCEPT)?.to_str().ok()?;
        accept.split(',').find_map(|range| {
            let kind = range.split(';').next().unwrap_or_default().trim();
            match kind {
                "application/json" => Some(Self::Json),
                "text/csv" => Some(Self::Csv),
                "application/vnd.apache.arrow.stream" => Some(Self::Arrow),
                "application/vnd.apache.parquet" => Some(Self::Parquet),
                _ => None,
            }
        })
    }

    /// The media type.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Answers SQL.
pub(crate) async fn run(State(node): State<Arc<Node>>, request: Request) -> Response {
    match answer(&node, request).await {
        Ok(response) => {
            counters::add(&node.intake.counters.queries, 1);
            response
        }
        Err(refusal) => {
            counters::add(&node.intake.counters.queries_failed, 1);
            refusal.into_response()
        }
    }
}

async fn answer(node: &Node, request: Request) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let limits = node.intake.body.at_most(node.question_bytes_max);
    let arrived = arrive_within(node, request, Scope::Query, limits).await?;
    // Held until the answer is written.
    let _slot = arrived.caller.query()?;
    let question = question(&headers, &arrived.body.bytes)?;
    let format = match question.format.as_deref() {
        Some(name) => Format::of_name(name).ok_or_else(unknown_format)?,
        None => Format::of_accept(&headers).unwrap_or(Format::Json),
    };
    let limits = QueryLimits {
        rows_max: question.limit,
        timeout: question.timeout_ms.map(std::time::Duration::from_millis),
        ..QueryLimits::default()
    };
    let asked = node
        .engine
        .query(&arrived.caller.tenant, &question.sql, &limits);
    let rows = Box::pin(asked).await?;
    // Writing up to the answer's limit of bytes is CPU work of tens of milliseconds.
    let written = tokio::task::spawn_blocking(move || write(&rows, format)).await;
    written.map_err(|_| Refusal::internal())?
}

fn write(answer: &Answer, format: Format) -> Result<Response, Refusal> {
    let mut body = Vec::new();
    let written = match format {
        Format::Json => format::write_json(answer, &mut body),
        Format::Csv => format::write_csv(answer, &mut body),
        Format::Arrow => format::write_arrow_stream(answer, &mut body),
        Format::Parquet => format::write_parquet(answer, &mut body),
    };
    written.map_err(|error| {
        tracing::error!(%error, "query.format.failed");
        Refusal::internal()
    })?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(format.content_type()),
    );
    headers.insert(ROWS, answer.rows().into());
    let elapsed = u64::try_from(answer.elapsed.as_millis()).unwrap_or(u64::MAX);
    headers.insert(ELAPSED, elapsed.into());
    let truncated = if answer.truncated { "true" } else { "false" };
    headers.insert(TRUNCATED, HeaderValue::from_static(truncated));
    Ok(response)
}

fn question(headers: &HeaderMap, body: &[u8]) -> Result<Question, Refusal> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if matches!(kind.as_str(), "text/plain" | "application/sql") {
        let sql = std::str::from_utf8(body).map_err(|_| bad_question())?;
        return Ok(Question {
            sql: sql.to_owned(),
            format: None,
            limit: None,
            timeout_ms: None,
        });
    }
    serde_json::from_slice(body).map_err(|_| bad_question())
}

fn bad_question() -> Refusal {
    let text = "the body must be {\"sql\": \"SELECT ...\"}, with `format` (json, csv, arrow or \
                parquet), `limit` and `timeout_ms` if wanted; or the SQL alone as text/plain";
    Refusal::new(StatusCode::BAD_REQUEST, "bad_question", text)
}

fn unknown_format() -> Refusal {
    let text = "`format` must be json, csv, arrow or parquet";
    Refusal::new(StatusCode::BAD_REQUEST, "unknown_format", text)
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let status = StatusCode::from_u16(error.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self {
            retry_after: error.retry_after(),
            ..Self::new(status, error.code(), error.message())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_known_type_of_accept_is_taken() {
        let mut headers = HeaderMap::new();
        assert_eq!(Format::of_accept(&headers), None);
        let value = "image/png, text/csv;q=0.9, application/json";
        headers.insert(ACCEPT, HeaderValue::from_static(value));
        assert_eq!(Format::of_accept(&headers), Some(Format::Csv));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(Format::of_accept(&headers), None);
    }

    #[test]
    fn a_question_comes_as_json_or_as_bare_sql() {
        let mut headers = HeaderMap::new();
        let json = br#"{"sql":"SELECT 1","format":"csv"}"#;
        assert_eq!(question(&headers, json).unwrap().sql, "SELECT 1");
        assert!(question(&headers, b"SELECT 1").is_err());
        assert!(question(&headers, br#"{"sql":"x","tenant":"y"}"#).is_err());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/sql"));
        assert_eq!(question(&headers, b"SELECT 1").unwrap().sql, "SELECT 1");
    }
}
