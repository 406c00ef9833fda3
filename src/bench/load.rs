//! Sends bodies on many connections and notes how long each took.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::task::JoinSet;
use tonic::codec::CompressionEncoding;
use weir_model::{Clock as _, SystemClock};

use super::Encoding;
use super::server::{Server, Usage};
use super::spans::Template;
use super::wire::{Answer, Grpc, Http, whole};

/// Where bodies go.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// OTLP over HTTP, to this URL.
    Http(String),
    /// OTLP over gRPC.
    Grpc(SocketAddr),
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) target: Target,
    /// Spans of a body.
    pub(super) spans: u32,
    pub(super) connections: u32,
    pub(super) encoding: Encoding,
    /// Spans a second over all connections; `None` for as many as are answered.
    pub(super) rate: Option<u32>,
    /// Bytes of conversation in each span.
    pub(super) content: usize,
    /// Bodies that the server sheds are counted; otherwise the first ends the run.
    pub(super) count_refused: bool,
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Spans that were answered within the time.
    pub(super) spans: u64,
    /// Bytes of their bodies, before compression.
    pub(super) bytes: u64,
    /// How long it took.
    pub(super) elapsed: Duration,
    /// How long each body waited for its answer, ascending.
    pub(super) waits: Vec<Duration>,
    /// Bodies that were shed within the time.
    pub(super) refused: u64,
    /// Those of them that were not told when to come again.
    pub(super) unhinted: u64,
    /// What the server used meanwhile.
    pub(super) usage: Option<Usage>,
    /// Spans a second that it took before it was offered more than that.
    pub(super) capacity: Option<f64>,
}

impl Measured {
    /// Spans a second that were accepted.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a figure for people, of a few digits"
    )]
    pub(super) fn rate(&self) -> f64 {
        self.spans as f64 / self.elapsed.as_secs_f64()
    }
}

/// What one connection saw within the window.
#[derive(Debug, Default)]
struct Seen {
    waits: Vec<Duration>,
    refused: u64,
    unhinted: u64,
}

/// The window in which answers count.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    to: Instant,
}

impl Load {
    /// Sends for `warmup`, then for `time`, and measures the second.
    ///
    /// # Errors
    ///
    /// Where a body is refused in part, or in whole without `count_refused`: figures of refused work
    /// would mislead.
    pub(super) async fn run(
        &self,
        warmup: Duration,
        time: Duration,
        server: Option<&Server>,
    ) -> anyhow::Result<Measured> {
        let now_ns = u64::try_from(SystemClock.now_us()).unwrap_or(0) * 1000;
        let size = usize::try_from(self.spans)?;
        let template = Arc::new(Template::new(size, now_ns, self.content));
        let salts = Arc::new(AtomicU64::new(now_ns));
        let start = Instant::now();
        let window = Window {
            from: start + warmup,
            to: start + warmup + time,
        };
        let mut senders = JoinSet::new();
        for number in 0..self.connections {
            let (load, template, salts) = (self.clone(), Arc::clone(&template), Arc::clone(&salts));
            senders.spawn(async move {
                let sender = Sender {
                    template,
                    salts,
                    encoding: load.encoding,
                    count_refused: load.count_refused,
                };
                let pace = Pace::new(&load, number, start);
                sender.run(&load.target, pace, window).await
            });
        }
        tokio::time::sleep_until(window.from.into()).await;
        let before = server.map(Server::usage).transpose()?;
        tokio::time::sleep_until(window.to.into()).await;
        let after = server.map(Server::usage).transpose()?;
        let mut all = Seen::default();
        while let Some(sent) = senders.join_next().await {
            let seen = sent.context("a sender failed")??;
            all.waits.extend(seen.waits);
            all.refused += seen.refused;
            all.unhinted += seen.unhinted;
        }
        let mut waits = all.waits;
        waits.sort_unstable();
        let bodies = u64::try_from(waits.len())?;
        Ok(Measured {
            spans: bodies * u64::from(self.spans),
            bytes: bodies * u64::try_from(template.len())?,
            elapsed: time,
            waits,
            refused: all.refused,
            unhinted: all.unhinted,
            capacity: None,
            usage: before.zip(after).map(|(before, after)| after.since(before)),
        })
    }
}

/// When a connection's bodies are due.
#[derive(Clone, Copy, Debug)]
struct Pace {
    next: Instant,
    every: Option<Duration>,
}

impl Pace {
    fn new(load: &Load, number: u32, start: Instant) -> Self {
        let every = load.rate.map(|rate| {
            let bodies = f64::from(rate.max(1)) / f64::from(load.spans);
            Duration::from_secs_f64(f64::from(load.connections) / bodies)
        });
        let offset = every.map_or(Duration::ZERO, |e| e * number / load.connections.max(1));
        Self {
            next: start + offset,
            every,
        }
    }

    /// Waits until the next body is due, and gives from when its latency counts.
    async fn due(&mut self) -> Instant {
        let Some(every) = self.every else {
            return Instant::now();
        };
        let due = self.next;
        self.next += every;
        tokio::time::sleep_until(due.into()).await;
        due
    }
}

/// One connection.
struct Sender {
    template: Arc<Template>,
    salts: Arc<AtomicU64>,
    encoding: Encoding,
    count_refused: bool,
}

enum Connection {
    Http(Box<Http>, String),
    Grpc(Box<Grpc>),
}

impl Sender {
    /// Sends until the window ends; gives what was answered within it.
    async fn run(&self, target: &Target, mut pace: Pace, window: Window) -> anyhow::Result<Seen> {
        let mut connection = self.connect(target).await?;
        let mut seen = Seen::default();
        loop {
            // Over gRPC the channel compresses.
            let encoding = match connection {
                Connection::Http(..) => self.encoding,
                Connection::Grpc(_) => Encoding::None,
            };
            let body = self
                .template
                .body(self.salts.fetch_add(1, Ordering::Relaxed), encoding)?;
            let due = pace.due().await;
            if due >= window.to {
                return Ok(seen);
            }
            let answer = self.send(&mut connection, body).await?;
            let answered = Instant::now();
            if answered >= window.to {
                return Ok(seen);
            }
            let counts = answered >= window.from;
            match answer {
                Answer::Taken(answer) => {
                    whole(&answer)?;
                    if counts {
                        seen.waits.push(answered - due);
                    }
                }
                Answer::Refused { status, hinted } => {
                    ensure!(self.count_refused, "the server refused a body: {status}");
                    if counts {
                        seen.refused += 1;
                        seen.unhinted += u64::from(!hinted);
                    }
                }
            }
        }
    }

    async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        Ok(match target {
            Target::Http(url) => Connection::Http(Box::new(Http::new()), url.clone()),
            Target::Grpc(address) => {
                let coding = match self.encoding {
                    Encoding::None => None,
                    Encoding::Gzip => Some(CompressionEncoding::Gzip),
                    Encoding::Zstd => Some(CompressionEncoding::Zstd),
                };
                Connection::Grpc(Box::new(Grpc::connect(*address, coding).await?))
            }
        })
    }

    async fn send(&self, connection: &mut Connection, body: Bytes) -> anyhow::Result<Answer> {
        match connection {
            Connection::Http(http, url) => {
                let coding = match self.encoding {
                    Encoding::None => None,
                    Encoding::Gzip => Some("gzip"),
                    Encoding::Zstd => Some("zstd"),
                };
                http.post(url, ("application/x-protobuf", coding), body)
                    .await
            }
            Connection::Grpc(grpc) => grpc.export(body).await,
        }
    }
}
