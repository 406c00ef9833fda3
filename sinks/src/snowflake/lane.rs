//! One named channel and its one writer: in order, and settled only when Snowflake has committed.
//!
//! ```text
//!            <= what was sent                      > what was sent
//!  rows ---- whole batch, from the base on: there  ---- cut, appended, committed
//!        '-- anything else: looked up in the table, and mended through a channel of its own
//! ```
//!
//! # Invariants
//!
//! * Rows are appended in the order of their places, each place once for the life of the channel.
//! * The channel is taken out of its place while an append is on its way: whoever drops the future
//!   leaves no channel behind, and the next write opens it anew and learns what has arrived.
//! * Nothing is settled on the answer of an append; only on the committed token.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::api::Api;
use super::channel::{self, Address, Status};
use super::cut::{Piece, Slice, cut};
use super::error::{Reaction, Refusal, SnowflakeError, is_sound};
use super::gauges::Gauges;
use super::token::{OffsetToken, Position};

/// The longest pause between two questions whether rows are committed.
const POLL_MAX: Duration = Duration::from_secs(1);
/// The window in which requests are counted: somewhat more than a second, since requests may
/// arrive closer together than they were sent.
const RATE_WINDOW: Duration = Duration::from_millis(1_050);

/// A channel that is open.
#[derive(Clone, Debug)]
pub(super) struct Open {
    continuation: String,
    /// Up to here Snowflake has answered that it took the rows.
    pub(super) sent: Option<OffsetToken>,
    /// Up to here they are committed.
    committed: Option<Position>,
    /// The channel's rejected rows that are accounted for.
    errors: u64,
    /// Rows that the channel has stored in its life.
    pub(super) inserted: u64,
}

/// Which rows of a range Snowflake has left out.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) from: Position,
    pub(super) to: Position,
    pub(super) missing: BTreeSet<Position>,
    /// Those that were refused one by one, which is their end for the time being.
    pub(super) refused: BTreeSet<Position>,
    pub(super) message: String,
}

/// What is known of a channel between writes.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) open: Option<Open>,
    /// The furthest that was ever seen committed.
    known: Option<Position>,
    pub(super) verdict: Option<Verdict>,
    pub(super) requests: VecDeque<Instant>,
}

/// A channel and its writer.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) api: Arc<Api>,
    pub(super) at: Address,
    /// The table, by its full name.
    pub(super) table: String,
    pub(super) node: String,
    pub(super) gauges: Arc<Gauges>,
    pub(super) state: tokio::sync::Mutex<State>,
}

/// Waits between questions, longer and longer.
pub(super) struct Poll {
    pause: Duration,
    until: Instant,
    began: Instant,
}

impl Poll {
    pub(super) fn new(first: Duration, limit: Duration) -> Self {
        let began = Instant::now();
        Self {
            pause: first,
            until: began + limit,
            began,
        }
    }

    /// `false` where the time is over.
    pub(super) async fn wait(&mut self) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 3 / 2).min(POLL_MAX);
        true
    }

    pub(super) fn waited(&self) -> Duration {
        self.began.elapsed()
    }
}

fn reaction(error: &SnowflakeError) -> Option<Reaction> {
    error.refusal().map(Refusal::reaction)
}

impl Lane {
    pub(super) fn fault(&self, why: impl Into<String>) -> SnowflakeError {
        SnowflakeError::Channel {
            channel: self.at.name.clone(),
            why: why.into(),
        }
    }

    /// Brings every row of `slices` into the table, once; gives how many this call brought.
    pub(super) async fn write(&self, slices: Vec<Slice>) -> Result<u64, SnowflakeError> {
        let mut state = self.state.lock().await;
        if state.open.is_none() {
            self.open(&mut state).await?;
        }
        let (doubtful, mut fresh) = self.apart(&state, &slices);
        let mut stored = 0;
        if !doubtful.is_empty() {
            stored += Box::pin(self.settle_doubts(&mut state, &doubtful)).await?;
            let (again, rest) = self.apart(&state, &slices);
            let rows = |all: &[Slice]| all.iter().map(Slice::len).sum::<usize>();
            if rows(&again) > rows(&doubtful) {
                return Err(self.fault("another writer is at work"));
            }
            fresh = rest;
        }
        let pieces = self.encode(&fresh).await?;
        if !pieces.is_empty() {
            self.gauges.begin(&self.at.name);
        }
        for piece in &pieces {
            self.append(&mut state, &fresh, piece).await?;
            stored += piece.rows as u64;
        }
        let status = self.commit(&mut state).await?;
        self.gauges.end(&self.at.name);
        if let Some(status) = status {
            self.account(&mut state, &slices, &status).await?;
        }
        Ok(stored)
    }

    /// The rows that must be looked up, and those that were never sent.
    fn apart(&self, state: &State, slices: &[Slice]) -> (Vec<Slice>, Vec<Slice>) {
        let (mut doubtful, mut fresh) = (Vec::new(), Vec::new());
        let sent = state.open.as_ref().and_then(|o| o.sent);
        for slice in slices {
            let Some(sent) = sent.filter(|s| s.at >= slice.first()) else {
                fresh.push(slice.clone());
                continue;
            };
            let (before, after) = slice.clone().split(sent.at);
            fresh.extend(after);
            doubtful.extend(before.filter(|b| !b.whole || b.batch < sent.base));
        }
        (doubtful, fresh)
    }

    /// Opens the channel, and learns how far it is.
    pub(super) async fn open(
        &self,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<(), SnowflakeError> {
        state.open = None;
        let opened = self.take_over(&self.at).await?;
        let status = opened.status;
        let token: Option<OffsetToken> = match &status.committed {
            Some(text) => {
                let foreign =
                    |_| self.fault("its offset token is not one of weir: who writes here?");
                Some(text.parse().map_err(foreign)?)
            }
            None => None,
        };
        let at = token.map(|t| t.at);
        if at < state.known {
            let (was, is) = (state.known, at);
            let why = "rows are gone that were committed";
            let go_on = "after a restart weir goes on from there";
            return Err(self.fault(format!("{why}: {was:?} before, {is:?} now; {go_on}")));
        }
        state.known = at;
        let sent = token.map(|token| OffsetToken {
            // More rows were left out than were accounted for: which, has to be looked up.
            base: if token.errors == status.errors {
                token.base
            } else {
                token.at.batch + 1
            },
            ..token
        });
        state.open = Some(Open {
            continuation: opened.continuation,
            sent,
            committed: at,
            errors: status.errors,
            inserted: status.inserted,
        });
        Ok(())
    }

    /// Opens `at` once nothing is on its way there any more.
    pub(super) async fn take_over(&self, at: &Address) -> Result<channel::Opened, SnowflakeError> {
        let config = &self.api.config;
        let mut poll = Poll::new(config.commit_poll, config.takeover_timeout);
        loop {
            let error = match channel::open(&self.api, at, true).await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            if reaction(&error) != Some(Reaction::Wait) {
                return Err(error);
            }
            if !poll.wait().await {
                // They are discarded, and still here: they will be offered again.
                return channel::open(&self.api, at, false).await;
            }
        }
    }

    pub(super) async fn encode(&self, slices: &[Slice]) -> Result<Vec<Piece>, SnowflakeError> {
        if slices.is_empty() {
            return Ok(Vec::new());
        }
        let (config, slices) = (Arc::clone(&self.api.config), slices.to_vec());
        let work = tokio::task::spawn_blocking(move || cut(&config, &slices));
        work.await.map_err(SnowflakeError::encode)?
    }

    /// Waits until the channel may send one request more.
    pub(super) async fn pace(&self, state: &mut State) {
        let most = self.api.config.requests_per_second;
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
        while state.requests.len() >= most {
            if let Some(oldest) = state.requests.pop_front() {
                tokio::time::sleep_until(oldest + RATE_WINDOW).await;
            }
        }
        state.requests.push_back(Instant::now());
    }

    async fn append(
        &self,
        state: &mut MutexGuard<'_, State>,
        fresh: &[Slice],
        piece: &Piece,
    ) -> Result<(), SnowflakeError> {
        self.pace(state).await;
        let Some(mut open) = state.open.take() else {
            return Err(self.fault("it is not open"));
        };
        let token = |at: Position, ends| OffsetToken {
            at,
            ends,
            base: base_at(open.sent, fresh, piece.last.batch),
            errors: open.errors,
        };
        let (start, end) = (token(piece.first, false), token(piece.last, piece.ends));
        let texts = (start.to_string(), end.to_string());
        let texts = (texts.0.as_str(), texts.1.as_str());
        let next = channel::append(&self.api, &self.at, &open.continuation, piece, texts).await?;
        open.continuation = next;
        open.sent = Some(end);
        state.open = Some(open);
        Ok(())
    }

    /// Waits until all that was sent is committed; `None` where nothing was open.
    async fn commit(
        &self,
        state: &mut MutexGuard<'_, State>,
    ) -> Result<Option<Status>, SnowflakeError> {
        let Some(open) = state.open.clone() else {
            return Ok(None);
        };
        let Some(target) = open
            .sent
            .map(|t| t.at)
            .filter(|at| open.committed < Some(*at))
        else {
            return Ok(None);
        };
        let reached = |text: &str| text.parse().is_ok_and(|t: OffsetToken| t.at >= target);
        let status = match self.committed(&self.at, reached).await {
            Ok(status) => status,
            Err(error) => {
                // Where only the time was over, or nobody answered, the next attempt waits on.
                let unsound = matches!(error, SnowflakeError::Channel { .. });
                if unsound || reaction(&error) == Some(Reaction::Reopen) {
                    state.open = None;
                }
                return Err(error);
            }
        };
        state.known = state.known.max(Some(target));
        if let Some(open) = &mut state.open {
            open.committed = Some(target);
            open.inserted = status.inserted;
        }
        Ok(Some(status))
    }

    /// Asks until the committed token is as `reached` wants it.
    pub(super) async fn committed(
        &self,
        at: &Address,
        reached: impl Fn(&str) -> bool,
    ) -> Result<Status, SnowflakeError> {
        let config = &self.api.config;
        let mut poll = Poll::new(config.commit_poll, config.commit_timeout);
        while poll.wait().await {
            let Some(status) = channel::status(&self.api, at).await? else {
                return Err(self.fault("it is gone"));
            };
            if status.committed.as_deref().is_some_and(&reached) {
                return Ok(status);
            }
            if !is_sound(&status.code) {
                return Err(self.fault(format!("it is no longer sound: {}", status.code)));
            }
        }
        Err(SnowflakeError::NotCommitted {
            channel: at.name.clone(),
            waited: poll.waited(),
        })
    }

    /// Looks whether Snowflake has left rows out that were just committed: they are among `slices`,
    /// since an attempt that only waits is offered the rows of the one that sent them.
    async fn account(
        &self,
        state: &mut MutexGuard<'_, State>,
        slices: &[Slice],
        status: &Status,
    ) -> Result<(), SnowflakeError> {
        let Some(open) = &mut state.open else {
            return Ok(());
        };
        if status.errors <= open.errors {
            return Ok(());
        }
        let counted = status.errors;
        // Until it is known which, none of these rows counts as stored.
        if let Some(sent) = &mut open.sent {
            sent.base = sent.at.batch + 1;
        }
        let inserted = open.inserted;
        let missing = match self.missing(slices, inserted).await {
            Ok(missing) => missing,
            Err(error) => {
                state.open = None;
                return Err(error);
            }
        };
        if let Some(open) = &mut state.open {
            open.errors = counted;
        }
        self.refuse(state, slices, missing, &status.message)
    }

    /// Says that `missing` of `slices` were rejected, and remembers it; well where none was.
    pub(super) fn refuse(
        &self,
        state: &mut State,
        slices: &[Slice],
        missing: BTreeSet<Position>,
        message: &str,
    ) -> Result<(), SnowflakeError> {
        if missing.is_empty() {
            return Ok(());
        }
        let rows = missing.len();
        self.gauges.rejected(rows as u64);
        let message = message.to_owned();
        let all: usize = slices.iter().map(Slice::len).sum();
        let ends = slices.first().zip(slices.last());
        if let Some((first, last)) = ends.filter(|_| all > 1) {
            state.verdict = Some(Verdict {
                from: first.first(),
                to: last.last(),
                missing,
                refused: BTreeSet::new(),
                message: message.clone(),
            });
        }
        Err(SnowflakeError::Rejected { rows, message })
    }
}

/// From which batch on nothing is missing, once the slices up to `batch` are sent as well.
fn base_at(sent: Option<OffsetToken>, fresh: &[Slice], batch: i64) -> i64 {
    let mut token = sent;
    for slice in fresh.iter().filter(|s| s.batch <= batch) {
        token = Some(OffsetToken {
            at: slice.last(),
            ends: slice.ends,
            base: token.map_or(slice.batch, |t| t.base_for(slice.batch)),
            errors: 0,
        });
    }
    token.map_or(batch, |t| t.base)
}
