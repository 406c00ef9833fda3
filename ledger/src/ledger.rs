//! The ledger of one node: its store, its place, and its next step.
//!
//! ```text
//! step:  where does the lake say that the ledger stands? --store is elsewhere--> read what it lacks
//!                |
//!                +-- an entry of the order is new -----> compute its traces again, commit
//!                +-- batches of events are new --------> book row by row, commit
//!                +-- batches of spans are new ---------> compute their traces, commit, keep
//!                '-- nothing ------------------------> idle
//! ```
//!
//! # Invariants
//!
//! * Bookings and the batches that they follow from are in one commit of the lake.
//! * A commit is made only if no other was made since the place was read that it was computed from.
//! * The store changes after the commit, never before. Where it lacks a commit, it is read again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_lake::{Lake, Snapshot};
use weir_model::{Clock, Dataset, NodeId};
use weir_transforms::trace::{Fact, Shared};

use crate::LedgerError;
use crate::events::{self, EventsBooked};
use crate::order::Order;
use crate::place::Place;
use crate::prices::{PriceLists, Reprice};
use crate::status::{Status, add};
use crate::store::{Store, StoreConfig};
use crate::window::Reader;

/// Bytes that a row of spans takes while its trace is computed, about.
const ROW_BYTES: usize = 2_048;
/// The fewest rows of a round, however little memory there is.
const ROWS_MIN: usize = 8_192;
/// How often entries of the order are looked for.
const ENTRIES_EVERY: Duration = Duration::from_secs(5);

/// What the ledger may take, and how it works.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// Under whose name its bookings are in the lake: [`LEDGER_NODE`](crate::LEDGER_NODE), or in a
    /// lake of single tenants [`OWN_LEDGER_NODE`](crate::OWN_LEDGER_NODE). One name for each lake,
    /// for ever.
    pub node: NodeId,
    /// The folder of its store.
    pub folder: PathBuf,
    /// Bytes of memory, for the store and for a round together.
    pub memory_bytes: usize,
    /// Bytes of disk for the store.
    pub disk_bytes: u64,
    /// For how long the facts of spans are kept in the store.
    pub facts_kept: Duration,
    /// How far back the lake is searched for a trace that the store has dropped.
    pub lookback: Duration,
    /// How often the store is written.
    pub keep_every: Duration,
    /// How often the lake is asked for new batches.
    pub interval: Duration,
    /// After how long without a sign of life another node takes over.
    pub lease: Duration,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There was nothing to do.
    Idle,
    /// Spans or an entry were booked.
    Booked {
        /// Spans that were read.
        spans: usize,
        /// Rows that were added to the ledger.
        bookings: usize,
        /// Whether there is more to do at once.
        more: bool,
    },
    /// Another node was faster; nothing was done.
    Fenced,
    /// The store was brought up to the lake.
    Synced,
}

/// Where a test stops the ledger, as a crash would: asked at each named place.
pub type StopHere = Arc<dyn Fn(&'static str) -> bool + Send + Sync>;

/// The ledger: reads new spans, books what their traces cost, and commits.
pub struct Ledger {
    pub(crate) lake: Arc<Lake>,
    pub(crate) prices: Arc<dyn PriceLists>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: LedgerConfig,
    pub(crate) store: Store,
    pub(crate) shared: Shared,
    pub(crate) spans: Reader,
    /// Of each table of events.
    pub(crate) events: Vec<Reader>,
    pub(crate) order: Order,
    pub(crate) status: Arc<Status>,
    entries_looked: Option<Instant>,
    stop_here: Option<StopHere>,
}

/// The step that booked events before it came to the spans. Where those were fenced, the events stay
/// booked, and the next step finds the place behind them.
fn with_events(step: Step, events: EventsBooked) -> Step {
    match step {
        Step::Idle | Step::Booked { .. } if events.rounds > 0 => {
            let (spans, bookings, more) = match step {
                Step::Booked {
                    spans,
                    bookings,
                    more,
                } => (spans, bookings, more),
                Step::Idle | Step::Fenced | Step::Synced => (0, 0, false),
            };
            Step::Booked {
                spans,
                bookings: bookings + events.bookings,
                more: more || events.more,
            }
        }
        Step::Idle | Step::Booked { .. } | Step::Fenced | Step::Synced => step,
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger")
            .field("store", &self.store.size())
            .finish_non_exhaustive()
    }
}

impl Ledger {
    /// Opens the store of a node. One that is damaged is made anew. The lake is not asked yet.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Store`] where the folder cannot be written.
    pub fn open(
        lake: Arc<Lake>,
        prices: Arc<dyn PriceLists>,
        clock: Arc<dyn Clock>,
        config: LedgerConfig,
    ) -> Result<Self, LedgerError> {
        let (store, fault) = Store::open(StoreConfig {
            folder: config.folder.clone(),
            memory_bytes: config.memory_bytes / 2,
            disk_bytes: config.disk_bytes,
            kept: config.facts_kept,
            known: config.lookback,
            every: config.keep_every,
        })?;
        if let Some(error) = fault {
            tracing::warn!(%error, "ledger.store.renewed");
        }
        let order = Order::new(&lake);
        Ok(Self {
            lake,
            prices,
            clock,
            config,
            store,
            shared: Shared::default(),
            spans: Reader::new(Dataset::Spans, Fact::columns()),
            events: events::readers(),
            order,
            status: Arc::default(),
            entries_looked: None,
            stop_here: None,
        })
    }

    /// Stops at places that `here` names, for tests.
    #[must_use]
    pub fn stopping(mut self, here: StopHere) -> Self {
        self.stop_here = Some(here);
        self
    }

    /// What it tells of itself, also while it works.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Takes the next step; see [`Step`].
    ///
    /// # Errors
    ///
    /// Nothing is counted that was not committed. Whether a commit was made is found out by the next
    /// step.
    pub async fn step(&mut self) -> Result<Step, LedgerError> {
        let (ledger, place) = self.place().await?;
        if Box::pin(self.sync(&ledger, &place)).await? {
            return Ok(Step::Synced);
        }
        if self
            .entries_looked
            .is_none_or(|at| at.elapsed() >= ENTRIES_EVERY)
        {
            if let Some(entry) = self.order.next(place.entries).await? {
                return Box::pin(self.apply_entry(&ledger, place, entry)).await;
            }
            self.entries_looked = Some(Instant::now());
        }
        let step = match Box::pin(self.book_events(place)).await? {
            None => Step::Fenced,
            Some((place, events)) => {
                let step = Box::pin(self.round(&ledger, place)).await?;
                with_events(step, events)
            }
        };
        if step == Step::Fenced {
            add(&self.status.fenced, 1);
        }
        Ok(step)
    }

    /// Brings the store up to the lake without booking: what a node does that does not hold the
    /// lease, so that it can take over at once.
    ///
    /// # Errors
    ///
    /// As [`Ledger::step`].
    pub async fn follow(&mut self) -> Result<(), LedgerError> {
        let (ledger, place) = self.place().await?;
        Box::pin(self.sync(&ledger, &place)).await?;
        let spans = self.lake.snapshot(Dataset::Spans).await?;
        let pending = self.spans.plan(&spans, &place.cursors, u64::MAX);
        let batches = pending.map_or(0, |plan| plan.window.batches());
        self.status.lag(batches, self.clock.now_us());
        Ok(())
    }

    /// Writes the store, so that the next start need not read the lake.
    ///
    /// # Errors
    ///
    /// Where the disk fails; the next start reads more of the lake then.
    pub fn close(mut self) -> Result<(), LedgerError> {
        let now_us = self.clock.now_us();
        self.store.write(now_us)?;
        Ok(())
    }

    /// Where the lake says that the ledger stands, with the entries up to there at hand.
    pub(crate) async fn place(&mut self) -> Result<(Arc<Snapshot>, Place), LedgerError> {
        let ledger = self.lake.snapshot(Dataset::CostLedger).await?;
        let place = Place::in_lake(&ledger, &self.config.node);
        self.order.load(place.entries).await?;
        Ok((ledger, place))
    }

    /// How many rows a round reads, about.
    pub(crate) fn rows_max(&self) -> usize {
        (self.config.memory_bytes / 2 / ROW_BYTES).max(ROWS_MIN)
    }

    /// Ends the step here if a test wants it.
    pub(crate) fn pass(&self, at: &'static str) -> Result<(), LedgerError> {
        match &self.stop_here {
            Some(stop) if stop(at) => Err(LedgerError::Stopped { at }),
            Some(_) | None => Ok(()),
        }
    }

    /// Tells what the store takes.
    pub(crate) fn tell_size(&self) {
        let size = self.store.size();
        let of = &self.status;
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        of.facts.store(size.facts, relaxed);
        of.facts_disk_bytes.store(size.disk_bytes, relaxed);
        of.memory_bytes.store(size.memory_bytes, relaxed);
    }

    /// Makes an entry of the order: calls that began from `from_us` up to `to_us` and that were
    /// accepted before now are priced by `lists`. The next steps book what that changes.
    ///
    /// # Errors
    ///
    /// Where the entry could not be written; whether it was is seen by the next step.
    pub async fn enter(&mut self, entry: &Reprice) -> Result<i64, LedgerError> {
        let (_, place) = self.place().await?;
        let number = self.order.append(place.entries, entry).await?;
        self.entries_looked = None;
        Ok(number)
    }
}
