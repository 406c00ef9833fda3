//! What a connection is doing, and until when it may: shared by its socket and its requests.
//!
//! ```text
//! rest --first byte of a request--> head --head complete--> service --answer sent--> rest
//!  |                                 |                          |
//!  keep_alive                        header                     none: the request has its own timers
//! ```
//!
//! HTTP/2 mixes requests, so there the head has no timer of its own: a connection without a request
//! in service rests, whatever it sends meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http::conn::cuts::{Cut, Cuts};
use crate::http::conn::unread::Unread;

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// Until the first byte of all.
    pub(crate) first_byte: Duration,
    /// From the first byte of a request to the end of its headers.
    pub(crate) header: Duration,
    /// Between requests.
    pub(crate) keep_alive: Duration,
    /// Until a client takes more of what is written.
    pub(crate) idle: Duration,
}

/// What a connection is doing.
#[derive(Debug)]
pub(super) struct Pace {
    timers: Timers,
    http2: bool,
    state: Mutex<State>,
    unread: Unread,
    cuts: Arc<Cuts>,
    cut: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Requests in service.
    serving: usize,
    /// Request bodies that have not ended yet.
    bodies: usize,
    /// When the last request ended.
    rest_since: Instant,
    /// When the first byte of the next request came.
    head_since: Option<Instant>,
    /// Whether bytes of the next request came while this one was in service.
    ahead: bool,
    /// Pieces of answers that the client has not taken.
    untaken: usize,
    /// When the last piece was taken or given.
    progress: Instant,
    /// Who reads while there is no deadline, and must hear of one.
    reader: Option<Waker>,
}

impl Pace {
    /// Of a connection that has sent its first bytes at `first_byte`; its end is counted in `cuts`
    /// where it is the server's.
    pub(super) fn new(
        timers: Timers,
        http2: bool,
        first_byte: Instant,
        cuts: &Arc<Cuts>,
    ) -> Arc<Self> {
        Arc::new(Self {
            timers,
            http2,
            state: Mutex::new(State {
                serving: 0,
                bodies: 0,
                rest_since: first_byte,
                head_since: Some(first_byte),
                ahead: false,
                untaken: 0,
                progress: first_byte,
                reader: None,
            }),
            unread: Unread::default(),
            cuts: Arc::clone(cuts),
            cut: AtomicBool::new(false),
        })
    }

    /// Counts that the connection is cut; the first cause is the one that counts.
    pub(super) fn cut(&self, why: Cut) {
        if !self.cut.swap(true, Ordering::Relaxed) {
            self.cuts.count(why);
        }
    }

    /// Counts that the connection is cut as its client says nothing.
    pub(super) fn cut_silent(&self) {
        let why = {
            let state = self.state.lock();
            match state.head_since {
                _ if state.serving > 0 => Cut::Idle,
                Some(_) if !self.http2 => Cut::Header,
                Some(_) | None => Cut::KeepAlive,
            }
        };
        self.cut(why);
    }

    /// Where bodies are left that nobody wants.
    pub(super) fn unread(&self) -> &Unread {
        &self.unread
    }

    /// A left body is being thrown away; until this is dropped the connection counts as in service,
    /// and what comes as part of the body.
    pub(super) fn discarding(self: &Arc<Self>) -> Discarding {
        Discarding(Serving(Arc::clone(self)))
    }

    /// How long a write may wait.
    pub(super) fn write_patience(&self) -> Duration {
        self.timers.idle
    }

    /// Bytes came.
    pub(super) fn heard(&self) {
        if self.http2 {
            return;
        }
        let mut state = self.state.lock();
        if state.serving == 0 {
            state.head_since.get_or_insert_with(Instant::now);
        } else if state.bodies == 0 {
            state.ahead = true;
        }
    }

    /// As [`Pace::deadline`]; where there is none, `cx` is woken when there is one.
    pub(super) fn poll_deadline(&self, cx: &Context<'_>) -> Option<Instant> {
        let deadline = self.deadline();
        if deadline.is_none() {
            self.state.lock().reader = Some(cx.waker().clone());
            // It may have come about in between.
            return self.deadline();
        }
        deadline
    }

    /// Until when the client must have said more; none while it is the server's turn.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        if state.serving > 0 {
            let stuck = self.http2 && state.untaken > 0;
            return stuck.then(|| state.progress + self.timers.idle);
        }
        match state.head_since {
            Some(since) if !self.http2 => Some(since + self.timers.header),
            // The polite end of `rested` comes first.
            _ if self.http2 => Some(state.rest_since + self.timers.keep_alive + self.timers.idle),
            _ => Some(state.rest_since + self.timers.keep_alive),
        }
    }

    /// Resolves once an HTTP/2 connection has rested for as long as it may; never for HTTP/1, which
    /// is closed by its socket.
    pub(super) async fn rested(&self) {
        if !self.http2 {
            return std::future::pending().await;
        }
        loop {
            let (serving, until) = {
                let state = self.state.lock();
                (state.serving, state.rest_since + self.timers.keep_alive)
            };
            let now = Instant::now();
            match serving {
                0 if now >= until => return,
                0 => tokio::time::sleep_until(until).await,
                _ => tokio::time::sleep(self.timers.keep_alive).await,
            }
        }
    }
}

/// A request in service; it ends with this.
#[derive(Debug)]
pub(super) struct Serving(Arc<Pace>);

impl Serving {
    /// A request's head is complete.
    pub(super) fn begin(pace: &Arc<Pace>) -> Self {
        let mut state = pace.state.lock();
        state.serving += 1;
        state.head_since = None;
        drop(state);
        Self(Arc::clone(pace))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.serving = state.serving.saturating_sub(1);
        if state.serving == 0 {
            state.rest_since = Instant::now();
            state.head_since = state.ahead.then(Instant::now);
            state.ahead = false;
        }
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }
}

/// A body that is being thrown away.
#[derive(Debug)]
pub(super) struct Discarding(Serving);

impl Drop for Discarding {
    fn drop(&mut self) {
        let mut state = self.0.0.state.lock();
        state.bodies = state.bodies.saturating_sub(1);
    }
}

/// The answer may end where nobody reads any more, in another task or at the end of a poll.
fn wake(reader: Option<Waker>) {
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// A request's body; tells when it ends, so that what comes behind it is known for another request.
#[derive(Debug)]
pub(super) struct Request {
    /// None only once it is dropped.
    body: Option<Incoming>,
    open: Option<Arc<Pace>>,
    /// The client waits for a word before it sends the body, and has none yet.
    waits: bool,
}

impl Request {
    /// The body of a request whose client `waits` for `100 Continue`, or does not.
    pub(super) fn new(body: Incoming, pace: &Arc<Pace>, waits: bool) -> Self {
        let open = (!body.is_end_stream()).then(|| {
            pace.state.lock().bodies += 1;
            Arc::clone(pace)
        });
        Self {
            body: Some(body),
            open,
            waits,
        }
    }

    fn end(&mut self) {
        if let Some(pace) = self.open.take() {
            let mut state = pace.state.lock();
            state.bodies = state.bodies.saturating_sub(1);
        }
    }
}

impl HttpBody for Request {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.waits = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || body.is_end_stream() {
            self.end();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let left = self.body.take().filter(|_| !self.waits);
        match (&self.open, left) {
            // It stays open, and its request in service, until it has been thrown away.
            (Some(pace), Some(body)) if !pace.http2 => {
                pace.state.lock().serving += 1;
                pace.unread.leave(body);
                self.open = None;
            }
            _ => self.end(),
        }
    }
}

/// An answer's body; its request is in service until this has been sent.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    serving: Serving,
    untaken: bool,
}

impl Answer {
    pub(super) fn new(body: Body, serving: Serving) -> Self {
        Self {
            body,
            serving,
            untaken: false,
        }
    }

    fn mark(&mut self, untaken: bool) {
        if self.untaken == untaken {
            return;
        }
        self.untaken = untaken;
        let mut state = self.serving.0.state.lock();
        state.untaken = match untaken {
            true => state.untaken + 1,
            false => state.untaken.saturating_sub(1),
        };
        state.progress = Instant::now();
        let reader = state.reader.take();
        drop(state);
        wake(reader);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Being asked for more means that what was given before has been taken.
        self.mark(false);
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(Some(Ok(_)))) {
            self.mark(true);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.mark(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMERS: Timers = Timers {
        first_byte: Duration::from_secs(5),
        header: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        idle: Duration::from_secs(15),
    };

    fn left(pace: &Pace) -> Option<u64> {
        let deadline = pace.deadline()?;
        Some(deadline.duration_since(Instant::now()).as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_of_a_connection_has_its_time_for_headers() {
        let pace = Pace::new(TIMERS, false, Instant::now(), &Arc::default());
        for _ in 0..3 {
            pace.heard();
            assert_eq!(left(&pace), Some(10));
            tokio::time::advance(Duration::from_secs(4)).await;
            pace.heard();
            assert_eq!(left(&pace), Some(6), "more bytes give no more time");
            let serving = Serving::begin(&pace);
            assert_eq!(left(&pace), None, "the server's turn");
            drop(serving);
            assert_eq!(left(&pace), Some(75));
            tokio::time::advance(Duration::from_secs(60)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_came_early_is_timed_from_the_end_of_the_request_before() {
        let pace = Pace::new(TIMERS, false, Instant::now(), &Arc::default());
        let serving = Serving::begin(&pace);
        pace.heard();
        drop(serving);
        assert_eq!(left(&pace), Some(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_over_http2_that_nobody_takes_has_a_deadline() {
        let pace = Pace::new(TIMERS, true, Instant::now(), &Arc::default());
        let serving = Serving::begin(&pace);
        assert_eq!(left(&pace), None);
        let mut answer = Answer::new(Body::from("x"), serving);
        let frame = std::future::poll_fn(|cx| Pin::new(&mut answer).poll_frame(cx)).await;
        assert!(frame.is_some());
        assert_eq!(left(&pace), Some(15));
        drop(answer);
        assert_eq!(left(&pace), Some(90), "rest, and a little more");
    }

    #[tokio::test(start_paused = true)]
    async fn only_http2_is_ended_politely_after_its_rest() {
        let pace = Pace::new(TIMERS, true, Instant::now(), &Arc::default());
        let serving = Serving::begin(&pace);
        let begun = Instant::now();
        let rested = tokio::time::timeout(Duration::from_secs(300), pace.rested()).await;
        assert!(rested.is_err(), "a request is in service");
        drop(serving);
        pace.rested().await;
        assert_eq!(begun.elapsed().as_secs(), 375);
        let http1 = Pace::new(TIMERS, false, Instant::now(), &Arc::default());
        let rested = tokio::time::timeout(Duration::from_secs(300), http1.rested()).await;
        assert!(rested.is_err());
    }
}
