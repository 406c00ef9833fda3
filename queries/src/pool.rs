//! The memory of one query within the memory of all.

use std::fmt;
use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// Grants a query memory up to its own limit, shared out fairly among those of its operators that
/// can spill, and only as long as all queries together stay below the common limit. Where either
/// is reached, operators spill to disk if they can, else the query fails.
#[derive(Debug)]
pub(crate) struct QueryPool {
    own: FairSpillPool,
    all: Arc<dyn MemoryPool>,
}

impl QueryPool {
    pub(crate) fn new(own_bytes: usize, all: Arc<dyn MemoryPool>) -> Self {
        Self {
            own: FairSpillPool::new(own_bytes),
            all,
        }
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("query")
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.all.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        let granted = self.all.try_grow(reservation, additional);
        if granted.is_err() {
            self.own.shrink(reservation, additional);
        }
        granted
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}
