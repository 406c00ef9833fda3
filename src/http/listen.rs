//! The accept loop: own, since `axum::serve` sets no timers.
//!
//! ```text
//! accept -> a seat of its peer -> one of `connections` permits -> served in a task of its own
//! ```
//!
//! # Invariants
//!
//! * At most `connections_max` connections are served over all listeners; further ones wait, one a
//!   listener accepted, the others in the system's queue.
//! * Nothing that a client or a lack of file descriptors does ends the loop.
//! * After the stop signal no connection is accepted, open ones finish their requests, and what
//!   has not ended within the drain time is cut.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::http::conn::cuts::{Cut, Cuts};
use crate::http::conn::peers::{Peers, Seat, Sparingly};
use crate::http::conn::{self, Host};

/// How long an accept loop rests after a failure that is not the client's, as no file descriptors.
const REST: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Connections that may still be opened.
    pub(crate) connections: Arc<Semaphore>,
    /// Who has how many.
    pub(crate) peers: Peers,
    /// Connections that are open.
    pub(crate) open: Arc<AtomicU64>,
    /// Connections that the server ended, by why.
    pub(crate) cuts: Arc<Cuts>,
    /// How long open connections have to finish at the end.
    pub(crate) drain: Duration,
}

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Listener {
    /// What it is for, in logs.
    pub(crate) name: &'static str,
    /// The socket.
    pub(crate) socket: TcpListener,
    /// What serves its connections.
    pub(crate) host: Host,
}

/// What is told only sparingly, since clients can make it happen at will.
#[derive(Debug, Default)]
struct Told {
    failed: Sparingly,
    full: Sparingly,
    crowded: Sparingly,
}

/// Binds `address`.
///
/// # Errors
///
/// Where it is taken or not this machine's.
pub(crate) async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until `stop` resolves, then lets open requests finish within the drain time.
pub(crate) async fn serve(listener: Listener, rules: Rules, stop: impl Future<Output = ()>) {
    let Listener { name, socket, host } = listener;
    let (close, closing) = watch::channel(false);
    let (host, told) = (Arc::new(host), Told::default());
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accept(name, &socket, &rules, &told) => accepted,
        };
        let Some((stream, seat, permit)) = accepted else {
            continue;
        };
        let (host, closing) = (Arc::clone(&host), closing.clone());
        let open = Open::count(&rules.open);
        connections.spawn(async move {
            conn::serve(stream, &host, closing).await;
            drop((open, seat, permit));
        });
    }
    drop(socket);
    close.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(rules.drain, all).await.is_err() {
        let left = connections.len();
        let cut = u64::try_from(left).unwrap_or(u64::MAX);
        rules.cuts.count_many(Cut::Drain, cut);
        tracing::warn!(listener = name, left, "http.connections.cut");
    }
    connections.shutdown().await;
}

/// An open connection in the count; also where its task is cut.
struct Open(Arc<AtomicU64>);

impl Open {
    fn count(open: &Arc<AtomicU64>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The next connection that may be served; none where there was one that may not, or a failure.
async fn accept(
    name: &'static str,
    socket: &TcpListener,
    rules: &Rules,
    told: &Told,
) -> Option<(TcpStream, Seat, OwnedSemaphorePermit)> {
    let (stream, peer) = match socket.accept().await {
        Ok(accepted) => accepted,
        Err(error) if is_clients(&error) => return None,
        Err(error) => {
            if let Some(count) = told.failed.due() {
                tracing::warn!(listener = name, %error, count, "http.accept.failed");
            }
            tokio::time::sleep(REST).await;
            return None;
        }
    };
    let Some(seat) = rules.peers.enter(peer.ip()) else {
        rules.cuts.count(Cut::Peer);
        if let Some(count) = told.crowded.due() {
            let peer = peer.ip();
            tracing::warn!(listener = name, %peer, count, "http.peer.refused");
        }
        return None;
    };
    // What it costs where it fails is a little delay.
    let _ = stream.set_nodelay(true);
    if rules.connections.available_permits() == 0
        && let Some(count) = told.full.due()
    {
        tracing::warn!(listener = name, count, "http.connections.full");
    }
    let permit = Arc::clone(&rules.connections).acquire_owned().await;
    // It is never closed.
    Some((stream, seat, permit.ok()?))
}

/// Whether a failed accept was the client's doing, so that the next one may be there already.
fn is_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}
