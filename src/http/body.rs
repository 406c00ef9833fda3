//! Request bodies, read against the byte budget and decompressed against their limit.
//!
//! What a client announces is reserved before it is read; what it does not announce is reserved in
//! steps as it comes. The reservation lives as long as [`Taken`], so that the memory of a request
//! is counted until its rows are in the log.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use weir_ingest::admission::{Budget, Reservation};
use weir_ingest::compression::{self, Coding};

use crate::http::refusal::Refusal;

/// How much is reserved at once where the length is not announced.
const STEP_BYTES: usize = 64 << 10;

/// How much larger than its body a compressed request is taken to be, before it is known.
const RATIO_GUESS: usize = 8;

/// Bodies from this size on are worked on beside the async threads: below it, decoding takes less
/// than handing it over would delay others.
pub(crate) const INLINE_BYTES_MAX: usize = 64 << 10;

/// The limits that reading obeys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    /// Bytes as sent.
    pub(crate) coded_bytes_max: usize,
    /// Bytes once decompressed.
    pub(crate) plain_bytes_max: usize,
    /// The window that a zstd body may ask for, as a power of two.
    pub(crate) zstd_window_log_max: u32,
    /// How long it may pause.
    pub(crate) idle: Duration,
}

impl BodyLimits {
    /// For a route whose bodies are never larger than `bytes_max`.
    pub(crate) fn at_most(self, bytes_max: usize) -> Self {
        Self {
            coded_bytes_max: self.coded_bytes_max.min(bytes_max),
            plain_bytes_max: self.plain_bytes_max.min(bytes_max),
            ..self
        }
    }
}

/// A body in memory, with what it holds of the budget.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The bytes.
    pub(crate) bytes: Bytes,
    held: Held,
}

/// Reservations of one request; what is dropped is given back.
#[derive(Debug, Default)]
struct Held(Vec<Reservation>);

impl Held {
    fn bytes(&self) -> usize {
        self.0.iter().map(Reservation::bytes).sum()
    }

    /// Holds at least `wanted` bytes in all.
    fn grow_to(&mut self, budget: &Budget, wanted: usize) -> Result<(), Refusal> {
        let more = wanted.saturating_sub(self.bytes());
        if more > 0 {
            self.0.push(budget.reserve(more)?);
        }
        Ok(())
    }
}

/// Reads `body` to its end, as sent.
///
/// # Errors
///
/// 413 beyond the limit, 503 where the budget is used up, 408 where the client pauses too long, 400
/// where it breaks off. The rest of the body is not read then.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    budget: &Budget,
    limits: BodyLimits,
) -> Result<Taken, Refusal> {
    let mut held = Held::default();
    let announced = announced(headers)?;
    if let Some(length) = announced {
        if length > limits.coded_bytes_max {
            return Err(Refusal::too_large(limits.coded_bytes_max));
        }
        held.grow_to(budget, length)?;
    }
    let mut whole: Option<Bytes> = None;
    let mut parts = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(limits.idle, body.frame());
        let Some(frame) = frame.await.map_err(|_| idle())? else {
            break;
        };
        let Ok(piece) = frame.map_err(|_| broken_off())?.into_data() else {
            continue;
        };
        let length = parts.len() + whole.as_ref().map_or(0, Bytes::len) + piece.len();
        if length > limits.coded_bytes_max {
            return Err(Refusal::too_large(limits.coded_bytes_max));
        }
        if length > held.bytes() {
            held.grow_to(budget, length.next_multiple_of(STEP_BYTES))?;
        }
        // Most bodies come in one piece, which is then taken without a copy.
        match whole.take() {
            None if parts.is_empty() => whole = Some(piece),
            first => {
                if parts.is_empty() {
                    parts.reserve(announced.unwrap_or(length * 2).max(length));
                }
                parts.extend_from_slice(&first.unwrap_or_default());
                parts.extend_from_slice(&piece);
            }
        }
    }
    let bytes = whole.unwrap_or_else(|| parts.freeze());
    Ok(Taken { bytes, held })
}

impl Taken {
    /// A body that is counted elsewhere.
    #[cfg(test)]
    pub(crate) fn uncounted(bytes: Bytes) -> Self {
        Self {
            bytes,
            held: Held::default(),
        }
    }

    /// Undoes `coding`, counting the memory that the plain body takes.
    ///
    /// # Errors
    ///
    /// 413 beyond the limit, 503 where the budget is used up, 400 where the body is damaged.
    pub(crate) async fn plain(
        mut self,
        coding: Coding,
        budget: &Budget,
        limits: BodyLimits,
    ) -> Result<Self, Refusal> {
        let max = limits.plain_bytes_max;
        if coding == Coding::Identity {
            return match self.bytes.len() {
                length if length > max => Err(Refusal::too_large(max)),
                _ => Ok(self),
            };
        }
        let coded = self.bytes.len();
        let guess = coded.saturating_mul(RATIO_GUESS).min(max);
        self.held.grow_to(budget, coded + guess)?;
        let bytes = self.bytes;
        let most = compression::Limits {
            bytes_max: max,
            zstd_window_log_max: limits.zstd_window_log_max,
        };
        let work = move || compression::decompress(bytes, coding, most);
        let plain = if guess < INLINE_BYTES_MAX {
            work()
        } else {
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|_| Refusal::internal())?
        };
        let bytes = plain.map_err(Refusal::from)?;
        self.held.grow_to(budget, bytes.len())?;
        Ok(Self {
            bytes,
            held: self.held,
        })
    }
}

/// The announced length, where there is one.
fn announced(headers: &HeaderMap) -> Result<Option<usize>, Refusal> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Refusal::new(StatusCode::BAD_REQUEST, "bad_length", "bad Content-Length");
    length.map(Some).ok_or_else(wrong)
}

/// The coding that the headers name.
///
/// # Errors
///
/// 415 for one that is not known.
pub(crate) fn coding(headers: &HeaderMap) -> Result<Coding, Refusal> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let (first, second) = (values.next(), values.next());
    let text = match (first, second) {
        (None, _) => None,
        // What is no text, or more than one, is no coding that we know.
        (Some(value), None) => Some(value.to_str().unwrap_or("?")),
        (Some(_), Some(_)) => Some("?"),
    };
    Ok(Coding::from_header(text)?)
}

fn idle() -> Refusal {
    let text = "the request body paused for too long";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", text)
}

fn broken_off() -> Refusal {
    let text = "the request body broke off";
    Refusal::new(StatusCode::BAD_REQUEST, "body_incomplete", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    const LIMITS: BodyLimits = BodyLimits {
        coded_bytes_max: 1 << 20,
        plain_bytes_max: 2 << 20,
        zstd_window_log_max: 23,
        idle: Duration::from_secs(5),
    };

    fn chunked(pieces: usize, size: usize) -> Body {
        let piece = Bytes::from(vec![7_u8; size]);
        let pieces = (0..pieces).map(move |_| Ok::<_, std::io::Error>(piece.clone()));
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn an_announced_body_is_reserved_before_it_is_read() {
        let budget = Budget::new(100);
        let other = budget.reserve(60).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 50.into());
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read(&headers, never, &budget, LIMITS).await.unwrap_err();
        assert_eq!(
            (refused.status.as_u16(), refused.retry_seconds()),
            (503, Some(1))
        );
        drop(other);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_chunked_body_is_counted_as_it_comes_and_given_back_at_the_end() {
        let budget = Budget::new(1 << 20);
        let body = chunked(10, 10_000);
        let taken = read(&HeaderMap::new(), body, &budget, LIMITS)
            .await
            .unwrap();
        assert_eq!(taken.bytes.len(), 100_000);
        assert!(budget.used() >= 100_000);
        drop(taken);
        assert_eq!(budget.used(), 0);
        let tight = Budget::new(128 << 10);
        let body = chunked(100, 10_000);
        let other = tight.reserve(10).unwrap();
        let refused = read(&HeaderMap::new(), body, &tight, LIMITS)
            .await
            .unwrap_err();
        assert_eq!(refused.code, "overloaded");
        drop(other);
        assert_eq!(tight.used(), 0);
    }

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_413_announced_or_not() {
        let budget = Budget::new(64 << 20);
        let body = chunked(200, 10_000);
        let refused = read(&HeaderMap::new(), body, &budget, LIMITS)
            .await
            .unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, (2 << 20).into());
        let refused = read(&headers, Body::empty(), &budget, LIMITS)
            .await
            .unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_408() {
        let budget = Budget::new(1 << 20);
        let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let refused = read(&HeaderMap::new(), body, &budget, LIMITS)
            .await
            .unwrap_err();
        assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_plain_body_beyond_its_limit_is_413() {
        let budget = Budget::new(64 << 20);
        let zeros = zstd::encode_all([0_u8; 3 << 20].as_slice(), 1).unwrap();
        let taken = Taken::uncounted(zeros.into());
        let refused = taken
            .plain(Coding::Zstd, &budget, LIMITS)
            .await
            .unwrap_err();
        assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn two_codings_are_not_taken() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(coding(&headers).unwrap(), Coding::Gzip);
        headers.append(header::CONTENT_ENCODING, "zstd".parse().unwrap());
        assert_eq!(coding(&headers).unwrap_err().status.as_u16(), 415);
    }
}
