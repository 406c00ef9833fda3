//! Senders that never stop: each on its own connection, one request after the other.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::http::Connection;
use super::oracle::Oracle;
use super::random::Random;
use super::traffic::KINDS;

/// What the senders were told; shared while they run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: AtomicU64,
    /// Answers of 429 and 503.
    pub(crate) refused: AtomicU64,
    /// Requests whose connection broke before the answer.
    pub(crate) broken: AtomicU64,
    last_acknowledged: Mutex<Option<Instant>>,
    faults: Mutex<Vec<String>>,
}

impl Tally {
    /// When the last 2xx came.
    pub(crate) fn last_acknowledged(&self) -> Option<Instant> {
        *self.last_acknowledged.lock().unwrap()
    }

    fn fault(&self, text: String) {
        let mut faults = self.faults.lock().unwrap();
        if faults.len() < 10 {
            faults.push(text);
        }
    }
}

/// Running senders; [`Load::stop`] ends them.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    pub(crate) tally: Arc<Tally>,
    senders: Vec<JoinHandle<()>>,
}

/// What a sender needs.
struct Sender {
    oracle: Arc<Oracle>,
    address: SocketAddr,
    random: Random,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    tripwire: Option<PathBuf>,
}

impl Load {
    /// Starts `senders` senders against `address`.
    pub(crate) fn start(
        oracle: &Arc<Oracle>,
        address: SocketAddr,
        senders: u64,
        random: &mut Random,
    ) -> Self {
        Self::start_with_tripwire(oracle, address, senders, random, None)
    }

    /// As [`Load::start`]; a 2xx for a request that was sent after the file `tripwire` came to be is
    /// a fault.
    pub(crate) fn start_with_tripwire(
        oracle: &Arc<Oracle>,
        address: SocketAddr,
        senders: u64,
        random: &mut Random,
        tripwire: Option<PathBuf>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Tally::default());
        let senders = (0..senders)
            .map(|_| {
                let sender = Sender {
                    oracle: Arc::clone(oracle),
                    address,
                    random: Random::new(random.next()),
                    stop: Arc::clone(&stop),
                    tally: Arc::clone(&tally),
                    tripwire: tripwire.clone(),
                };
                thread::spawn(move || sender.run())
            })
            .collect();
        Self {
            stop,
            tally,
            senders,
        }
    }

    /// Ends the senders after the request that each is in; panics where one was told what a server
    /// must not say.
    pub(crate) fn stop(self) -> Arc<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        for sender in self.senders {
            sender.join().unwrap();
        }
        let faults = self.tally.faults.lock().unwrap();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        drop(faults);
        self.tally
    }
}

impl Sender {
    fn run(mut self) {
        let mut connection = None;
        while !self.stop.load(Ordering::Relaxed) {
            let Some(open) = connection
                .take()
                .or_else(|| Connection::open(self.address).ok())
            else {
                thread::sleep(Duration::from_millis(5));
                continue;
            };
            connection = self.send_one(open);
        }
    }

    /// Sends one request; the connection where it is still good.
    fn send_one(&mut self, mut connection: Connection) -> Option<Connection> {
        let kind = KINDS[usize::try_from(self.random.within(0, 4)).unwrap()];
        let count = self.random.within(1, 13);
        let tripped = self
            .tripwire
            .as_ref()
            .is_some_and(|path| path.try_exists().unwrap());
        let (place, first) = self.oracle.claim(kind, count);
        let headers = [("content-type", kind.content_type())];
        let body = kind.body(first, count);
        let Ok(answer) = connection.send("POST", kind.path(), &headers, &body) else {
            self.tally.broken.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        match answer.status {
            200..300 if tripped => {
                self.tally
                    .fault(format!("{kind:?}: acknowledged after a failed fsync"));
            }
            200..300 if kind.took_all(&answer, count) => {
                self.oracle.acknowledge(place);
                self.tally.acknowledged.fetch_add(1, Ordering::Relaxed);
                *self.tally.last_acknowledged.lock().unwrap() = Some(Instant::now());
            }
            429 | 503 => {
                self.tally.refused.fetch_add(1, Ordering::Relaxed);
                if answer.header("retry-after").is_none() {
                    self.tally
                        .fault(format!("{} without Retry-After", answer.status));
                }
                thread::sleep(Duration::from_millis(5));
            }
            status => self
                .tally
                .fault(format!("{kind:?}: {status} {}", answer.text())),
        }
        let closes = answer
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        (!closes).then_some(connection)
    }
}
