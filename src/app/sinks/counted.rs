//! The closing account of a sink: what it holds, counted there, against what should be there.
//!
//! ```text
//! rows of batches <= cursor, in the lake, in its dead letters, in the log
//!     = stored in the sink + set aside for it + routed out
//! rows of batches >  cursor = pending
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use futures::TryStreamExt as _;
use weir_ingest::log::Log;
use weir_lake::Lakes;
use weir_model::{Cursors, Dataset, NodeId};
use weir_sinks::{DeadLetter, DeadLetters, RouteBook, Sink, lake, replay_node};

use crate::app::account::{Line, accepted, balance};
use crate::app::sinks::build_all;
use crate::config::Config;
use crate::config::sinks::deliverable;

/// While a write is between its sink and its cursor, a count shows it twice; it is counted again.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// A sink to be counted.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(super) name: String,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) book: Arc<RouteBook>,
    pub(super) cursors: Arc<dyn Cursors>,
}

/// The sinks of a stopped node.
///
/// # Errors
///
/// Where a configuration cannot be used, or what a sink has to remember cannot be read.
pub(crate) fn stopped(config: &Config, log: &Log) -> anyhow::Result<Vec<Counted>> {
    let folder = config.data_dir.join("sinks");
    let built = build_all(config)?.into_iter();
    let counted = built.map(|(name, sink)| {
        Ok(Counted {
            book: Arc::new(open(&folder, &name)?),
            name,
            sink,
            cursors: log.cursors_from_first(),
        })
    });
    counted.collect()
}

fn open(folder: &Path, name: &str) -> anyhow::Result<RouteBook> {
    Ok(RouteBook::open(folder, name)?)
}

/// How many of a node's rows are where.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    settled: u64,
    pending: u64,
    routed_out: u64,
}

impl Counted {
    /// The sink's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One line for each received dataset that goes there.
    ///
    /// # Errors
    ///
    /// Where the lake, the letters or the sink cannot be read.
    pub(crate) async fn recount(
        &self,
        log: &Log,
        lakes: &Lakes,
        dead: &DeadLetters,
    ) -> anyhow::Result<Vec<Line>> {
        let route = self.book.current();
        let mut lines = Vec::new();
        let ours = deliverable().filter(|d| *d != Dataset::CostLedger && route.takes(*d));
        for dataset in ours {
            let mut line = self.line((log, lakes, dead), dataset).await?;
            for _ in 0..TRIES {
                if line.difference == 0 {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
                line = self.line((log, lakes, dead), dataset).await?;
            }
            lines.push(line);
        }
        Ok(lines)
    }

    async fn line(
        &self,
        (log, lakes, dead): (&Log, &Lakes, &DeadLetters),
        dataset: Dataset,
    ) -> anyhow::Result<Line> {
        let (before, _) = accepted(log, dataset);
        let cursor = self.cursors.get(&self.name, dataset);
        let letters = dead.list()?;
        let (mut sums, mut set_aside, mut stored) = (Sums::default(), 0, Some(0));
        for node in log.nodes() {
            self.sum((log, lakes, &letters), (dataset, &node, cursor), &mut sums)
                .await?;
            let ours = letters.iter().filter(|l| {
                let of = &l.id.part;
                l.id.sink == self.name && of.dataset == dataset && of.node == node
            });
            let kept = ours.filter(|l| !l.is_replayed() && l.id.part.batch <= cursor);
            set_aside += kept.map(|l| l.rows).sum::<u64>();
            for node in [replay_node(&node), node] {
                stored = match (stored, self.sink.count(dataset, &node).await) {
                    (Some(sum), Ok(rows)) => Some(sum + rows),
                    (_, Err(error)) if error.fault() == weir_model::Fault::Permanent => None,
                    (_, Err(error)) => anyhow::bail!("{}: {error}", self.name),
                    (None, Ok(_)) => None,
                };
            }
        }
        let (after, lost) = accepted(log, dataset);
        // What cannot be counted there is believed: the cursor has passed only what was taken.
        let believed = sums.settled.saturating_sub(sums.routed_out + set_aside);
        let line = Line {
            sink: self.name.clone(),
            dataset: dataset.name().to_owned(),
            accepted: after,
            stored: stored.unwrap_or(believed),
            set_aside,
            pending: sums.pending,
            routed_out: sums.routed_out,
            lost,
            difference: 0,
        };
        Ok(balance(line, before))
    }

    /// Adds up the rows of one node: those in the lake, those that the lake set aside, and those
    /// that it has still to get.
    async fn sum(
        &self,
        (log, lakes, letters): (&Log, &Lakes, &[DeadLetter]),
        (dataset, node, cursor): (Dataset, &NodeId, i64),
        sums: &mut Sums,
    ) -> anyhow::Result<()> {
        let recent = log.pin_of(dataset, node.clone());
        let last = lakes.last_batch(dataset, node).await?.unwrap_or(0);
        let columns = ["tenant_id", "_node", "_batch"];
        for lake in lakes.all() {
            let snapshot = lake.snapshot(dataset).await?;
            for file in snapshot.files() {
                let mut rows = lake.read_file(dataset, file, &columns, None).await?;
                while let Some(piece) = rows.try_next().await? {
                    self.add(&piece, (dataset, Some(node), cursor, last), sums);
                }
            }
        }
        for block in recent.blocks.iter().filter(|block| block.batch() > last) {
            if block.batch() > cursor {
                sums.pending += u64::try_from(block.rows()).unwrap_or(u64::MAX);
                continue;
            }
            let rows = block.read().map_err(|error| anyhow::anyhow!(error))?;
            for piece in &rows {
                self.add_of(piece, (dataset, block.batch()), sums);
            }
        }
        let set_aside = letters.iter().filter(|l| {
            let of = &l.id.part;
            l.id.sink == lake::NAME && of.dataset == dataset && of.node == *node
        });
        let kept = set_aside.filter(|l| l.id.part.batch <= last);
        for letter in kept {
            match letter.id.part.batch > cursor {
                true => sums.pending += letter.rows,
                false => sums.settled += letter.rows,
            }
        }
        Ok(())
    }

    /// Adds the rows of `piece` that are of `node` and of batches up to `last`.
    fn add(
        &self,
        piece: &RecordBatch,
        (dataset, node, cursor, last): (Dataset, Option<&NodeId>, i64, i64),
        sums: &mut Sums,
    ) {
        let text = |name: &str| {
            piece
                .column_by_name(name)
                .and_then(|c| c.as_string_opt::<i32>())
        };
        let numbers = piece.column_by_name("_batch");
        let numbers = numbers.and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (Some(tenants), Some(nodes), Some(numbers)) =
            (text("tenant_id"), text("_node"), numbers)
        else {
            return;
        };
        let rows = tenants.iter().zip(nodes.iter().zip(numbers.values()));
        let mut known = (i64::MIN, self.book.of(dataset, i64::MIN).0);
        for (tenant, (of, number)) in rows {
            if node.is_some_and(|node| of != Some(node.as_str())) || *number > last {
                continue;
            }
            if *number > cursor {
                sums.pending += 1;
                continue;
            }
            if known.0 != *number {
                known = (*number, self.book.of(dataset, *number).0);
            }
            let route = &known.1;
            let goes = route.takes(dataset) && tenant.is_some_and(|t| route.takes_tenant(t));
            sums.settled += 1;
            sums.routed_out += u64::from(!goes);
        }
    }

    /// Adds rows of one batch that the lake has not got.
    fn add_of(&self, rows: &RecordBatch, (dataset, number): (Dataset, i64), sums: &mut Sums) {
        let (route, _) = self.book.of(dataset, number);
        let tenants = rows.column_by_name("tenant_id");
        let tenants = tenants.and_then(|c| c.as_string_opt::<i32>());
        for tenant in tenants.into_iter().flatten() {
            let goes = route.takes(dataset) && tenant.is_some_and(|t| route.takes_tenant(t));
            sums.settled += 1;
            sums.routed_out += u64::from(!goes);
        }
    }
}
