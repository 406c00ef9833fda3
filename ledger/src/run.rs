//! The loop: holds the lease, takes step after step, gives way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_lake::{Lease, Standing};
use weir_model::Clock;

use crate::ledger::{Ledger, LedgerConfig, Step};
use crate::status::{Status, add};
use crate::{Derivation, Follower, LedgerError};

/// The longest wait after failures.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Keeps the lease until `stop` or until its sender is gone, and says in `held` whether it is ours.
/// To be run beside [`run`], which may be busy for longer than a lease lasts.
pub async fn keep_lease(
    mut lease: Lease,
    length: Duration,
    held: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let mut last_held: Option<Instant> = None;
    while !*stop.borrow() {
        match lease.turn().await {
            Ok(Standing::Held { term }) => {
                if !*held.borrow() {
                    tracing::info!(term, "ledger.lease.taken");
                }
                last_held = Some(Instant::now());
                held.send_replace(true);
            }
            Ok(Standing::Other { holder }) => {
                if *held.borrow() {
                    tracing::warn!(holder, "ledger.lease.lost");
                }
                held.send_replace(false);
            }
            Err(error) => {
                tracing::debug!(%error, "ledger.lease.unknown");
                // Others will take it by now, whether or not we hear of it.
                if last_held.is_none_or(|at| at.elapsed() >= length) {
                    held.send_replace(false);
                }
            }
        }
        if stopped_within(length / 3, &mut stop).await {
            break;
        }
    }
    // A stop waits for the last commit; only then is the lease given up.
    held.closed().await;
    if let Err(error) = lease.release().await {
        tracing::debug!(%error, "ledger.lease.unknown");
    }
}

/// Waits for `pause`, and says whether the owner stopped it in that time. An owner who went without
/// a word has stopped it too: a closed channel answers at once, so waiting on would be spinning.
async fn stopped_within(pause: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    let stopped = tokio::time::timeout(pause, stop.wait_for(|stop| *stop));
    stopped.await.is_ok()
}

/// Runs the ledger until `stop` or until its sender is gone: books while `held` says so, and
/// follows else. Then its store is written. `derived` tables are brought up after each step.
///
/// It computes between waits; call it where a thread may be kept busy.
pub async fn run(
    mut ledger: Ledger,
    mut derived: Vec<Follower>,
    held: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
) {
    let status = ledger.status();
    let interval = ledger.config.interval;
    let mut failures = 0_u32;
    while !*stop.borrow() {
        let booking = *held.borrow();
        status.booking.store(booking, Ordering::Relaxed);
        let pause = match Box::pin(turn(&mut ledger, &mut derived, booking)).await {
            Ok(again) => {
                failures = 0;
                *status.last_error.lock() = None;
                if again { Duration::ZERO } else { interval }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                failed(&mut ledger, &status, &error);
                (interval * failures.min(20)).min(PAUSE_MAX)
            }
        };
        if !pause.is_zero() && stopped_within(pause, &mut stop).await {
            break;
        }
    }
    status.booking.store(false, Ordering::Relaxed);
    if let Err(error) = ledger.close() {
        tracing::warn!(%error, "ledger.store.unwritten");
    }
}

/// One turn; says whether there is more to do at once.
async fn turn(
    ledger: &mut Ledger,
    derived: &mut [Follower],
    booking: bool,
) -> Result<bool, LedgerError> {
    if !booking {
        ledger.follow().await?;
        return Ok(false);
    }
    let step = ledger.step().await?;
    let again = match step {
        Step::Idle => false,
        Step::Fenced | Step::Synced => true,
        Step::Booked {
            spans,
            bookings,
            more,
        } => {
            tracing::debug!(spans, bookings, "ledger.booked");
            more
        }
    };
    for follower in derived {
        while follower.step().await? {}
    }
    Ok(again)
}

fn failed(ledger: &mut Ledger, status: &Status, error: &LedgerError) {
    add(&status.failures, 1);
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    tracing::warn!(error = text, "ledger.step.failed");
    *status.last_error.lock() = Some(text);
    if let LedgerError::Store(source) = error
        && source.kind() == std::io::ErrorKind::InvalidData
    {
        // The lake has it all; what is damaged here is worth nothing.
        tracing::warn!(error = %source, "ledger.store.renewed");
        if let Err(error) = ledger.store.clear() {
            tracing::warn!(%error, "ledger.store.unwritten");
        }
    }
}

/// Opens the ledger of `node` and its lease, ready for [`run`] and [`keep_lease`].
///
/// # Errors
///
/// As [`Ledger::open`].
pub fn open(
    lake: &Arc<weir_lake::Lake>,
    prices: Arc<dyn crate::PriceLists>,
    clock: &Arc<dyn Clock>,
    (config, node): (LedgerConfig, &str),
) -> Result<(Ledger, Lease), LedgerError> {
    let lease = Lease::new(lake, "ledger/lease", node, config.lease);
    let ledger = Ledger::open(Arc::clone(lake), prices, Arc::clone(clock), config)?;
    Ok((ledger, lease))
}

/// A follower of the ledger for each derivation.
pub fn followers(
    lake: &Arc<weir_lake::Lake>,
    clock: &Arc<dyn Clock>,
    all: Vec<Box<dyn Derivation>>,
) -> Vec<Follower> {
    let follower = |d| Follower::new(Arc::clone(lake), Arc::clone(clock), d);
    all.into_iter().map(follower).collect()
}
