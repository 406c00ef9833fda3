//! The byte budget at the door.
//!
//! Every request reserves the bytes that it is going to hold before they are read, so that the
//! memory of all requests in flight is bounded. Nothing waits here: what does not fit is told to
//! come back later, since a queue at the door would only hide the overload until clients time out.
//!
//! Where several tenants share a node, a [`Budget`] is told whose requests it counts: a tenant may
//! hold at most [`SHARE`] times what is free after it, so that one alone leaves a fifth to whoever
//! comes, and several that want all end with equal parts.
//!
//! # Invariants
//!
//! * The sum of all live [`Reservation`]s that were asked for never exceeds the budget; what is
//!   [held](Budget::hold) in any case may, and nothing is let in while it does.
//! * Whatever a reservation took is given back when it is dropped, on every path.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use weir_model::{Classify, Fault};

/// How long a client that found no room is asked to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How many times what is free one tenant may hold.
pub const SHARE: usize = 4;

/// How many bytes all requests in flight may hold together; clones share one budget.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
    share: Option<Share>,
}

/// What the requests of one tenant hold; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Share(Arc<AtomicUsize>);

impl Share {
    /// The bytes that the tenant's requests hold now.
    pub fn used(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Debug)]
struct Shared {
    limit: usize,
    /// What a tenant may hold in any case, so that its largest request is always possible.
    floor: usize,
    used: AtomicUsize,
}

/// Bytes set aside for one request; dropping it gives them back.
#[derive(Debug)]
#[must_use = "the bytes are given back when this is dropped"]
pub struct Reservation {
    shared: Arc<Shared>,
    share: Option<Share>,
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
        Self::with_floor(bytes, 0)
    }

    /// A budget of `bytes`, of which a tenant may hold `floor` whatever others hold.
    pub fn with_floor(bytes: usize, floor: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                limit: bytes,
                floor,
                used: AtomicUsize::new(0),
            }),
            share: None,
        }
    }

    /// The same budget, for requests that count towards `share`.
    #[must_use]
    pub fn shared_by(&self, share: &Share) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            share: Some(share.clone()),
        }
    }

    /// Sets `bytes` aside, or says at once that they are not there.
    ///
    /// A request larger than the whole budget is let in when nothing else is: it would never fit
    /// otherwise, and its size is bounded by the body limits.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] where the rest of the budget, or of the tenant's share of it, is smaller;
    /// nothing was taken.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, Overloaded> {
        if let Some(share) = &self.share {
            // Two looks that are not one: a race may exceed a share by a request, the budget never.
            let free = self
                .shared
                .limit
                .saturating_sub(self.used())
                .saturating_sub(bytes);
            let fair = free.saturating_mul(SHARE).max(self.shared.floor);
            let used = share.used();
            if used > 0 && used.saturating_add(bytes) > fair {
                return Err(Overloaded {
                    retry_after: RETRY_AFTER,
                });
            }
        }
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
            Ok(_) => {
                if let Some(Share(used)) = &self.share {
                    used.fetch_add(held, Ordering::AcqRel);
                }
                Ok(Reservation {
                    shared: Arc::clone(&self.shared),
                    share: self.share.clone(),
                    bytes: held,
                })
            }
            Err(_) => Err(Overloaded {
                retry_after: RETRY_AFTER,
            }),
        }
    }

    /// Counts `bytes` that are held in any case, as what an admitted request grew into: whoever comes
    /// next is refused for it, not this one. It is the caller's to see that there are few such.
    pub fn hold(&self, bytes: usize) -> Reservation {
        self.shared.used.fetch_add(bytes, Ordering::AcqRel);
        Reservation {
            shared: Arc::clone(&self.shared),
            share: None,
            bytes,
        }
    }

    /// Whether what is held leaves the budget whole; to be asked before a request grows.
    ///
    /// # Errors
    ///
    /// [`Overloaded`] where more is held than the budget has.
    pub fn check(&self) -> Result<(), Overloaded> {
        if self.used() > self.limit() {
            return Err(Overloaded {
                retry_after: RETRY_AFTER,
            });
        }
        Ok(())
    }

    /// The bytes that are not set aside.
    pub fn free(&self) -> usize {
        self.limit().saturating_sub(self.used())
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
        self.give_back(back);
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.shared.used.fetch_sub(bytes, Ordering::AcqRel);
        if let Some(Share(used)) = &self.share {
            used.fetch_sub(bytes, Ordering::AcqRel);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.give_back(self.bytes);
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
    fn what_is_held_in_any_case_is_missed_by_whoever_asks() {
        let budget = Budget::new(100);
        let grown = budget.hold(130);
        assert_eq!((budget.used(), budget.free()), (130, 0));
        assert!(budget.reserve(1).is_err());
        assert!(budget.check().is_err());
        drop(grown);
        assert_eq!(budget.free(), 100);
        assert!(budget.check().is_ok());
        assert!(budget.reserve(100).is_ok());
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

    /// What `share` can get by asking for one byte after another.
    fn all_that_it_gets(budget: &Budget, share: &Share) -> Vec<Reservation> {
        let own = budget.shared_by(share);
        std::iter::from_fn(|| own.reserve(1).ok()).collect()
    }

    #[test]
    fn a_tenant_that_takes_all_it_gets_leaves_a_fifth_to_the_next() {
        let budget = Budget::new(1_000);
        let (greedy, modest) = (Share::default(), Share::default());
        let held = all_that_it_gets(&budget, &greedy);
        assert_eq!((held.len(), greedy.used(), budget.used()), (800, 800, 800));
        let other = budget.shared_by(&modest).reserve(100).unwrap();
        assert!(budget.shared_by(&greedy).reserve(1).is_err());
        drop(held);
        assert_eq!((greedy.used(), modest.used(), budget.used()), (0, 100, 100));
        drop(other);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn tenants_that_all_want_more_end_with_equal_parts() {
        let budget = Budget::new(900);
        let shares: Vec<Share> = (0..2).map(|_| Share::default()).collect();
        let mut held: Vec<Vec<Reservation>> = vec![Vec::new(), Vec::new()];
        // Requests come and go: each gives one back and asks for two.
        for _ in 0..2_000 {
            for (share, own) in shares.iter().zip(&mut held) {
                drop(own.pop());
                for _ in 0..2 {
                    own.extend(budget.shared_by(share).reserve(1));
                }
            }
        }
        for share in &shares {
            assert!((395..=405).contains(&share.used()), "{}", share.used());
        }
    }

    #[test]
    fn the_floor_lets_the_largest_request_grow_in_a_small_budget() {
        let budget = Budget::with_floor(100, 100);
        let own = budget.shared_by(&Share::default());
        let first = own.reserve(20).unwrap();
        let rest = own.reserve(80).unwrap();
        assert_eq!(budget.used(), 100);
        drop((first, rest));
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
