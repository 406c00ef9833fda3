//! The byte budget at the door.
//!
//! Every request reserves the bytes that it is going to hold before they are read, so that the
//! memory of all requests in flight is bounded. Nothing waits here: what does not fit is told to
//! come back later, since a queue at the door would only hide the overload until clients time out.
//!
//! # Invariants
//!
//! * The sum of all live [`Reservation`]s never exceeds the budget.
//! * Whatever a reservation took is given back when it is dropped, on every path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir_model::{Classify, Fault};

/// How long a client that found no room is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many bytes all requests in flight may hold together; clones share one budget.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
}

/// Bytes set aside for one request; dropping it gives them back.
#[derive(Debug)]
#[must_use = "the bytes are given back when this is dropped"]
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: usize,
}

/// There is no room for the request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the requests in flight hold all the memory set aside for them; retry in {} s", retry_after.as_secs())]
pub struct Overloaded {
    /// How long the client should wait before it tries again.
    pub retry_after: Duration,
}

impl Classify for Overloaded {
    fn fault(&self) -> Fault {
        Fault::Transient {
            after: Some(self.retry_after),
        }
    }
}

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit: bytes,
                used: AtomicUsize::new(0),
            }),
        }
    }

    /// Sets `bytes` aside, or says at once that they are not there.
    ///
    /// A request larger than the whole budget is let in when nothing else is: it would never fit
    /// otherwise, and its size is bounded by the body limits.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] where the rest of the budget is smaller; nothing was taken.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, Overloaded> {
        let mut held = bytes;
        let taken = self
            .shared
            .used
            .try_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                held = if used == 0 {
                    bytes.min(self.shared.limit)
                } else {
                    bytes
                };
                used.checked_add(held)
                    .filter(|sum| *sum <= self.shared.limit)
            });
        match taken {
            Ok(_) => Ok(Reservation {
                shared: Arc::clone(&self.shared),
                bytes: held,
            }),
            Err(_) => Err(Overloaded {
                retry_after: RETRY_AFTER,
            }),
        }
    }

    /// The bytes that are set aside now.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Acquire)
    }

    /// The bytes of the whole budget.
    pub fn limit(&self) -> usize {
        self.shared.limit
    }
}

impl Reservation {
    /// The bytes that this reservation holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but `bytes`; one that already holds less stays as it is.
    pub fn shrink(&mut self, bytes: usize) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        self.shared.used.fetch_sub(back, Ordering::AcqRel);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_at_once_and_room_returns_on_drop() {
        let budget = Budget::new(100);
        let first = budget.reserve(60).unwrap();
        let refused = budget.reserve(41).unwrap_err();
        assert!(refused.retry_after >= Duration::from_secs(1));
        assert_eq!(budget.used(), 60, "a refusal takes nothing");
        let second = budget.reserve(40).unwrap();
        assert!(budget.reserve(1).is_err());
        drop(first);
        assert_eq!(budget.used(), 40);
        drop(second);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_request_larger_than_the_budget_is_let_in_alone() {
        let budget = Budget::new(100);
        let large = budget.reserve(1000).unwrap();
        assert_eq!(large.bytes(), 100);
        assert!(budget.reserve(1).is_err());
        drop(large);
        let small = budget.reserve(1).unwrap();
        assert!(budget.reserve(1000).is_err(), "not beside another");
        drop(small);
    }

    #[test]
    fn shrinking_gives_back_the_rest_and_never_grows() {
        let budget = Budget::new(100);
        let mut held = budget.reserve(80).unwrap();
        held.shrink(30);
        assert_eq!((held.bytes(), budget.used()), (30, 30));
        held.shrink(70);
        assert_eq!((held.bytes(), budget.used()), (30, 30));
        drop(held);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn threads_that_race_never_exceed_the_limit() {
        let budget = Budget::new(1000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for size in 1..200 {
                        if let Ok(held) = budget.reserve(size) {
                            assert!(budget.used() <= budget.limit());
                            drop(held);
                        }
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
    }
}
