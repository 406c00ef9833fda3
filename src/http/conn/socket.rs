//! A socket that gives up on a client which takes longer than it may.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::http::conn::cuts::Cut;
use crate::http::conn::pace::Pace;

/// A stream under its connection's timers, with what was read of it before.
#[derive(Debug)]
pub(super) struct Socket<S> {
    stream: S,
    first: Bytes,
    pace: Arc<Pace>,
    reading: Alarm,
    writing: Alarm,
    /// Since when a write waits.
    waiting: Option<Instant>,
}

impl<S> Socket<S> {
    /// `stream`, of which `first` has been read already.
    pub(super) fn new(stream: S, first: Bytes, pace: Arc<Pace>) -> Self {
        Self {
            stream,
            first,
            pace,
            reading: Alarm::default(),
            writing: Alarm::default(),
            waiting: None,
        }
    }

    /// Passes on what a write came to, and gives up on one that waits for too long.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        came: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if came.is_ready() {
            self.waiting = None;
            return came;
        }
        let since = *self.waiting.get_or_insert_with(Instant::now);
        let until = since + self.pace.write_patience();
        match self.writing.poll(cx, until) {
            Poll::Ready(()) => {
                self.pace.cut(Cut::Idle);
                Poll::Ready(Err(slow("the client takes no more")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(into.remaining());
            into.put_slice(&self.first.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = into.filled().len();
        let came = Pin::new(&mut self.stream).poll_read(cx, into);
        if came.is_ready() {
            if into.filled().len() > before {
                self.pace.heard();
            }
            return came;
        }
        loop {
            let Some(until) = self.pace.poll_deadline(cx) else {
                return Poll::Pending;
            };
            match self.reading.poll(cx, until) {
                Poll::Pending => return Poll::Pending,
                // What was due may have been put off meanwhile.
                Poll::Ready(()) if self.pace.deadline().is_none_or(|due| due > until) => {}
                Poll::Ready(()) => {
                    self.pace.cut_silent();
                    return Poll::Ready(Err(slow("the client sends no more")));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let came = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, came)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let came = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, came)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let came = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, came)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let came = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.written(cx, came)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn slow(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// A timer that is set anew only where it must ring earlier; most are put off again and again, and
/// it is cheaper to wake once too early than to move the timer for each piece of each request.
#[derive(Debug, Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    rung: bool,
}

impl Alarm {
    /// Ready once it is `until`.
    fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if self.rung || sleep.deadline() > until {
            sleep.as_mut().reset(until);
            self.rung = false;
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= until || Instant::now() >= until {
                self.rung = true;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(until);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::http::conn::pace::{Serving, Timers};

    const TIMERS: Timers = Timers {
        first_byte: Duration::from_secs(5),
        header: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        idle: Duration::from_secs(15),
    };

    #[tokio::test(start_paused = true)]
    async fn what_was_read_before_comes_first_and_silence_ends_in_its_time() {
        let (mut client, server) = tokio::io::duplex(64);
        let pace = Pace::new(TIMERS, false, Instant::now(), &Arc::default());
        let mut socket = Socket::new(server, Bytes::from_static(b"GET"), Arc::clone(&pace));
        client.write_all(b" /").await.unwrap();
        let mut read = [0; 5];
        socket.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"GET /");
        let begun = Instant::now();
        assert_eq!(
            socket.read(&mut read).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(begun.elapsed().as_secs(), 10);
        drop(Serving::begin(&pace));
        let begun = Instant::now();
        assert_eq!(
            socket.read(&mut read).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(begun.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_was_put_off_does_not_ring_early_and_can_be_brought_forward() {
        let (mut client, server) = tokio::io::duplex(64);
        let pace = Pace::new(TIMERS, false, Instant::now(), &Arc::default());
        let mut socket = Socket::new(server, Bytes::new(), Arc::clone(&pace));
        let mut read = [0; 1];
        drop(Serving::begin(&pace));
        let begun = Instant::now();
        let other = async {
            tokio::time::sleep(Duration::from_secs(70)).await;
            client.write_all(b"x").await.unwrap();
            client
        };
        let (count, _client) = tokio::join!(socket.read(&mut read), other);
        assert_eq!(count.unwrap(), 1);
        let late = socket.read(&mut read).await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            begun.elapsed().as_secs(),
            80,
            "70 of rest and 10 for the head"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up_and_one_that_reads_slowly_is_not() {
        let (mut client, server) = tokio::io::duplex(8);
        let pace = Pace::new(TIMERS, false, Instant::now(), &Arc::default());
        let mut socket = Socket::new(server, Bytes::new(), pace);
        let slowly = async {
            let mut read = [0; 8];
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(10)).await;
                client.read_exact(&mut read).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(socket.write_all(&[7; 32]), slowly);
        written.unwrap();
        let begun = Instant::now();
        let stuck = socket.write_all(&[7; 32]).await.unwrap_err();
        assert_eq!(stuck.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 15);
        drop(client);
    }
}
