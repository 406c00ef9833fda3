//! `GET /v1/rollups/cost-per-skill`: what each skill costs, and how far the figure can be trusted.

pub(crate) mod answer;
pub(crate) mod page;
pub(crate) mod question;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use weir_model::TenantId;
use weir_queries::{Rollup, RollupQuestion, format};
use weir_store::Scope;

use crate::app::quota::Slot;
use crate::app::{Node, counters, reconciled};
use crate::http::auth;
use crate::http::query::Format;
use crate::http::refusal::Refusal;
use answer::{Beside, Shown};
use question::Asked;

/// Answers it.
pub(crate) async fn cost_per_skill(Shared(node): Shared<Arc<Node>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let answered = Box::pin(answer(&node, &head)).await;
    counted(&node, answered)
}

/// Counts a question and writes its refusal, if it is one.
pub(crate) fn counted(node: &Node, answered: Result<Response, Refusal>) -> Response {
    let counts = &node.intake.counters;
    match answered {
        Ok(response) => {
            counters::add(&counts.queries, 1);
            response
        }
        Err(refusal) => {
            counters::add(&counts.queries_failed, 1);
            refusal.into_response()
        }
    }
}

/// Whose question it is, with the place that it takes until it is answered.
///
/// # Errors
///
/// As every question of rows.
pub(crate) fn admitted(node: &Node, headers: &HeaderMap) -> Result<(TenantId, Slot), Refusal> {
    let caller = auth::caller(node, headers, Scope::Query)?;
    node.check_open()?;
    let slot = caller.query()?;
    Ok((caller.tenant, slot))
}

async fn answer(node: &Node, asked: &Parts) -> Result<Response, Refusal> {
    let (tenant, _slot) = admitted(node, &asked.headers)?;
    let headers = &asked.headers;
    let mut asked = Asked::read(&asked.uri, node.intake.clock.now_us())?;
    asked.question.reconciled = reconciled::covered(node, &tenant);
    let rollup = Box::pin(node.engine.rollup(&tenant, &asked.question)).await?;
    let format = asked.format;
    // Writing many groups is CPU work of tens of milliseconds.
    let beside = Beside::of(node, &tenant);
    let written = tokio::task::spawn_blocking(move || body(&asked, &rollup, &beside)).await;
    let body = written.map_err(|_| Refusal::internal())??;
    Ok(tagged(headers, format.content_type(), body))
}

fn body(asked: &Asked, rollup: &Rollup, beside: &Beside) -> Result<Vec<u8>, Refusal> {
    let shown = Shown::of(rollup, asked)?;
    if asked.format == Format::Json {
        return Ok(shown.json(rollup, asked, beside).to_string().into_bytes());
    }
    let failed = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "query.format.failed");
        Refusal::internal()
    };
    let table = rollup.table(&shown.rows).map_err(|e| failed(&e))?;
    let mut body = Vec::new();
    let written = match asked.format {
        Format::Csv => format::write_csv(&table, &mut body),
        Format::Arrow => format::write_arrow_stream(&table, &mut body),
        Format::Parquet | Format::Json => format::write_parquet(&table, &mut body),
    };
    written.map_err(|e| failed(&e))?;
    Ok(body)
}

/// The answer under a tag of its own content, or 304 where the caller has just that.
///
/// The tag is of what is said and of nothing else: a version of the tables would change with every
/// other tenant's rows.
pub(crate) fn tagged(asked: &HeaderMap, kind: &'static str, body: Vec<u8>) -> Response {
    let digest = blake3::hash(&body).to_hex();
    let tag = format!("\"{}\"", digest.get(..32).unwrap_or_default());
    let held = asked.get_all(IF_NONE_MATCH).iter();
    let held = held.filter_map(|value| value.to_str().ok());
    let same = held
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one == tag);
    let mut response = if same {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(body));
        let kind = HeaderValue::from_static(kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    };
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::try_from(tag) {
        headers.insert(ETAG, tag);
    }
    // Kept by the caller alone, and asked for again each time.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

/// Asks for one grouping.
///
/// # Errors
///
/// As every question of rows.
pub(crate) async fn ask(
    node: &Node,
    tenant: &TenantId,
    question: &RollupQuestion,
) -> Result<Rollup, Refusal> {
    Ok(Box::pin(node.engine.rollup(tenant, question)).await?)
}
