//! Bodies that their sender pays for: bytes are charged before anything is decompressed or
//! decoded, and, where the length is announced, before anything is read.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use weir_ingest::admission::Budget;

use crate::app::quota::Caller;
use crate::http::body::{self, BodyLimits, Taken};
use crate::http::refusal::Refusal;

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
    caller.enter(announced)?;
    let taken = body::read(headers, body, budget, limits).await?;
    if announced.is_none() {
        caller.charge_bytes(taken.bytes.len())?;
    }
    Ok(taken)
}
