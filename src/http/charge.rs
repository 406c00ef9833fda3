//! Bodies that their sender pays for: bytes are charged before anything is decompressed or
//! decoded, and, where the length is announced, before anything is read.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use weir_ingest::admission::Budget;

use crate::app::quota::Caller;
use crate::http::body::{self, BodyLimits, Taken};
use crate::http::refusal::Refusal;

/// How much of a refused body is read and thrown away.
const DISCARD_BYTES_MAX: usize = 1 << 20;

/// For how long.
const DISCARD_TIME: Duration = Duration::from_millis(500);

/// Reads a body as [`body::read`] does, charged to `caller` by its bytes as sent.
///
/// What is refused afterwards stays charged: it has cost the same.
///
/// # Errors
///
/// 429 where a quota is used up; as [`body::read`] otherwise.
pub(crate) async fn read(
    caller: &Caller,
    (headers, body): (&HeaderMap, Body),
    budget: &Budget,
    limits: BodyLimits,
) -> Result<Taken, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.coded_bytes_max) {
        // Whatever the quota: no retry mends this, and 429 would ask for one.
        return Err(Refusal::too_large(limits.coded_bytes_max));
    }
    if let Err(refusal) = caller.enter(announced) {
        discard(body).await;
        return Err(refusal);
    }
    let taken = body::read(headers, body, budget, limits).await?;
    if announced.is_none() {
        caller.charge_bytes(taken.bytes.len())?;
    }
    Ok(taken)
}

/// Takes a refused body off the connection. What is left unread would make the kernel reset it, and
/// most clients then see a broken connection instead of the refusal and its `Retry-After`.
async fn discard(mut body: Body) {
    let reading = async {
        let mut seen = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, bytes::Bytes::len);
            if seen > DISCARD_BYTES_MAX {
                return;
            }
        }
    };
    // What is not there in time is left; the answer must not wait for it.
    let _ = tokio::time::timeout(DISCARD_TIME, reading).await;
}
