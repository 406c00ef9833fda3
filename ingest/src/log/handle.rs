//! The log as the program holds it: one writer thread, one helper that prepares segments.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot, watch};
use weir_model::source::Want;
use weir_model::{
    Batch, BatchSource, Clock, Cursors, Dataset, NodeId, PinnedRows, RecentRows, SourceError,
};

use super::core::{Core, prepare};
use super::cursors::FromFirst;
use super::entry::check;
use super::queue::{Order, Queue, Waiting};
use super::shared::Shared;
use super::{
    AppendError, Committed, LogConfig, LogStatus, OpenError, OpenReport, RecentRequest, Submission,
};
use crate::wal::{Disk, Storage};

/// `close` waits so long for the writer; what waits is durable or refused by then, unless the
/// disk hangs.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// Segments are looked at so often though nothing asks for it, since their grace runs out quietly.
const TRUNCATE_EVERY: Duration = Duration::from_secs(5);

/// The durable log of one data directory. Dropping it closes it without waiting.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    places: Arc<Semaphore>,
    requests: Vec<RecentRequest>,
    /// Told when the writer thread has ended and the directory is free.
    ended: Mutex<Option<oneshot::Receiver<Result<(), AppendError>>>>,
}

impl Log {
    /// Opens the log in `data_dir`, which is made if need be: takes the lock, reads all frames
    /// under their checksums, seals what a crash left open, starts the writer. It blocks.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing runs then, and no row was touched.
    pub fn open(
        data_dir: &Path,
        config: LogConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, OpenReport), OpenError> {
        Self::open_on(Arc::new(Disk::new(data_dir)), config, clock)
    }

    /// As [`Log::open`], on any storage.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open_on(
        storage: Arc<dyn Storage>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Arc<Self>, OpenReport), OpenError> {
        let places = Arc::new(Semaphore::new(config.queue_requests_max));
        let (core, report, requests) = Core::open(storage, config, clock)?;
        let shared = core.shared();
        let queue = Arc::new(Queue::default());
        let (ended_tx, ended) = oneshot::channel();
        let (want_spare, spare_wanted) = std::sync::mpsc::sync_channel(1);
        let writer = Writer {
            core,
            queue: Arc::clone(&queue),
            want_spare,
        };
        let helped = Arc::clone(&shared);
        // The queue owns no thread handle: the threads end when the queue does.
        let spawned = std::thread::Builder::new()
            .name("weir-wal-spare".to_owned())
            .spawn(move || {
                while spare_wanted.recv().is_ok() {
                    prepare(&helped);
                }
            })
            .and_then(|_| {
                std::thread::Builder::new()
                    .name("weir-wal".to_owned())
                    .spawn(move || drop(ended_tx.send(writer.run())))
            });
        spawned.map_err(|source| OpenError::Io {
            path: "wal".to_owned(),
            source,
        })?;
        let log = Self {
            shared,
            queue,
            places,
            requests,
            ended: Mutex::new(Some(ended)),
        };
        Ok((Arc::new(log), report))
    }

    /// Makes a request durable, or several together; it shares a frame and an fsync with those that come meanwhile.
    /// With a full queue it waits for a place.
    ///
    /// # Errors
    ///
    /// See [`AppendError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves it open whether the request is in the log.
    pub async fn append(
        &self,
        submission: impl Into<Submission>,
    ) -> Result<Committed, AppendError> {
        let submission = submission.into();
        let bytes = check(&submission)?;
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| AppendError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            submission,
            bytes,
            answer,
            _place: place,
        };
        if self.queue.push(waiting).is_err() {
            return Err(self.ended_error());
        }
        answered.await.unwrap_or_else(|_| Err(self.ended_error()))
    }

    fn ended_error(&self) -> AppendError {
        if *self.shared.broken.borrow() {
            AppendError::Broken
        } else {
            AppendError::Closed
        }
    }

    /// The node's present id.
    pub fn node(&self) -> NodeId {
        self.shared.node()
    }

    /// All ids that the node has had, the present one last: its rows are stored under these.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.shared.nodes()
    }

    /// As [`RecentRows::pin`], for rows that were accepted under one of [`nodes`](Self::nodes).
    pub fn pin_of(&self, dataset: Dataset, node: NodeId) -> PinnedRows {
        self.shared.pin_of(dataset, node)
    }

    /// The cursors of all sinks. Moving one lets segments be deleted.
    pub fn cursors(&self) -> Arc<dyn Cursors> {
        self.shared.cursors()
    }

    /// The cursors of sinks that can be filled from elsewhere: what the log cannot give any more
    /// does not count as settled there.
    pub fn cursors_from_first(&self) -> Arc<dyn Cursors> {
        Arc::new(FromFirst(Arc::clone(&self.shared.cursors)))
    }

    /// Keeps every frame that holds rows behind the cursors of `pairs`, besides those that the
    /// configured sinks hold back; what was held by an earlier call and is not among them is free.
    pub fn hold(&self, pairs: impl IntoIterator<Item = (String, Dataset)>) {
        *self.shared.held.lock() = pairs.into_iter().collect();
    }

    /// How many rows of sealed and open batches above `after` the log has, and when the oldest of
    /// them was accepted, in microseconds since the epoch.
    pub fn behind(&self, dataset: Dataset, after: i64) -> (u64, Option<i64>) {
        self.shared.behind(dataset, after)
    }

    /// Whether the log still has batch `number`, or will have it.
    pub fn holds_batch(&self, dataset: Dataset, number: i64) -> bool {
        let state = self.shared.state.lock();
        let table = state.tables.get(&dataset);
        table.is_none_or(|t| number > t.last_sealed || t.batches.contains_key(&number))
    }

    /// How the log stands.
    pub fn status(&self) -> LogStatus {
        self.shared.status()
    }

    /// Seals every batch that has rows, now.
    ///
    /// # Errors
    ///
    /// Nothing was sealed; their age will bring it about later, where the log lives.
    pub async fn seal_now(&self) -> Result<(), AppendError> {
        let (answer, answered) = oneshot::channel();
        if !self.queue.order(Order::Seal(answer)) {
            return Err(self.ended_error());
        }
        answered.await.unwrap_or_else(|_| Err(self.ended_error()))
    }

    /// Takes no more requests, makes durable what waits, seals what is open, and gives the
    /// directory back; sinks are not waited for. It takes at most five seconds.
    ///
    /// # Errors
    ///
    /// Where the last frame could not be written; nothing that was answered is lost.
    pub async fn close(&self) -> Result<(), AppendError> {
        self.shared.closing.send_replace(true);
        self.queue.close();
        let ended = self.ended.lock().take();
        match ended {
            Some(ended) => match tokio::time::timeout(CLOSE_WAIT, ended).await {
                Ok(Ok(closed)) => closed,
                Ok(Err(_)) | Err(_) => Err(AppendError::Closed),
            },
            None => Ok(()),
        }
    }

    /// Resolves when a sync has failed, or never: the program must exit with status 74 then.
    pub fn on_failure(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let mut broken = self.shared.broken.subscribe();
        async move {
            if broken.wait_for(|broken| *broken).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells the log the last batch of this node that a sink holds. Where the sink is ahead, this
    /// directory was restored or damaged, and new rows would be taken for old ones: what is open
    /// is sealed under the old name and the node takes a new one, which is returned. To be called
    /// for every sink and dataset before the first request.
    ///
    /// # Errors
    ///
    /// The node keeps its name; the program must not accept rows then.
    pub async fn adopt_high_water(
        &self,
        dataset: Dataset,
        last_batch_in_sink: i64,
    ) -> Result<Option<NodeId>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let order = Order::Adopt {
            dataset,
            last_in_sink: last_batch_in_sink,
            answer,
        };
        if !self.queue.order(order) {
            return Err(self.ended_error());
        }
        answered.await.unwrap_or_else(|_| Err(self.ended_error()))
    }

    /// The requests that were found in the retained frames at start, the oldest first.
    pub fn recent_requests(&self) -> impl Iterator<Item = &RecentRequest> {
        self.requests.iter()
    }

    /// What the tests of the simulation read.
    #[doc(hidden)]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
        self.queue.close();
    }
}

/// Whatever ends the writer, nobody waits for it any more; where that is a bug in it, the program
/// must exit as after a failed sync.
struct End(Arc<Queue>, Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.broken.send_replace(true);
        }
        self.0.end();
    }
}

/// The writer thread.
struct Writer {
    core: Core,
    queue: Arc<Queue>,
    want_spare: std::sync::mpsc::SyncSender<()>,
}

impl Writer {
    fn run(mut self) -> Result<(), AppendError> {
        let _end = End(Arc::clone(&self.queue), self.core.shared());
        let started = Instant::now();
        let shared = self.core.shared();
        let mut moved = shared.cursors.moved();
        let mut truncate_at = TRUNCATE_EVERY;
        let group_bytes_max = shared.config.group_bytes_max;
        self.ask_for_spare();
        loop {
            let now = started.elapsed();
            let due = self.core.deadline().unwrap_or(truncate_at).min(truncate_at);
            // A cursor moves about once a second and sink: it need not wake the writer.
            let work = self.queue.take(due.saturating_sub(now), group_bytes_max);
            let now = started.elapsed();
            self.group(work.group, now);
            for order in work.orders {
                self.order(order, now);
            }
            if self.core.deadline().is_some_and(|due| due <= now) {
                drop(self.core.seal(now, false));
            }
            if now >= truncate_at || moved.has_changed().unwrap_or(false) {
                moved.mark_unchanged();
                self.core.truncate();
                truncate_at = now + TRUNCATE_EVERY;
            }
            self.ask_for_spare();
            if work.closing || *shared.broken.borrow() {
                break;
            }
        }
        self.queue.end();
        self.core.close(started.elapsed())
    }

    fn ask_for_spare(&self) {
        let shared = &self.core.shared;
        if !shared.spare.is_ready() || !shared.spare.is_reserved() {
            // Full means that the helper is at it already.
            let _ = self.want_spare.try_send(());
        }
    }

    fn group(&mut self, group: Vec<Waiting>, now: Duration) {
        if group.is_empty() {
            return;
        }
        let mut submissions = Vec::with_capacity(group.len());
        let mut answers = Vec::with_capacity(group.len());
        for waiting in group {
            submissions.push(waiting.submission);
            answers.push((waiting.answer, waiting._place));
        }
        let results = self.core.commit(&submissions, now);
        for ((answer, _place), result) in answers.into_iter().zip(results) {
            // Nobody waits any more where the client went away; the rows are durable all the same.
            drop(answer.send(result));
        }
    }

    fn order(&mut self, order: Order, now: Duration) {
        match order {
            Order::Seal(answer) => drop(answer.send(self.core.seal(now, true))),
            Order::Adopt {
                dataset,
                last_in_sink,
                answer,
            } => {
                let adopted = self.core.adopt_high_water(dataset, last_in_sink, now);
                drop(answer.send(adopted));
            }
        }
    }
}

/// Reads batches off the async threads.
async fn take(
    shared: &Arc<Shared>,
    dataset: Dataset,
    after: i64,
    want: Want,
) -> Result<Vec<Batch>, SourceError> {
    let shared = Arc::clone(shared);
    let read = tokio::task::spawn_blocking(move || {
        shared.take(dataset, after, want.rows_max, want.bytes_max)
    });
    read.await.map_err(|_| SourceError::Closed)?
}

/// Waits until more rows wait than are wanted, or for the time that gathering may take.
async fn gather(
    shared: &Shared,
    sealed: &mut watch::Receiver<i64>,
    (dataset, after): (Dataset, i64),
    want: Want,
) {
    let enough = async {
        loop {
            sealed.mark_unchanged();
            let (rows, bytes) = shared.waiting(dataset, after);
            if rows >= want.rows_max || bytes >= want.bytes_max || sealed.changed().await.is_err() {
                return;
            }
        }
    };
    let mut closing = shared.closing.subscribe();
    tokio::select! {
        biased;
        _ = closing.wait_for(|closing| *closing) => {}
        () = enough => {}
        () = tokio::time::sleep(want.gather) => {}
    }
}

#[async_trait]
impl BatchSource for Log {
    fn node(&self) -> NodeId {
        self.shared.node()
    }

    async fn next(
        &self,
        dataset: Dataset,
        after: i64,
        want: Want,
    ) -> Result<Vec<Batch>, SourceError> {
        let Some(sealed) = self.shared.sealed.get(&dataset) else {
            // Nothing of a derived dataset ever comes through the log.
            self.shared
                .closing
                .subscribe()
                .wait_for(|closing| *closing)
                .await
                .ok();
            return Err(SourceError::Closed);
        };
        let mut sealed = sealed.subscribe();
        let mut closing = self.shared.closing.subscribe();
        loop {
            let last = *sealed.borrow_and_update();
            if last > after {
                if !want.gather.is_zero() {
                    gather(&self.shared, &mut sealed, (dataset, after), want).await;
                }
                let batches = take(&self.shared, dataset, after, want).await?;
                if !batches.is_empty() {
                    return Ok(batches);
                }
            }
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return Err(SourceError::Closed),
                changed = sealed.changed() => {
                    changed.map_err(|_| SourceError::Closed)?;
                }
            }
        }
    }

    fn last_sealed(&self, dataset: Dataset) -> i64 {
        self.shared.last_sealed(dataset)
    }

    fn node_of(&self, dataset: Dataset, number: i64) -> NodeId {
        let of = self.shared.state.lock().node_of(dataset, number);
        of.unwrap_or_else(|| self.shared.node())
    }
}

impl RecentRows for Log {
    fn pin(&self, dataset: Dataset) -> PinnedRows {
        self.shared.pin(dataset)
    }
}
