//! The closing account: accepted = stored + set aside + pending + routed out + lost, by dataset and
//! sink.
//!
//! [`of_memory`] says what the node believes, for metrics: what was there at the start ([`Base`])
//! and what the sink has given receipts for since. [`recount`] asks the sink itself: it
//! counts rows in the lake's own files, and where node and sink disagree, the line says by how many.
//!
//! ```text
//! accepted (before) -> pin recent rows -> last batch in sink -> accepted (after) -> count in sink
//!      stored  = rows of batches <= last, counted in the sink
//!      pending = pinned rows of batches > last
//! ```
//!
//! [`verify`] also closes the ledger's account: what stands in it is what all spans up to its cursors
//! come to, computed once.
//!
//! Rows that arrive meanwhile lie between the two readings of "accepted", so that a recount under
//! load neither misses rows nor invents them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use weir_ingest::log::{DatasetStatus, Log};
use weir_lake::Lakes;
use weir_ledger::Account;
use weir_model::Dataset;
use weir_sinks::{DeadError, DeadLetters, lake, replay_node};

use crate::app::Node;
use crate::app::ledger::{account_json, ledgers, price_lists};
use crate::app::prices::PriceBook;
use crate::app::sinks::{Counted, Outlet};

/// The account of one dataset at one sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    /// The sink.
    pub(crate) sink: String,
    /// The dataset.
    pub(crate) dataset: String,
    /// Rows accepted by this data directory.
    pub(crate) accepted: u64,
    /// Rows that the sink holds.
    pub(crate) stored: u64,
    /// Rows that it refused for good.
    pub(crate) set_aside: u64,
    /// Rows that it has still to get.
    pub(crate) pending: u64,
    /// Rows that do not go there by its routes.
    pub(crate) routed_out: u64,
    /// Rows that the log lost to damage.
    pub(crate) lost: u64,
    /// What is missing (below zero) or too many (above).
    pub(crate) difference: i64,
}

/// A sink that could not be counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Uncounted {
    /// Its name.
    pub(crate) sink: String,
    /// Why, for a person.
    pub(crate) error: String,
}

/// All lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The node.
    pub(crate) node: String,
    /// One for each sink and dataset.
    pub(crate) lines: Vec<Line>,
    /// Sinks beside the lake that could not be counted, and why.
    pub(crate) uncounted: Vec<Uncounted>,
    /// The ledger's account, where it was computed.
    pub(crate) ledger: Option<Account>,
}

impl Line {
    /// Whether every row is where it should be.
    pub(crate) fn closes(&self) -> bool {
        self.difference == 0 && self.lost == 0
    }
}

impl Report {
    /// Whether every sink was counted, and all of it adds up.
    pub(crate) fn closes(&self) -> bool {
        self.uncounted.is_empty() && self.adds_up()
    }

    /// Whether every line closes, of the sinks that could be counted, and the ledger.
    fn adds_up(&self) -> bool {
        let booked = self.ledger.as_ref().is_none_or(Account::closes);
        booked && self.lines.iter().all(Line::closes)
    }

    /// The report as an answer.
    pub(crate) fn json(&self) -> Value {
        let mut report = json!({
            "node": self.node,
            "ok": self.closes(),
            "adds_up": self.adds_up(),
            "lines": self.lines,
            "uncounted": self.uncounted,
        });
        if let (Some(ledger), Some(fields)) = (&self.ledger, report.as_object_mut()) {
            fields.insert("ledger".to_owned(), account_json(ledger));
        }
        report
    }
}

/// Where the account stood when the delivery began: rows that were settled before, by dataset.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base(BTreeMap<Dataset, (u64, u64)>);

impl Base {
    /// Takes it, after the log has learned what the sink holds and before the delivery starts.
    ///
    /// # Errors
    ///
    /// Where the dead letters cannot be read.
    pub(crate) fn take(log: &Log, dead: &DeadLetters) -> Result<Self, DeadError> {
        let letters = dead.list()?;
        let cursors = log.cursors();
        let nodes = log.nodes();
        let of = |status: &DatasetStatus| {
            let settled = cursors.get(lake::NAME, status.dataset);
            let ours = letters.iter().filter(|letter| {
                let part = &letter.id.part;
                letter.id.sink == lake::NAME
                    && !letter.is_replayed()
                    && part.dataset == status.dataset
                    && nodes.contains(&part.node)
                    && part.batch <= settled
            });
            let set_aside = ours.map(|letter| letter.rows).sum();
            let elsewhere = status.recent_rows + status.lost_rows + set_aside;
            let stored = status.accepted_rows.saturating_sub(elsewhere);
            (status.dataset, (stored, set_aside))
        };
        Ok(Self(log.status().datasets.iter().map(of).collect()))
    }
}

/// What the node believes, without asking the sink; cheap.
///
/// Log and delivery are looked at one after the other, so that a batch between a sink's receipt
/// and its cursor shows as a difference for that moment.
pub(crate) fn of_memory(node: &Node) -> Vec<Line> {
    let delivered = node.delivery.status().datasets;
    let line = |status: &DatasetStatus| {
        let (stored, set_aside) = node
            .base
            .0
            .get(&status.dataset)
            .copied()
            .unwrap_or_default();
        let since = delivered.get(&status.dataset);
        let mut line = Line {
            sink: lake::NAME.to_owned(),
            dataset: status.dataset.name().to_owned(),
            accepted: status.accepted_rows,
            stored: stored + since.map_or(0, |d| d.stored_rows),
            set_aside: set_aside + since.map_or(0, |d| d.set_aside_rows),
            pending: status.recent_rows,
            routed_out: 0,
            lost: status.lost_rows,
            difference: 0,
        };
        let found = line.stored + line.set_aside + line.pending + line.lost;
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        line.difference = signed(found) - signed(line.accepted);
        line
    };
    node.log.status().datasets.iter().map(line).collect()
}

/// Recounts a running node. A sink beside the lake that is away is named in the report; what the
/// others hold is counted all the same.
///
/// # Errors
///
/// Where the lake or the log cannot be read.
pub(crate) async fn recount(node: &Node) -> anyhow::Result<Report> {
    let sinks: Vec<Counted> = node.fanout.outlets().iter().map(Outlet::counted).collect();
    recount_parts((&node.log, &node.lakes, &node.dead), &sinks).await
}

/// Recounts a running node, and computes its ledger's account; it reads all spans of the lake.
///
/// # Errors
///
/// As [`recount`].
pub(crate) async fn verify(node: &Node) -> anyhow::Result<Report> {
    let mut report = recount(node).await?;
    if node.booking.is_some() {
        report.ledger = Some(Box::pin(of_ledger(&node.lakes, &node.prices)).await?);
    }
    Ok(report)
}

/// The account of the ledgers in all lakes together.
///
/// # Errors
///
/// Where a table cannot be read.
pub(crate) async fn of_ledger(lakes: &Lakes, book: &Arc<PriceBook>) -> anyhow::Result<Account> {
    let prices = price_lists(book);
    let mut sum = Account::default();
    for (lake, name) in ledgers(lakes) {
        sum.add(&weir_ledger::account(lake, name, prices.as_ref()).await?);
    }
    Ok(sum)
}

/// Recounts from the parts themselves.
///
/// # Errors
///
/// As [`recount`].
pub(crate) async fn recount_parts(
    (log, lakes, dead): (&Log, &Lakes, &DeadLetters),
    sinks: &[Counted],
) -> anyhow::Result<Report> {
    let mut lines = Vec::new();
    for dataset in Dataset::RECEIVED {
        lines.push(line(log, lakes, dead, dataset).await?);
    }
    let mut uncounted = Vec::new();
    for sink in sinks {
        match sink.recount(log, lakes, dead).await {
            Ok(counted) => lines.extend(counted),
            Err(error) => uncounted.push(Uncounted {
                sink: sink.name().to_owned(),
                error: format!("{error:#}"),
            }),
        }
    }
    Ok(Report {
        node: log.node().as_str().to_owned(),
        lines,
        uncounted,
        ledger: None,
    })
}

async fn line(
    log: &Log,
    lakes: &Lakes,
    dead: &DeadLetters,
    dataset: Dataset,
) -> anyhow::Result<Line> {
    let (before, _) = accepted(log, dataset);
    let nodes = log.nodes();
    let pinned: Vec<_> = nodes
        .into_iter()
        .map(|node| log.pin_of(dataset, node))
        .collect();
    let mut lasts = Vec::new();
    for under in &pinned {
        let last = lakes.last_batch(dataset, &under.node).await?;
        lasts.push((under, last.unwrap_or(0)));
    }
    let (after, lost) = accepted(log, dataset);
    let letters = dead.list()?;
    let (mut stored, mut pending, mut set_aside) = (0, 0, 0);
    for (under, last) in lasts {
        let counts = lakes.count_rows(dataset, &under.node, 1, last).await?;
        stored += counts.values().sum::<u64>();
        let open = under.blocks.iter().filter(|block| block.batch() > last);
        pending += open.map(|block| count(block.rows())).sum::<u64>();
        let ours = letters.iter().filter(|letter| {
            let part = &letter.id.part;
            letter.id.sink == lake::NAME
                && !letter.is_replayed()
                && part.dataset == dataset
                && part.node == under.node
                && part.batch <= last
        });
        set_aside += ours.map(|letter| letter.rows).sum::<u64>();
        let again = replay_node(&under.node);
        let counts = lakes.count_rows(dataset, &again, 1, i64::MAX).await?;
        stored += counts.values().sum::<u64>();
    }
    Ok(balance(
        Line {
            sink: lake::NAME.to_owned(),
            dataset: dataset.name().to_owned(),
            accepted: after,
            stored,
            set_aside,
            pending,
            routed_out: 0,
            lost,
            difference: 0,
        },
        before,
    ))
}

/// Settles how many rows were accepted and by how many the rest disagrees, where between `before`
/// and `line.accepted` rows were accepted while counting.
pub(crate) fn balance(mut line: Line, before: u64) -> Line {
    let found = line.stored + line.set_aside + line.pending + line.routed_out + line.lost;
    let after = line.accepted;
    line.accepted = found.clamp(before, after.max(before));
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    line.difference = signed(found) - signed(line.accepted);
    line
}

/// Rows of `dataset` that were accepted, and those that the log lost.
pub(crate) fn accepted(log: &Log, dataset: Dataset) -> (u64, u64) {
    let status = log.status();
    let ours = status.datasets.iter().find(|d| d.dataset == dataset);
    ours.map_or((0, 0), |d| (d.accepted_rows, d.lost_rows))
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(stored: u64, pending: u64, after: u64) -> Line {
        Line {
            sink: "lake".into(),
            dataset: "spans".into(),
            accepted: after,
            stored,
            set_aside: 1,
            pending,
            routed_out: 0,
            lost: 0,
            difference: 0,
        }
    }

    #[test]
    fn rows_that_arrive_meanwhile_are_no_difference() {
        let settled = balance(line(90, 14, 110), 100);
        assert_eq!((settled.accepted, settled.difference), (105, 0));
    }

    #[test]
    fn a_sink_that_is_away_is_named_and_the_rest_adds_up() {
        let report = Report {
            node: "n".into(),
            lines: vec![balance(line(90, 9, 100), 100)],
            uncounted: vec![Uncounted {
                sink: "warehouse".into(),
                error: "no answer".into(),
            }],
            ledger: None,
        };
        let shown = report.json();
        assert_eq!(
            (&shown["ok"], &shown["adds_up"]),
            (&json!(false), &json!(true))
        );
        assert_eq!(shown["uncounted"][0]["sink"], "warehouse");
        let text = crate::cli::verify::text(&shown);
        assert!(
            text.contains("warehouse could not be counted: no answer"),
            "{text}"
        );
        assert!(
            text.ends_with("in the sinks that could be counted"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_row_and_a_doubled_row_are_told() {
        assert_eq!(balance(line(90, 8, 100), 100).difference, -1);
        assert_eq!(balance(line(90, 10, 100), 100).difference, 1);
    }
}
