//! Requests that were seen before: a resend gets the first answer, and nothing is stored twice.
//!
//! ```text
//! first   --begin--> Ticket ---- append, fsync ---- finish(answer) --> remembered
//! resend  --begin--> (waits while the first is in flight) ----------> Repeat(answer)
//! other payload under the same name -------------------------------> Conflict
//! ```
//!
//! # Invariants
//!
//! * An answer is remembered only once its rows are durable.
//! * A ticket that is dropped unfinished leaves no trace: the next one with its name is first.
//! * At most `capacity` answers are remembered; the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use weir_ingest::log::Route;
use weir_model::TenantId;

/// What a request is known by.
pub(crate) type Name = [u8; 16];

/// Tells one payload from another under the same name.
pub(crate) type Fingerprint = [u8; 16];

/// The answers of recent requests.
#[derive(Clone, Debug)]
pub(crate) struct Resends {
    table: Arc<Mutex<Table>>,
    window_us: i64,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Name, Entry>,
    /// Remembered names in the order of their times.
    order: VecDeque<(i64, Name)>,
    /// When the newest answer was given that had to go for want of room.
    cut_us: Option<i64>,
}

#[derive(Debug)]
enum Entry {
    InFlight(watch::Receiver<()>),
    Answered {
        fingerprint: Fingerprint,
        answer: Bytes,
        at_us: i64,
    },
}

/// How a request stands to those before it.
#[derive(Debug)]
pub(crate) enum Standing {
    /// It is the first of its name.
    First(Ticket),
    /// It was answered before.
    Repeat(Bytes),
    /// Its name was used for another payload.
    Conflict,
    /// Its first sending is in flight; wait for it, then ask again.
    Wait(watch::Receiver<()>),
}

/// The right to answer under a name.
#[derive(Debug)]
pub(crate) struct Ticket {
    resends: Resends,
    name: Name,
    fingerprint: Fingerprint,
    finished: bool,
    /// Its end wakes those who wait.
    _waiters: watch::Sender<()>,
}

impl Resends {
    /// Remembers up to `capacity` answers, each for `window_us`.
    pub(crate) fn new(window_us: i64, capacity: usize) -> Self {
        Self {
            table: Arc::default(),
            window_us,
            capacity,
        }
    }

    /// Asks how a request stands at `now_us`; it does not wait.
    pub(crate) fn begin(&self, name: Name, fingerprint: Fingerprint, now_us: i64) -> Standing {
        let mut table = self.lock();
        self.forget(&mut table, now_us);
        match table.entries.get(&name) {
            Some(Entry::InFlight(done)) => return Standing::Wait(done.clone()),
            Some(Entry::Answered {
                fingerprint: first,
                answer,
                ..
            }) => {
                return if *first == fingerprint {
                    Standing::Repeat(answer.clone())
                } else {
                    Standing::Conflict
                };
            }
            None => {}
        }
        let (waiters, done) = watch::channel(());
        table.entries.insert(name, Entry::InFlight(done));
        Standing::First(Ticket {
            resends: self.clone(),
            name,
            fingerprint,
            finished: false,
            _waiters: waiters,
        })
    }

    /// Remembers an answer that was given before a restart.
    pub(crate) fn restore(&self, name: Name, fingerprint: Fingerprint, answer: Bytes, at_us: i64) {
        let mut table = self.lock();
        let answered = Entry::Answered {
            fingerprint,
            answer,
            at_us,
        };
        table.entries.insert(name, answered);
        table.order.push_back((at_us, name));
        self.forget(&mut table, at_us);
    }

    /// How many answers are remembered, and how far back, in microseconds, none is missing: the
    /// window, unless answers within it had to go for want of room.
    pub(crate) fn extent(&self, now_us: i64) -> (usize, i64) {
        let table = self.lock();
        let begin = now_us.saturating_sub(self.window_us);
        let back = match (table.cut_us, table.order.front()) {
            (Some(cut), Some((oldest, _))) if cut >= begin => now_us.saturating_sub(*oldest),
            _ => self.window_us,
        };
        (table.order.len(), back.max(0))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Each change is whole before the lock is given back, so a panic elsewhere breaks nothing.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, table: &mut Table, now_us: i64) {
        let before = now_us.saturating_sub(self.window_us);
        while let Some((at, name)) = table.order.front().copied() {
            if at >= before && table.order.len() <= self.capacity {
                break;
            }
            table.order.pop_front();
            if at >= before {
                table.cut_us = Some(at);
            }
            let same =
                |entry: &Entry| matches!(entry, Entry::Answered { at_us, .. } if *at_us == at);
            if table.entries.get(&name).is_some_and(same) {
                table.entries.remove(&name);
            }
        }
    }
}

impl Ticket {
    /// Remembers `answer`, whose rows are durable.
    pub(crate) fn finish(mut self, answer: Bytes, now_us: i64) {
        self.finished = true;
        self.resends
            .restore(self.name, self.fingerprint, answer, now_us);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.finished {
            self.resends.lock().entries.remove(&self.name);
        }
    }
}

/// What a resend is known by: its tenant, its route, its bytes.
pub(crate) fn digest(tenant: &TenantId, route: Route, body: &[u8]) -> Name {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[route.code()]);
    hasher.update(tenant.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(body);
    short(&hasher.finalize())
}

/// What a sender's key is known by: its tenant, its source, itself.
pub(crate) fn scope(tenant: &TenantId, key: &str) -> Name {
    let mut hasher = blake3::Hasher::new();
    hasher.update(tenant.as_str().as_bytes());
    hasher.update(&[0]);
    hasher.update(key.as_bytes());
    short(&hasher.finalize())
}

fn short(hash: &blake3::Hash) -> Name {
    let mut name = Name::default();
    for (to, from) in name.iter_mut().zip(hash.as_bytes()) {
        *to = *from;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Name = [1; 16];
    const PAYLOAD: Fingerprint = [2; 16];

    fn first(resends: &Resends, name: Name, now_us: i64) -> Ticket {
        let standing = resends.begin(name, PAYLOAD, now_us);
        let Standing::First(ticket) = standing else {
            panic!("it stands as {standing:?}");
        };
        ticket
    }

    #[test]
    fn a_resend_gets_the_first_answer_until_the_window_ends() {
        let resends = Resends::new(100, 10);
        first(&resends, NAME, 0).finish(Bytes::from_static(b"yes"), 5);
        let again = resends.begin(NAME, PAYLOAD, 105);
        assert!(matches!(again, Standing::Repeat(answer) if answer == "yes"));
        assert!(matches!(
            resends.begin(NAME, [3; 16], 105),
            Standing::Conflict
        ));
        drop(first(&resends, NAME, 106));
    }

    #[test]
    fn a_failed_request_leaves_no_trace() {
        let resends = Resends::new(100, 10);
        drop(first(&resends, NAME, 0));
        drop(first(&resends, NAME, 1));
        assert_eq!(resends.extent(1).0, 0);
    }

    #[tokio::test]
    async fn a_resend_waits_while_the_first_is_in_flight() {
        let resends = Resends::new(100, 10);
        let ticket = first(&resends, NAME, 0);
        let Standing::Wait(mut done) = resends.begin(NAME, PAYLOAD, 0) else {
            panic!("it must wait");
        };
        let waiting = tokio::spawn(async move { done.changed().await });
        ticket.finish(Bytes::from_static(b"yes"), 1);
        assert!(waiting.await.unwrap().is_err(), "the ticket's end wakes it");
        assert!(matches!(
            resends.begin(NAME, PAYLOAD, 1),
            Standing::Repeat(_)
        ));
    }

    #[test]
    fn the_table_keeps_the_newest_answers_within_its_capacity() {
        let resends = Resends::new(1_000, 3);
        for i in 0..10_u8 {
            first(&resends, [i; 16], i64::from(i)).finish(Bytes::new(), i64::from(i));
        }
        assert_eq!(resends.extent(9), (3, 2));
        assert_eq!(
            resends.extent(1_007),
            (3, 1_000),
            "what was cut is out of the window"
        );
        assert!(matches!(
            resends.begin([9; 16], PAYLOAD, 9),
            Standing::Repeat(_)
        ));
        drop(first(&resends, [0; 16], 9));
    }
}
