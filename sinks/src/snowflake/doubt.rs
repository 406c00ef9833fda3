//! Rows that a channel's token does not speak for: they are looked up in the table, one by one,
//! and what is missing goes through a channel of its own.
//!
//! Such rows are pieces of a batch that was cut, rows that were set aside and come again, batches
//! from before the channel's first, and rows that Snowflake may have left out. The look counts
//! because nothing can be on its way meanwhile: both channels are opened before it, which ends what
//! another writer may do and lets come in what it has sent.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::sync::MutexGuard;

use super::api;
use super::channel::{self, Address};
use super::cut::Slice;
use super::error::SnowflakeError;
use super::lane::{Lane, State, Verdict};
use super::sql;
use super::token::Position;

impl Lane {
    /// Brings every row of `slices` into the table that is not there; gives how many it brought.
    pub(super) async fn settle_doubts(
        &self,
        state: &mut MutexGuard<'_, State>,
        slices: &[Slice],
    ) -> Result<u64, SnowflakeError> {
        if let Some(told) = told(state, slices) {
            return told;
        }
        state.verdict = None;
        self.open(state).await?;
        let inserted = state.open.as_ref().map_or(0, |o| o.inserted);
        if self.missing(slices, inserted).await?.is_empty() {
            return Ok(0);
        }
        self.mend(state, slices, inserted).await
    }

    async fn mend(
        &self,
        state: &mut MutexGuard<'_, State>,
        slices: &[Slice],
        inserted: u64,
    ) -> Result<u64, SnowflakeError> {
        let at = Address {
            name: format!("{}-REPAIR", self.at.name),
            ..self.at.clone()
        };
        let opened = self.take_over(&at).await?;
        let mut continuation = opened.continuation;
        // Once more, now that neither channel has anything on its way.
        let missing = self.missing(slices, inserted).await?;
        let mut wanted = Vec::new();
        for slice in slices {
            wanted.extend(slice.keep(|at| missing.contains(&at))?);
        }
        let mut stored = 0;
        let mut last = None;
        for piece in self.encode(&wanted).await? {
            self.pace(state).await;
            let token = api::request_id();
            let range = (token.as_str(), token.as_str());
            continuation = channel::append(&self.api, &at, &continuation, &piece, range).await?;
            stored += piece.rows as u64;
            last = Some(token);
        }
        let Some(last) = last else { return Ok(0) };
        let status = self.committed(&at, |text| text == last).await?;
        if status.errors > opened.status.errors {
            let still = self.missing(slices, inserted).await?;
            self.refuse(state, slices, still, &status.message)?;
        }
        Ok(stored)
    }

    /// Which rows of `slices` the table does not hold.
    pub(super) async fn missing(
        &self,
        slices: &[Slice],
        inserted: u64,
    ) -> Result<BTreeSet<Position>, SnowflakeError> {
        let (Some(first), Some(last)) = (slices.first(), slices.last()) else {
            return Ok(BTreeSet::new());
        };
        let lookup = |e| SnowflakeError::Lookup(Box::new(e));
        let statement = format!(
            "SELECT \"_BATCH\", \"_ROW\" FROM {} WHERE \"_NODE\" = ? AND \"_BATCH\" BETWEEN ? AND ?",
            self.table
        );
        let bindings = [
            Value::from(self.node.as_str()),
            Value::from(first.batch.min(last.batch)),
            Value::from(last.batch.max(first.batch)),
        ];
        let what = "looking which rows are there";
        let answer = sql::run(&self.api, what, &statement, &bindings).await;
        let answer = answer.map_err(lookup)?;
        if answer.rows.is_empty() && inserted > 0 {
            self.see_own_rows().await.map_err(lookup)?;
        }
        let number = |value: Option<&Option<String>>| value?.as_deref()?.parse().ok();
        let held: BTreeSet<Position> = answer
            .rows
            .iter()
            .filter_map(|row| {
                let batch = number(row.first())?;
                let row = i32::try_from(number(row.get(1))?).ok()?;
                Some(Position { batch, row })
            })
            .collect();
        let all = slices
            .iter()
            .flat_map(|s| (0..s.len()).map(|i| s.position(i)));
        Ok(all.filter(|at| !held.contains(at)).collect())
    }

    /// Fails where no row of this node can be seen though there are some: with a policy that hides
    /// them every look would say that all is missing.
    async fn see_own_rows(&self) -> Result<(), SnowflakeError> {
        let seen = count(self, &self.table).await?;
        if seen == 0 {
            return Err(self.fault(
                "the table has rows of this node that the role cannot see: does a row access \
                 policy hide them?",
            ));
        }
        Ok(())
    }
}

async fn count(lane: &Lane, table: &str) -> Result<u64, SnowflakeError> {
    let node = Value::from(lane.node.as_str());
    let statement = count_statement(table);
    let answer = sql::run(&lane.api, "counting rows", &statement, &[node]).await?;
    Ok(answer.number().unwrap_or(0))
}

/// Counts the rows of one node.
pub(super) fn count_statement(table: &str) -> String {
    format!("SELECT COUNT(*) FROM {table} WHERE \"_NODE\" = ?")
}

/// What an earlier look has already told of these rows; `None` where it must be looked again.
///
/// It saves the look while the delivery loop halves a refused run: the rows at fault are known. A
/// single row is refused by it once, since the next time it may have been mended.
fn told(state: &mut State, slices: &[Slice]) -> Option<Result<u64, SnowflakeError>> {
    let Verdict {
        from,
        to,
        missing,
        refused,
        message,
    } = state.verdict.as_mut()?;
    let within = |s: &Slice| *from <= s.first() && s.last() <= *to;
    let places = slices
        .iter()
        .flat_map(|s| (0..s.len()).map(|i| s.position(i)));
    let all: Vec<Position> = places.collect();
    if !slices.iter().all(within) || all.iter().any(|at| refused.contains(at)) {
        return None;
    }
    let rows = all.iter().filter(|at| missing.contains(at)).count();
    if rows == 0 {
        return Some(Ok(0));
    }
    if let [one] = all.as_slice() {
        refused.insert(*one);
    }
    let message = message.clone();
    Some(Err(SnowflakeError::Rejected { rows, message }))
}
