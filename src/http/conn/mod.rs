//! One connection, from its first byte to its end.
//!
//! ```text
//! accepted -> [TLS handshake] -> first bytes: HTTP/2 preface or not -> requests -> closed
//! ```
//!
//! # Invariants
//!
//! * At every moment either a timer of the client runs or a request is in service, which has timers
//!   of its own: no client holds a connection by doing nothing, or by doing something slowly.
//! * A body that is refused unread is thrown away behind its answer, within bounds, so that clients
//!   of HTTP/1 read the refusal instead of a reset.
//! * Once the node closes, a connection without a request ends at once, and others after it.

pub(crate) mod cuts;
mod pace;
pub(crate) mod peers;
mod socket;
pub(crate) mod unread;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::EXPECT;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt as _;

use cuts::{Cut, Cuts};
pub(crate) use pace::Timers;
use pace::{Answer, Pace, Request, Serving};
use peers::Sparingly;
use socket::Socket;

use crate::http::tls::{self, Certificates};

/// The bytes with which an HTTP/2 client begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The byte with which a TLS client begins.
pub(crate) const TLS_HANDSHAKE: u8 = 0x16;

/// What an HTTP/2 client may send of one body before it is read.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// What it may send of all bodies.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// The largest HTTP/2 frame: bodies then come in few pieces.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// How often a quiet HTTP/2 connection is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long it may leave that without an answer.
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// What one HTTP/1 connection reads ahead at most; hyper's own limit of 400 KiB is a hundred MiB for
/// 256 senders.
const BUFFER_BYTES: usize = 64 << 10;

/// How many headers hyper takes without an allocation for each request.
const HEADERS_INLINE: usize = 100;

/// What a connection may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long what may take.
    pub(crate) timers: Timers,
    /// Streams that one HTTP/2 connection may have open.
    pub(crate) streams_max: u32,
    /// Streams that an HTTP/2 client may reset before they were looked at.
    pub(crate) resets_max: usize,
    /// Headers of one HTTP/1 request.
    pub(crate) headers_max: usize,
    /// Bytes of headers of one request.
    pub(crate) header_bytes_max: u32,
}

/// What serves a connection.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// The routes.
    pub(crate) routes: Router,
    /// What it may do.
    pub(crate) limits: Limits,
    /// Where connections are encrypted, with what.
    pub(crate) tls: Option<Arc<Certificates>>,
    /// Tells of clients that speak TLS where there is none.
    pub(crate) mistaken: Arc<Sparingly>,
    /// Counts connections that the server ends.
    pub(crate) cuts: Arc<Cuts>,
}

/// Serves `stream` until it ends, by the client, a timer, or `closing`.
pub(crate) async fn serve(stream: TcpStream, host: &Host, mut closing: watch::Receiver<bool>) {
    let served = match &host.tls {
        None => converse(stream, host, closing).await,
        Some(certificates) => {
            let secured = tokio::select! {
                biased;
                () = closed(&mut closing) => return,
                secured = tls::accept(stream, certificates) => secured,
            };
            match secured {
                Ok(stream) => Box::pin(converse(stream, host, closing)).await,
                Err(error) => {
                    if error.kind() == io::ErrorKind::TimedOut {
                        host.cuts.count(Cut::Handshake);
                    }
                    Err(error.into())
                }
            }
        }
    };
    if let Err(error) = served {
        // A client that leaves mid-way, or speaks something else: its business.
        tracing::debug!(error, "http.connection.ended");
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn converse<S>(stream: S, host: &Host, mut closing: watch::Receiver<bool>) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut stream, timers) = (stream, host.limits.timers);
    let begun = tokio::select! {
        biased;
        () = closed(&mut closing) => return Ok(()),
        begun = begin(&mut stream, timers, &host.cuts) => begun?,
    };
    let Some(begun) = begun else {
        return Ok(());
    };
    if begun.bytes.first() == Some(&TLS_HANDSHAKE) {
        if let Some(count) = host.mistaken.due() {
            tracing::warn!(count, "http.tls.unexpected");
        }
        return Ok(());
    }
    let pace = Pace::new(timers, begun.http2, begun.at, &host.cuts);
    let socket = TokioIo::new(Socket::new(stream, begun.bytes, Arc::clone(&pace)));
    let (routes, own) = (host.routes.clone(), Arc::clone(&pace));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let serving = Serving::begin(&own);
        let waits = request.headers().contains_key(EXPECT);
        let request = request.map(|body| Request::new(body, &own, waits));
        let answer = routes.clone().oneshot(request);
        async move {
            let answer = answer.await?;
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, serving)))
        }
    });
    if begun.http2 {
        let connection = http2(&host.limits).serve_connection(socket, service);
        drive(connection, &mut closing, &pace).await
    } else {
        let connection = http1(&host.limits).serve_connection(socket, service);
        drive(connection, &mut closing, &pace).await
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let header_bytes = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
    let mut builder = http1::Builder::new();
    // The socket has the timers: hyper's own would time the rest between requests and their
    // headers as one.
    builder
        .header_read_timeout(None)
        // A body passes through it in pieces, so that it need not be large; a head must fit.
        .max_buf_size(BUFFER_BYTES.max(header_bytes.saturating_mul(2)))
        .max_header_size(header_bytes);
    if limits.headers_max != HEADERS_INLINE {
        builder.max_headers(limits.headers_max);
    }
    builder
}

fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .max_concurrent_streams(limits.streams_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(limits.header_bytes_max)
        .max_pending_accept_reset_streams(limits.resets_max)
        .max_local_error_reset_streams(limits.resets_max);
    builder
}

/// Runs a connection to its end, which it is asked for once the node closes or it has rested.
async fn drive<C>(connection: C, closing: &mut watch::Receiver<bool>, pace: &Arc<Pace>) -> Ended
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = std::pin::pin!(connection);
    let mut discard = std::pin::pin!(unread::discard(pace));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => Some(ended),
        never = discard.as_mut() => match never {},
        () = closed(closing) => None,
        () = pace.rested() => {
            pace.cut(Cut::KeepAlive);
            None
        }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection => ended,
                never = discard => match never {},
            }
        }
    };
    if let Some(why) = ended.as_ref().err().and_then(Cut::by_http) {
        pace.cut(why);
    }
    Ok(ended?)
}

/// Resolves once the node closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // Without a sender there is nobody left to serve for.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// How a client began.
struct Begun {
    bytes: Bytes,
    http2: bool,
    /// When its first byte came.
    at: Instant,
}

/// Reads until it is clear what the client speaks; none where it leaves before.
///
/// # Errors
///
/// Where the socket fails, or the client takes longer than it may.
async fn begin<S: AsyncRead + Unpin>(
    stream: &mut S,
    timers: Timers,
    cuts: &Cuts,
) -> io::Result<Option<Begun>> {
    let mut seen = [0_u8; PREFACE.len()];
    let first = tokio::time::timeout(timers.first_byte, stream.read(&mut seen)).await;
    let count = first.inspect_err(|_| cuts.count(Cut::FirstByte))??;
    if count == 0 {
        return Ok(None);
    }
    let at = Instant::now();
    let mut count = count;
    let http2 = loop {
        let so_far = seen.get(..count).unwrap_or_default();
        if !PREFACE.starts_with(so_far) {
            break false;
        }
        if count == PREFACE.len() {
            break true;
        }
        let rest = seen.get_mut(count..).unwrap_or_default();
        let more = tokio::time::timeout_at(at + timers.header, stream.read(rest)).await;
        let more = more.inspect_err(|_| cuts.count(Cut::Header))??;
        if more == 0 {
            return Ok(None);
        }
        count += more;
    };
    let bytes = Bytes::copy_from_slice(seen.get(..count).unwrap_or_default());
    Ok(Some(Begun { bytes, http2, at }))
}
