//! Keeps the tables of sums up with the ledger, and few files in them.
//!
//! ```text
//! cost_ledger   ..41 42 43        the sums hold up to 41: read 42 and 43, sum each one up,
//! cost_hourly   ..41  '--'------> append them under the same numbers
//! ```
//!
//! # Invariants
//!
//! * The sums of a batch of the ledger have the batch's own number and are appended under the rule
//!   that a number is stored once: a restart, or a second node that does the same, changes nothing.
//! * Files are only ever replaced by the sum of all their rows, in one commit that names all of
//!   them: a reader sees one or the other.
//! * Nothing here is needed for a right answer: what the sums lack, a query takes from the ledger.
//! * The node that books is the one that sums up. Two that do it for a while do no harm, only the
//!   same work twice.
//! * What a killed process had replaced, or written and not committed, is found by the next one that
//!   sums up, and deleted after a time in which nobody reads it any more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use weir_lake::{Bounds, Lake, LakeFile, Snapshot};
use weir_model::{Batch, BatchId, Dataset, NodeId, TenantId};
use weir_transforms::rollup::{self, Grain};

use crate::app::Node;
use crate::app::ledger::{Booking, ledgers};

/// How often the ledger is looked at.
const EVERY: Duration = Duration::from_secs(10);
/// Batches of the ledger that are read at once.
const BATCHES_MAX: i64 = 64;
/// Rows of the ledger that are read at once, but for those of one batch: they bound the memory that is
/// taken. A batch has a hundred thousand where events come in fast; 64 such took a node to 4 GiB.
const ROWS_MAX: u64 = 200_000;
/// From so many files on, those of a day that still grows are merged.
const FILES_MAX: usize = 32;
/// From so many files on, those of a day that is over are merged: it is read for months.
const FILES_OF_PAST_DAY_MAX: usize = 4;
/// How long replaced files stay for those who read an older version of the table.
const KEPT: Duration = Duration::from_secs(3600);
/// How often the folders are searched for files that belong to no version.
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Microseconds of a day. So old must such a file be: no writer is a day on its way to a commit.
const DAY_US: i64 = Grain::Day.period_us();

/// Files that were replaced, or found to belong to no version, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Replaced {
    waiting: VecDeque<(Instant, Dataset, Vec<String>)>,
    swept: Option<Instant>,
}

/// Keeps the sums of each lake fresh until the node stops, while it is the one that books there.
pub(crate) async fn keep(node: &Node) {
    let mut replaced: Vec<Replaced> = ledgers(&node.lakes).map(|_| Replaced::default()).collect();
    let mut failures = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = node.stopping() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let done = turn(node, &mut replaced).await;
        let tell = failures.is_multiple_of(30);
        failures = match done.iter().all(Result::is_ok) {
            true => 0,
            false => failures.saturating_add(1),
        };
        for ((lake, _), done) in ledgers(&node.lakes).zip(done) {
            // A store that is away for an hour is told of once in five minutes.
            if let (Err(error), true) = (done, tell) {
                let error = format!("{error:#}");
                tracing::warn!(lake = %lake.url(), error, "rollup.failed");
            }
        }
    }
}

/// One turn of each lake, in the order of [`ledgers`].
async fn turn(node: &Node, replaced: &mut [Replaced]) -> Vec<anyhow::Result<()>> {
    let now_us = node.intake.clock.now_us();
    let books = node.booking.as_ref().map(Booking::books);
    let books = books.unwrap_or_default().into_iter();
    let books = books.chain(std::iter::repeat(false));
    // All at once, so that a tenant's lake that is away does not hold up the others.
    let all = ledgers(&node.lakes).zip(books).zip(replaced);
    let all = all
        .map(|(((lake, _), books), replaced)| Box::pin(of_lake(lake, books, (now_us, replaced))));
    futures::future::join_all(all).await
}

/// One turn of a lake: the work of the node that books there, and what only this node knows of.
async fn of_lake(
    lake: &Lake,
    books: bool,
    (now_us, replaced): (i64, &mut Replaced),
) -> anyhow::Result<()> {
    if books {
        refresh(lake, now_us, replaced).await?;
        replaced.sweep(lake, now_us - DAY_US).await?;
    }
    // Also where another node took over: what this one has replaced only this one knows.
    replaced.drop_old(lake, KEPT).await;
    Ok(())
}

/// Brings the sums up to the ledger as it is now, and merges what has become many files.
///
/// # Errors
///
/// Where the lake cannot be read or written; what was done until then stays, and the next call goes
/// on from there.
pub(crate) async fn refresh(
    lake: &Lake,
    now_us: i64,
    replaced: &mut Replaced,
) -> anyhow::Result<()> {
    let ledger = lake.snapshot(Dataset::CostLedger).await?;
    if ledger.version().is_none() {
        return Ok(());
    }
    for grain in Grain::ALL {
        catch_up(lake, &ledger, grain)
            .await
            .with_context(|| grain.dataset().name())?;
        merge_files(lake, grain, now_us, replaced)
            .await
            .with_context(|| grain.dataset().name())?;
    }
    Ok(())
}

/// The last batch to be read with batch `from`, at most `last`: few enough, and of few enough rows by
/// what the files say of themselves. Batches of other nodes count as well, which costs a round.
fn within(ledger: &Snapshot, from: i64, last: i64) -> i64 {
    let last = last.min(from.saturating_add(BATCHES_MAX - 1));
    let mut files: Vec<(i64, u64)> = Vec::new();
    for file in ledger.files() {
        let bounds = file.stats.get("_batch").and_then(|s| s.bounds.as_ref());
        if let Some(Bounds::Int { min, max }) = bounds
            && (from..=last).contains(max)
        {
            files.push((*min, file.rows));
        }
    }
    files.sort_unstable();
    let mut rows = 0;
    for (min, more) in files {
        rows += more;
        if rows > ROWS_MAX && min > from {
            return min - 1;
        }
    }
    last
}

/// Appends the sums of every batch of the ledger that the table lacks.
async fn catch_up(lake: &Lake, ledger: &Snapshot, grain: Grain) -> anyhow::Result<()> {
    let dataset = grain.dataset();
    let sums = lake.snapshot(dataset).await?;
    let columns = rollup::reads();
    for (node, last) in ledger.nodes() {
        let mut done = sums.committed(node);
        while done < last {
            let batches = done + 1..=within(ledger, done + 1, last);
            let end = *batches.end();
            let wanted = (node, batches.clone());
            let rows = lake.rows_of_batches(ledger, wanted, &columns).await?;
            let node_of_sums = node.clone();
            let made = tokio::task::spawn_blocking(move || {
                let made = rollup::by_batch(grain, &rows, (&node_of_sums, batches))?;
                let sealed = made.iter().map(|(number, rows)| {
                    Batch::seal(batch_id(&node_of_sums, dataset, *number), rows)
                });
                Ok::<_, anyhow::Error>(sealed.collect::<Result<Vec<_>, _>>()?)
            });
            let made = made.await.context("a thread that sums up ended early")??;
            if !made.is_empty() {
                lake.append(dataset, &made).await?;
            }
            done = end;
        }
    }
    Ok(())
}

fn batch_id(node: &NodeId, dataset: Dataset, number: i64) -> BatchId {
    BatchId {
        node: node.clone(),
        dataset,
        number,
    }
}

/// Where a file lies: its day and, where tenants have folders of their own, its tenant.
type Folder = (Option<i32>, Option<TenantId>);

/// Puts one file in the place of many, folder by folder.
async fn merge_files(
    lake: &Lake,
    grain: Grain,
    now_us: i64,
    replaced: &mut Replaced,
) -> anyhow::Result<()> {
    let dataset = grain.dataset();
    let snapshot = lake.snapshot(dataset).await?;
    // The newest batch that the rows may come from; their own number says nothing any more.
    let Some((node, last)) = snapshot.nodes().max_by_key(|(_, last)| *last) else {
        return Ok(());
    };
    let mut folders: BTreeMap<Folder, Vec<&Arc<LakeFile>>> = BTreeMap::new();
    for file in snapshot.files() {
        let folder = (file.part_date, file.tenant.clone());
        folders.entry(folder).or_default().push(file);
    }
    let today = i32::try_from(now_us.div_euclid(DAY_US)).unwrap_or(i32::MAX);
    for ((day, _), files) in folders {
        let over = day.is_some_and(|day| day < today - 1);
        let most = if over {
            FILES_OF_PAST_DAY_MAX
        } else {
            FILES_MAX
        };
        if files.len() < most {
            continue;
        }
        let columns: Vec<&str> = dataset.columns().iter().map(|c| c.name).collect();
        let rows = lake.rows_of_files(dataset, &files, &columns).await?;
        let id = batch_id(node, dataset, last);
        let merged = tokio::task::spawn_blocking(move || {
            let sums = rollup::merge(grain, &rows)?;
            let sealed = (sums.num_rows() > 0).then(|| Batch::seal(id, &sums));
            Ok::<_, anyhow::Error>(sealed.transpose()?)
        });
        let merged = merged
            .await
            .context("a thread that sums up ended early")??;
        let old: Vec<Arc<LakeFile>> = files.into_iter().map(Arc::clone).collect();
        if lake.replace(dataset, &old, merged.as_ref()).await? {
            let paths = old.iter().map(|f| f.path.clone()).collect();
            replaced.waiting.push_back((Instant::now(), dataset, paths));
        }
    }
    Ok(())
}

impl Replaced {
    /// Looks now and then for files from before that time that no version names, and lets them wait as replaced ones do.
    async fn sweep(&mut self, lake: &Lake, before_us: i64) -> anyhow::Result<()> {
        if self.swept.is_some_and(|at| at.elapsed() < SWEEP_EVERY) {
            return Ok(());
        }
        for grain in Grain::ALL {
            let dataset = grain.dataset();
            let mut found = lake.unnamed_files(dataset, before_us).await?;
            let known = |path: &String| {
                let mut all = self.waiting.iter();
                all.any(|(_, of, paths)| *of == dataset && paths.contains(path))
            };
            found.retain(|path| !known(path));
            if !found.is_empty() {
                let count = found.len();
                tracing::info!(dataset = dataset.name(), count, "lake.orphans.found");
                self.waiting.push_back((Instant::now(), dataset, found));
            }
        }
        self.swept = Some(Instant::now());
        Ok(())
    }

    /// Deletes what has waited for long enough.
    async fn drop_old(&mut self, lake: &Lake, kept: Duration) {
        while self
            .waiting
            .front()
            .is_some_and(|(at, _, _)| at.elapsed() >= kept)
        {
            let Some((_, dataset, paths)) = self.waiting.pop_front() else {
                return;
            };
            if let Err(error) = lake.delete_replaced(dataset, &paths).await {
                tracing::debug!(%error, "lake.orphan.kept");
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod orphan_tests;
#[cfg(test)]
mod tests;
