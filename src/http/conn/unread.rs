//! What is left of a body that was refused before it was read.
//!
//! A server that answers and closes while its client still writes makes the system reset the
//! connection, and most clients of HTTP/1 then report a broken pipe instead of the refusal and its
//! `Retry-After`. So the answer goes out at once, and what is left of the body is read and thrown
//! away behind it, up to a bound of bytes and time; then the connection serves its next request.
//! HTTP/2 resets one stream for the same, which clients understand.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::http::conn::cuts::Cut;
use crate::http::conn::pace::Pace;

/// How much of a refused body is thrown away: twice the largest body that is taken by default.
pub(crate) const DISCARD_BYTES_MAX: usize = 32 << 20;

/// For how long.
const DISCARD_TIME: Duration = Duration::from_secs(5);

/// How long it may pause meanwhile.
const DISCARD_PAUSE: Duration = Duration::from_secs(1);

/// The body that nobody wanted; HTTP/1 has at most one at a time.
#[derive(Debug, Default)]
pub(super) struct Unread {
    body: Mutex<Option<Incoming>>,
    left: Notify,
}

impl Unread {
    /// Leaves `body` to be thrown away.
    pub(super) fn leave(&self, body: Incoming) {
        *self.body.lock() = Some(body);
        self.left.notify_one();
    }

    async fn next(&self) -> Incoming {
        loop {
            if let Some(body) = self.body.lock().take() {
                return body;
            }
            self.left.notified().await;
        }
    }
}

/// Throws away what is left of each body of a connection, for as long as it is polled.
pub(super) async fn discard(pace: &Arc<Pace>) -> Infallible {
    loop {
        let body = pace.unread().next().await;
        let finish = pace.discarding();
        if !discard_one(body).await {
            // The body is dropped before its end, upon which the connection closes.
            pace.cut(Cut::Unread);
        }
        drop(finish);
    }
}

/// Whether the body ended within the bounds.
async fn discard_one(mut body: Incoming) -> bool {
    let until = Instant::now() + DISCARD_TIME;
    let mut seen = 0_usize;
    while seen <= DISCARD_BYTES_MAX {
        let pause = until.min(Instant::now() + DISCARD_PAUSE);
        match tokio::time::timeout_at(pause, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                seen += frame.data_ref().map_or(0, bytes::Bytes::len);
            }
            Ok(None) => return true,
            // A client that breaks off cuts itself.
            Ok(Some(Err(_))) => return true,
            Err(_) => return false,
        }
    }
    false
}
