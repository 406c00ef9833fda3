//! A TCP proxy that does to connections what networks and servers do on bad days.
//!
//! It knows no protocol. An exchange begins with the first bytes that a client sends after an
//! answer (or at all) and ends when the client speaks again; each exchange meets one fault. That
//! fits HTTP/1.1 on kept connections and Postgres alike, where it also falls between the statements
//! of a transaction.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to one exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// It goes through.
    None,
    /// The connection is closed before the server hears anything.
    Refused,
    /// The server gets the first bytes, as many as this, and then the connection is closed.
    Cut(usize),
    /// The server gets it all and answers; the connection is closed at the first byte of that.
    AnswerLost,
    /// The server gets it all and answers; the client hears nothing, for as long as it waits.
    Silence,
    /// Bytes pass in small pieces, with pauses.
    Drip,
    /// The server hears nothing: once the client rests, it is told this, and the connection is
    /// closed. An HTTP answer with its head, say.
    Answer(Vec<u8>),
}

impl LinkFault {
    /// An HTTP/1.1 answer of `status` without a body that comes from the proxy itself; `headers`
    /// are whole lines.
    pub fn http(status: u16, headers: &[&str]) -> Self {
        let mut answer = format!("HTTP/1.1 {status} Fault\r\n");
        for header in headers {
            answer.push_str(header);
            answer.push_str("\r\n");
        }
        answer.push_str("Content-Length: 0\r\nConnection: close\r\n\r\n");
        Self::Answer(answer.into_bytes())
    }
}

/// How long a client rests before it is held to have said all of a request.
const REST: Duration = Duration::from_millis(30);
/// Bytes of a drop, and the pause after it.
const DROP_BYTES: usize = 2_048;
const DROP_PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug)]
struct Plan {
    script: VecDeque<LinkFault>,
    weather: Vec<(LinkFault, u32)>,
    random: StdRng,
    met: u64,
}

impl Plan {
    fn next(&mut self) -> LinkFault {
        let fault = self.script.pop_front().unwrap_or_else(|| self.drawn());
        self.met += u64::from(fault != LinkFault::None);
        fault
    }

    fn drawn(&mut self) -> LinkFault {
        let all: u32 = self.weather.iter().map(|(_, weight)| weight).sum();
        if all == 0 {
            return LinkFault::None;
        }
        let mut at = self.random.random_range(0..all);
        for (fault, weight) in &self.weather {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return fault.clone(),
            }
        }
        LinkFault::None
    }
}

/// A proxy on a free loopback port; it ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    accepting: JoinHandle<()>,
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl FaultProxy {
    /// Listens in front of `server`; at first all goes through. Needs a running tokio.
    ///
    /// # Errors
    ///
    /// Where no port can be had.
    pub async fn start(server: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let plan = Arc::new(Mutex::new(Plan {
            script: VecDeque::new(),
            weather: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            met: 0,
        }));
        let shared = Arc::clone(&plan);
        let accepting = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while open.try_join_next().is_some() {}
                let plan = Arc::clone(&shared);
                open.spawn(async move {
                    if let Ok(server) = TcpStream::connect(server).await {
                        // An end by an error is an end; whoever waits finds out.
                        let _ = Link::new(client, server, plan).run().await;
                    }
                });
            }
        });
        Ok(Self {
            address,
            plan,
            accepting,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on each exchange draws its fault from these by weight; none is a calm day.
    pub fn weather(&self, weather: Vec<(LinkFault, u32)>) {
        self.plan.lock().weather = weather;
    }

    /// What the next exchanges meet, one each, before the weather counts again.
    pub fn plan(&self, faults: impl IntoIterator<Item = LinkFault>) {
        self.plan.lock().script.extend(faults);
    }

    /// How many exchanges have met a fault.
    pub fn met(&self) -> u64 {
        self.plan.lock().met
    }
}

/// One client and its connection to the server.
struct Link {
    client: TcpStream,
    server: TcpStream,
    plan: Arc<Mutex<Plan>>,
    fault: LinkFault,
    /// Whether the client's next bytes begin an exchange.
    fresh: bool,
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    End,
}

impl Link {
    fn new(client: TcpStream, server: TcpStream, plan: Arc<Mutex<Plan>>) -> Self {
        Self {
            client,
            server,
            plan,
            fault: LinkFault::None,
            fresh: true,
        }
    }

    async fn run(mut self) -> io::Result<()> {
        let (mut said, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        let (mut client_open, mut server_open) = (true, true);
        while client_open || server_open {
            tokio::select! {
                n = self.client.read(&mut said), if client_open => {
                    let bytes = said.get(..n?).unwrap_or_default();
                    if bytes.is_empty() {
                        client_open = false;
                        self.server.shutdown().await?;
                    } else if self.said(bytes).await? == Next::End {
                        return Ok(());
                    }
                }
                n = self.server.read(&mut answered), if server_open => {
                    let bytes = answered.get(..n?).unwrap_or_default();
                    if bytes.is_empty() {
                        server_open = false;
                        self.client.shutdown().await?;
                    } else if self.answered(bytes).await? == Next::End {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn said(&mut self, bytes: &[u8]) -> io::Result<Next> {
        if self.fresh {
            self.fresh = false;
            self.fault = self.plan.lock().next();
        }
        match &mut self.fault {
            LinkFault::None | LinkFault::AnswerLost | LinkFault::Silence => {
                self.server.write_all(bytes).await?;
            }
            LinkFault::Refused => return Ok(Next::End),
            LinkFault::Cut(left) => {
                let pass = bytes.len().min(*left);
                *left -= pass;
                self.server
                    .write_all(bytes.get(..pass).unwrap_or_default())
                    .await?;
                if *left == 0 {
                    return Ok(Next::End);
                }
            }
            LinkFault::Drip => drip(&mut self.server, bytes).await?,
            LinkFault::Answer(answer) => {
                let answer = std::mem::take(answer);
                return self.answer(&answer).await;
            }
        }
        Ok(Next::Go)
    }

    /// Answers in the server's place, once the client rests: one that is cut off while it sends
    /// would never look at the answer.
    async fn answer(&mut self, answer: &[u8]) -> io::Result<Next> {
        let mut rest = vec![0; 64 * 1024];
        loop {
            match tokio::time::timeout(REST, self.client.read(&mut rest)).await {
                Ok(Ok(0)) | Ok(Err(_)) => return Ok(Next::End),
                Ok(Ok(_)) => {}
                Err(_) => break,
            }
        }
        self.client.write_all(answer).await?;
        self.client.shutdown().await?;
        Ok(Next::End)
    }

    async fn answered(&mut self, bytes: &[u8]) -> io::Result<Next> {
        self.fresh = true;
        match &self.fault {
            LinkFault::AnswerLost => return Ok(Next::End),
            LinkFault::Silence => self.fresh = false,
            LinkFault::Drip => drip(&mut self.client, bytes).await?,
            LinkFault::None | LinkFault::Refused | LinkFault::Cut(_) | LinkFault::Answer(_) => {
                self.client.write_all(bytes).await?;
            }
        }
        Ok(Next::Go)
    }
}

async fn drip(to: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for drop in bytes.chunks(DROP_BYTES) {
        to.write_all(drop).await?;
        tokio::time::sleep(DROP_PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use super::*;

    /// A server that answers each line with itself, and keeps what it heard.
    async fn echo() -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&heard);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let keep = Arc::clone(&keep);
                tokio::spawn(async move {
                    let mut bytes = [0; 1024];
                    while let Ok(n @ 1..) = client.read(&mut bytes).await {
                        keep.lock().extend(&bytes[..n]);
                        let _ = client.write_all(&bytes[..n]).await;
                    }
                });
            }
        });
        (address, heard)
    }

    async fn ask(client: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        client.write_all(text).await?;
        let mut bytes = [0; 1024];
        let read = tokio::time::timeout(Duration::from_millis(200), client.read(&mut bytes));
        let n = read.await.map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(bytes[..n].to_vec())
    }

    #[tokio::test]
    async fn each_exchange_meets_its_fault() {
        let (server, heard) = echo().await;
        let proxy = FaultProxy::start(server, 1).await.unwrap();
        let connect = || TcpStream::connect(proxy.address());
        proxy.plan([
            LinkFault::None,
            LinkFault::Drip,
            LinkFault::AnswerLost,
            LinkFault::Cut(2),
            LinkFault::Refused,
            LinkFault::Silence,
            LinkFault::http(503, &["Retry-After: 1"]),
        ]);
        let mut client = connect().await.unwrap();
        assert_eq!(ask(&mut client, b"one\n").await.unwrap(), b"one\n");
        assert_eq!(ask(&mut client, b"two\n").await.unwrap(), b"two\n");
        assert!(
            !ask(&mut client, b"three\n")
                .await
                .is_ok_and(|b| !b.is_empty())
        );
        for text in [b"four\n", b"five\n"] {
            let mut client = connect().await.unwrap();
            assert!(!ask(&mut client, text).await.is_ok_and(|b| !b.is_empty()));
        }
        let mut client = connect().await.unwrap();
        let silence = ask(&mut client, b"six\n").await.unwrap_err();
        assert_eq!(silence.kind(), io::ErrorKind::TimedOut);
        let mut client = connect().await.unwrap();
        let answer = ask(&mut client, b"seven\n").await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 503 Fault\r\nRetry-After: 1\r\n"));
        let mut client = connect().await.unwrap();
        assert_eq!(ask(&mut client, b"eight\n").await.unwrap(), b"eight\n");
        assert_eq!(proxy.met(), 6);
        let heard = String::from_utf8(heard.lock().clone()).unwrap();
        assert_eq!(heard, "one\ntwo\nthree\nfosix\neight\n");
    }
}
