//! A table that is derived from another: new batches are mapped, and the result is committed with
//! how far it came, so that every row is counted once.
//!
//! The ledger itself needs more than this, since it looks at whole traces; what is a function of
//! each batch of rows alone, as partial sums of bookings are, is a [`Derivation`].

use std::sync::Arc;

use arrow_array::RecordBatch;
use weir_lake::{Derived, Lake, Outcome};
use weir_model::{Batch, BatchId, Clock, Dataset, NodeId};

use crate::LedgerError;
use crate::window::{Cursors, Reader};

/// Rows that are mapped at once, about.
const ROWS_MAX: u64 = 262_144;

/// How a table follows from the new rows of another. A pure function but for the time.
pub trait Derivation: Send + Sync + std::fmt::Debug {
    /// The table that is read.
    fn source(&self) -> Dataset;

    /// The table that is written.
    fn target(&self) -> Dataset;

    /// The columns that are read.
    fn columns(&self) -> Vec<&'static str>;

    /// The rows that `pieces`, which are new, add to the target, in its accepted schema; `None`
    /// where they add none. Which rows come together depends on when they are looked at, so sums
    /// over the target must not.
    ///
    /// # Errors
    ///
    /// Where that is a defect: the same pieces will come again.
    fn map(&self, pieces: &[RecordBatch], now_us: i64) -> Result<Option<RecordBatch>, String>;
}

/// Follows one table for one derivation.
#[derive(Debug)]
pub struct Follower {
    lake: Arc<Lake>,
    clock: Arc<dyn Clock>,
    derivation: Box<dyn Derivation>,
    reader: Reader,
    node: NodeId,
}

impl Follower {
    /// A follower that has not looked at anything yet. Where it stands is in the target table.
    pub fn new(lake: Arc<Lake>, clock: Arc<dyn Clock>, derivation: Box<dyn Derivation>) -> Self {
        let columns = derivation.columns().into_iter();
        Self {
            reader: Reader::new(derivation.source(), columns),
            node: NodeId::from_bits(0x1ed9_e200_0000_0000 | u64::from(derivation.target().code())),
            lake,
            clock,
            derivation,
        }
    }

    /// Takes a step; says whether there may be more. Where another writer was faster, nothing is
    /// done, and the next step goes on from where that one came.
    ///
    /// # Errors
    ///
    /// Nothing is counted that was not committed; the same step may be taken again.
    pub async fn step(&mut self) -> Result<bool, LedgerError> {
        let (source, target) = (self.derivation.source(), self.derivation.target());
        let table = self.lake.snapshot(target).await?;
        let round_name = format!("weir/from/{source}/round");
        let cursor_name = |node: &str| format!("weir/from/{source}/at/{node}");
        let prefix = cursor_name("");
        let cursors = table.all_progress().filter_map(|(name, number)| {
            Some((NodeId::new(name.strip_prefix(&prefix)?).ok()?, number))
        });
        let cursors: Cursors = cursors.collect();
        let snapshot = self.lake.snapshot(source).await?;
        let Some(plan) = self.reader.plan(&snapshot, &cursors, ROWS_MAX) else {
            return Ok(false);
        };
        let mut pieces = Vec::new();
        for file in &plan.files {
            let each = |piece: RecordBatch| {
                pieces.push(piece);
                Ok::<(), LedgerError>(())
            };
            self.reader
                .each(&self.lake, file, &plan.window, each)
                .await?;
        }
        let rows = self.derivation.map(&pieces, self.clock.now_us());
        let rows = rows.map_err(|reason| LedgerError::Derived {
            table: target.name(),
            reason,
        })?;
        let batch = rows.filter(|rows| rows.num_rows() > 0).map(|rows| {
            let id = BatchId {
                node: self.node.clone(),
                dataset: target,
                number: table.committed(&self.node) + 1,
            };
            Batch::seal(id, &rows)
        });
        let batch = batch.transpose()?;
        let round = table.progress(&round_name);
        let mut then = vec![(round_name.clone(), round + 1)];
        then.extend(
            plan.window
                .ends()
                .map(|(n, b)| (cursor_name(n.as_str()), b)),
        );
        let derived = Derived {
            batch: batch.as_ref(),
            expect: &[(round_name, round)],
            then: &then,
        };
        match Box::pin(self.lake.derive(target, &derived)).await? {
            Outcome::Committed { .. } => Ok(plan.more),
            Outcome::Fenced => Ok(true),
        }
    }
}
