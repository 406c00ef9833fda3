//! One dataset at one sink: the loop itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_model::{Batch, Dataset, Fault, SourceError};

use super::Shared;
use super::backoff::Backoff;
use crate::{Part, SinkError};

/// A failure that goes on is logged once in this time.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// The delivery is to stop; what is not settled stays where it is.
#[derive(Debug)]
struct Stopped;

/// Why a sink will never take a run.
type Refusal = String;

/// Delivers one dataset.
#[derive(Debug)]
pub(super) struct Worker {
    shared: Arc<Shared>,
    dataset: Dataset,
    stopped: watch::Receiver<bool>,
    warned: Mutex<Option<Instant>>,
}

impl Worker {
    pub(super) fn new(
        shared: Arc<Shared>,
        dataset: Dataset,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            dataset,
            stopped,
            warned: Mutex::new(None),
        }
    }

    /// Delivers until it is stopped or the source closes.
    pub(super) async fn run(self) {
        let counts = &self.shared.counts;
        counts.change(self.dataset, |c| c.running = true);
        let Err(Stopped) = self.deliver().await;
        counts.change(self.dataset, |c| c.running = false);
    }

    async fn deliver(&self) -> Result<std::convert::Infallible, Stopped> {
        let shared = &self.shared;
        let mut backoff = self.backoff();
        loop {
            let after = shared.cursors.get(shared.sink.name(), self.dataset);
            let want = shared.sink.appetite();
            let next = shared.source.next(self.dataset, after, want);
            let error = match self.unless_stopped(next).await? {
                Ok(batches) if batches.first().is_some_and(|b| b.id().number == after + 1) => {
                    backoff = self.backoff();
                    self.settle_run(&batches).await?;
                    continue;
                }
                // Going on would leave out rows without a word.
                Ok(_) => "the source left out a batch".to_owned(),
                Err(SourceError::Lost { number, .. }) => {
                    self.lose(number).await?;
                    continue;
                }
                Err(SourceError::Skip { through, .. }) if through > after => {
                    self.advance(through).await?;
                    continue;
                }
                Err(SourceError::Closed) => return Err(Stopped),
                Err(error) => chain(&error),
            };
            self.wait_after(error, &mut backoff, None).await?;
        }
    }

    fn backoff(&self) -> Backoff {
        let config = &self.shared.config;
        Backoff::new(config.retry_base, config.retry_cap)
    }

    /// Waits for `future`, which may be dropped at any point, unless the delivery is stopped.
    async fn unless_stopped<T>(&self, future: impl Future<Output = T>) -> Result<T, Stopped> {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|s| *s) => Err(Stopped),
            value = future => Ok(value),
        }
    }

    /// Notes a failure, and waits before the next attempt.
    async fn wait_after(
        &self,
        error: String,
        backoff: &mut Backoff,
        after: Option<Duration>,
    ) -> Result<(), Stopped> {
        let wait = backoff.next(self.shared.config.jitter.as_ref(), after);
        let sink = self.shared.sink.name();
        if self.may_warn() {
            tracing::warn!(sink, dataset = %self.dataset, error, ?wait, "sink.attempt.failed");
        }
        self.shared.counts.change(self.dataset, |c| {
            c.failures += 1;
            c.last_error = Some(error);
        });
        self.unless_stopped(tokio::time::sleep(wait)).await
    }

    /// Whether a failure may be logged now.
    fn may_warn(&self) -> bool {
        let mut warned = self.warned.lock();
        let may = warned.is_none_or(|at| at.elapsed() >= WARN_EVERY);
        if may {
            *warned = Some(Instant::now());
        }
        may
    }

    /// Does `work`, which blocks for the disk, until it succeeds.
    async fn durably<T, E>(
        &self,
        work: impl Fn(&Shared) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, Stopped>
    where
        T: Send + 'static,
        E: std::error::Error + Send + 'static,
    {
        let mut backoff = self.backoff();
        loop {
            let (shared, work) = (Arc::clone(&self.shared), work.clone());
            let error = match tokio::task::spawn_blocking(move || work(&shared)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => chain(&error),
                Err(_) => "a helper thread ended early".to_owned(),
            };
            self.wait_after(error, &mut backoff, None).await?;
        }
    }

    /// Offers `run` until the sink takes it or refuses it for good.
    async fn offer(&self, run: &[Part]) -> Result<Result<(), Refusal>, Stopped> {
        let shared = &self.shared;
        let mut backoff = self.backoff();
        loop {
            let pass = self.unless_stopped(shared.breaker.enter()).await?;
            shared.counts.change(self.dataset, |c| c.attempts += 1);
            // Not dropped by a stop: it may finish within the grace.
            let error: SinkError = match shared.sink.write(run).await {
                Ok(_) => {
                    pass.answered();
                    let rows: usize = run.iter().map(Part::len).sum();
                    shared.counts.change(self.dataset, |c| {
                        c.stored_rows += rows as u64;
                        c.last_error = None;
                    });
                    return Ok(Ok(()));
                }
                Err(error) => error,
            };
            match error.fault() {
                Fault::Permanent => {
                    pass.answered();
                    let reason = chain(error.as_ref());
                    shared.counts.change(self.dataset, |c| {
                        c.failures += 1;
                        c.last_error = Some(reason.clone());
                    });
                    return Ok(Err(reason));
                }
                Fault::Transient { after } => {
                    pass.failed();
                    let text = chain(error.as_ref());
                    self.wait_after(text, &mut backoff, after).await?;
                }
            }
        }
    }

    /// Brings every row of `batches` to its end.
    async fn settle_run(&self, batches: &[Batch]) -> Result<(), Stopped> {
        let Some(first) = batches.first() else {
            return Ok(());
        };
        let batch = first.clone();
        let load = self.durably(move |s| s.dead.splits(s.sink.name(), &batch)?.load());
        if let Some(starts) = load.await? {
            return self.settle_pieces(first, starts).await;
        }
        let last = batches.last().unwrap_or(first).id().number;
        // Of some batches no row goes to this sink; they are settled with the others.
        let run = batches.iter().cloned().map(Part::whole);
        let run: Vec<Part> = run.filter(|part| !part.is_empty()).collect();
        if run.is_empty() {
            return self.advance(last).await;
        }
        let refusal = match self.offer(&run).await? {
            Ok(()) => return self.advance(last).await,
            Err(refusal) => refusal,
        };
        if let [part] = run.as_slice() {
            self.cut(part, &refusal).await?;
            return self.advance(last).await;
        }
        for part in &run {
            match self.offer(std::slice::from_ref(part)).await? {
                Ok(()) => self.advance(part.batch().id().number).await?,
                Err(refusal) => self.cut(part, &refusal).await?,
            }
        }
        self.advance(last).await
    }

    /// Finds the rows at fault in a batch that is refused whole.
    async fn cut(&self, whole: &Part, refusal: &str) -> Result<(), Stopped> {
        let batch = whole.batch();
        let sink = self.shared.sink.name();
        tracing::warn!(sink, batch = %batch.id(), reason = refusal, "sink.batch.refused");
        let Some((_, second)) = whole.halves() else {
            self.set_aside(whole, refusal).await?;
            return self.advance(batch.id().number).await;
        };
        let starts = vec![0, second.range().start];
        self.save_cut(batch, &starts).await?;
        self.settle_pieces(batch, starts).await
    }

    async fn save_cut(&self, batch: &Batch, starts: &[i32]) -> Result<(), Stopped> {
        let (batch, starts) = (batch.clone(), starts.to_vec());
        self.durably(move |s| s.dead.splits(s.sink.name(), &batch)?.save(&starts))
            .await
    }

    /// Settles the pieces of a batch in the order of their rows, and cuts those that are refused.
    async fn settle_pieces(&self, batch: &Batch, mut starts: Vec<i32>) -> Result<(), Stopped> {
        let mut at = 0;
        while let Some(start) = starts.get(at).copied() {
            let end = starts.get(at + 1).copied();
            let end = end.unwrap_or_else(|| Part::whole(batch.clone()).range().end);
            let Some(part) = Part::piece(batch.clone(), start..end) else {
                let error = "the record of a cut batch does not fit the batch".to_owned();
                self.wait_after(error, &mut self.backoff(), None).await?;
                continue;
            };
            if part.is_empty() {
                at += 1;
                continue;
            }
            let piece = part.clone();
            if self
                .durably(move |s| s.dead.holds(s.sink.name(), &piece))
                .await?
            {
                self.count_set_aside(&part);
                at += 1;
                continue;
            }
            match self.offer(std::slice::from_ref(&part)).await? {
                Ok(()) => at += 1,
                Err(refusal) => match part.halves() {
                    Some((_, second)) => {
                        starts.insert(at + 1, second.range().start);
                        self.save_cut(batch, &starts).await?;
                    }
                    None => {
                        self.set_aside(&part, &refusal).await?;
                        at += 1;
                    }
                },
            }
        }
        self.advance(batch.id().number).await?;
        let batch = batch.clone();
        self.durably(move |s| s.dead.splits(s.sink.name(), &batch)?.clear())
            .await
    }

    async fn set_aside(&self, part: &Part, refusal: &str) -> Result<(), Stopped> {
        let (piece, reason) = (part.clone(), refusal.to_owned());
        let put = self.durably(move |s| s.dead.put(s.sink.name(), &piece, &reason));
        let letter = put.await?;
        tracing::error!(letter = %letter.id, rows = letter.rows, reason = refusal, "sink.rows.set_aside");
        self.count_set_aside(part);
        Ok(())
    }

    fn count_set_aside(&self, part: &Part) {
        self.shared
            .counts
            .change(self.dataset, |c| c.set_aside_rows += part.len() as u64);
    }

    async fn lose(&self, number: i64) -> Result<(), Stopped> {
        let sink = self.shared.sink.name();
        tracing::error!(sink, dataset = %self.dataset, batch = number, "sink.batch.lost");
        let dataset = self.dataset;
        let note = move |s: &Shared| {
            let node = s.source.node();
            s.dead.put_lost(s.sink.name(), dataset, &node, number)
        };
        self.durably(note).await?;
        self.shared
            .counts
            .change(self.dataset, |c| c.lost_batches += 1);
        self.advance(number).await
    }

    /// Moves the cursor up to `number`, durably.
    async fn advance(&self, number: i64) -> Result<(), Stopped> {
        let dataset = self.dataset;
        self.durably(move |s| s.cursors.advance(s.sink.name(), dataset, number))
            .await
    }
}

/// An error with its causes, on one line.
fn chain<E: std::error::Error + ?Sized>(error: &E) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
