//! The accept loop: own, since `axum::serve` sets no timers.
//!
//! ```text
//! accept -> one of `connections` permits -> peek: HTTP/2 preface or not -> serve until it closes
//! ```
//!
//! # Invariants
//!
//! * At most `connections_max` connections are open over all listeners; further ones wait unaccepted.
//! * A connection that sends nothing at first is closed after `header_timeout`, one that sends
//!   headers too slowly or nothing more after `keep_alive`.
//! * After the stop signal no connection is accepted, and open ones finish their request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The bytes with which an HTTP/2 client begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 256;

/// What an HTTP/2 client may send of one body before it is read.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// What it may send of all bodies.
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// The largest HTTP/2 frame: bodies then come in few pieces.
const FRAME_BYTES_MAX: u32 = 256 << 10;

/// The most bytes of headers.
const HEADER_BYTES_MAX: u32 = 16 << 10;

/// The most headers of one HTTP/1 request.
const HEADERS_MAX: usize = 100;

/// How often a quiet HTTP/2 connection is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How long an accept loop rests after a failure that is not the client's, as no file descriptors.
const REST: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Connections that may still be opened.
    pub(crate) connections: Arc<Semaphore>,
    /// Connections that are open.
    pub(crate) open: Arc<AtomicU64>,
    /// How long a new connection may say nothing.
    pub(crate) header_timeout: Duration,
    /// How long a connection may rest between requests, and headers may take: hyper has one timer
    /// for both.
    pub(crate) keep_alive: Duration,
    /// How long open connections have to finish at the end.
    pub(crate) drain: Duration,
}

/// A bound listener with its routes.
#[derive(Debug)]
pub(crate) struct Listener {
    /// What it is for, in logs.
    pub(crate) name: &'static str,
    /// The socket.
    pub(crate) socket: TcpListener,
    /// What it serves.
    pub(crate) routes: Router,
}

/// Binds `address`.
///
/// # Errors
///
/// Where it is taken or not this machine's.
pub(crate) async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` resolves, then lets open requests finish within the drain time.
pub(crate) async fn serve(listener: Listener, rules: Rules, stop: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener.socket, &rules) => accepted,
        };
        let (stream, permit) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(listener = listener.name, %error, "http.accept.failed");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let (routes, rules, watcher) = (listener.routes.clone(), rules.clone(), graceful.watcher());
        connections.spawn(async move {
            rules.open.fetch_add(1, Ordering::Relaxed);
            serve_connection(stream, routes, &rules, watcher).await;
            rules.open.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
    drop(listener.socket);
    let drained = tokio::time::timeout(rules.drain, graceful.shutdown()).await;
    if drained.is_err() {
        tracing::warn!(listener = listener.name, "http.connections.cut");
    }
    connections.shutdown().await;
}

type Permit = tokio::sync::OwnedSemaphorePermit;

async fn accept(socket: &TcpListener, rules: &Rules) -> std::io::Result<(TcpStream, Permit)> {
    let permit = Arc::clone(&rules.connections).acquire_owned().await;
    let permit = permit.map_err(std::io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

async fn serve_connection(
    stream: TcpStream,
    routes: Router,
    rules: &Rules,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let first = tokio::time::timeout(rules.header_timeout, is_http2(&stream)).await;
    let Ok(Ok(http2)) = first else {
        return;
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(rules.keep_alive)
        .max_headers(HEADERS_MAX)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_pending_accept_reset_streams(20);
    let builder = if http2 {
        builder.http2_only()
    } else {
        builder.http1_only()
    };
    let service = TowerToHyperService::new(routes);
    let connection = builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        // A client that leaves mid-way, or speaks something else: its business.
        tracing::debug!(error, "http.connection.ended");
    }
}

/// Whether the client begins as HTTP/2 does; nothing is taken from the stream.
async fn is_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut seen = [0_u8; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        let first = seen.get(..count).unwrap_or_default();
        if count == 0 || !PREFACE.starts_with(first) {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        // The rest of the preface is on its way; a peek cannot wait for it.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
