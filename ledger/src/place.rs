//! Where the ledger stands, as the lake says it: numbers beside the table's batches.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use weir_lake::Snapshot;
use weir_model::NodeId;

use crate::events::{EventCursors, EventTable, TABLES};
use crate::store::Position;
use crate::window::Cursors;

/// Under whose name the batches of the default lake's ledger are, whichever node writes them.
pub static LEDGER_NODE: LazyLock<NodeId> =
    LazyLock::new(|| NodeId::from_bits(0x1ed9_e200_c057_0001));

/// The same for the ledger of a lake that tenants have for themselves. Who has one reads the default
/// lake too, and the bookings of the two ledgers must not have the same numbers.
pub static OWN_LEDGER_NODE: LazyLock<NodeId> =
    LazyLock::new(|| NodeId::from_bits(0x1ed9_e200_c057_0002));

/// Counts the commits of the ledger; what fences a writer that computed from an older state.
const ROUND: &str = "weir/ledger/round";
/// The last batch of spans of each node.
const SPANS: &str = "weir/ledger/spans/";
/// The last entry of the ledger's order that was applied as a whole.
const ENTRIES: &str = "weir/ledger/entries";

/// A place in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) round: i64,
    /// The last batch of bookings.
    pub(crate) batch: i64,
    /// The last entry that was applied.
    pub(crate) entries: i64,
    /// How far spans have been read.
    pub(crate) cursors: Cursors,
    /// How far events have been read, in the order of [`TABLES`].
    pub(crate) events: EventCursors,
}

/// What names a table's cursors.
fn prefix(table: EventTable) -> String {
    format!("weir/ledger/{}/", table.dataset)
}

impl Place {
    /// Where the table says that the ledger stands whose batches are under the name of `node`.
    pub(crate) fn in_lake(ledger: &Snapshot, node: &NodeId) -> Self {
        let under = |prefix: &str| -> Cursors {
            let cursors = ledger.all_progress().filter_map(|(name, number)| {
                let node = NodeId::new(name.strip_prefix(prefix)?).ok()?;
                Some((node, number))
            });
            cursors.collect()
        };
        Self {
            round: ledger.progress(ROUND),
            batch: ledger.committed(node),
            entries: ledger.progress(ENTRIES),
            cursors: under(SPANS),
            events: TABLES.map(|table| under(&prefix(table))),
        }
    }

    /// The same, as the store keeps it.
    pub(crate) fn position(&self) -> Position {
        let cursors = self.cursors.iter();
        Position {
            round: self.round,
            batch: self.batch,
            cursors: cursors.map(|(n, b)| (n.as_str().to_owned(), *b)).collect(),
        }
    }

    /// What a commit expects of the table.
    pub(crate) fn expect(&self) -> Vec<(String, i64)> {
        vec![(ROUND.to_owned(), self.round)]
    }

    /// What a commit sets that leads from here to `next`.
    pub(crate) fn then(&self, next: &Self) -> Vec<(String, i64)> {
        let mut all = vec![(ROUND.to_owned(), next.round)];
        if next.entries != self.entries {
            all.push((ENTRIES.to_owned(), next.entries));
        }
        let moved = next.cursors.iter();
        let moved = moved.filter(|(node, batch)| self.cursors.get(*node) != Some(batch));
        all.extend(moved.map(|(node, batch)| (format!("{SPANS}{node}"), *batch)));
        for ((table, before), after) in TABLES.into_iter().zip(&self.events).zip(&next.events) {
            let moved = after.iter().filter(|(n, b)| before.get(*n) != Some(b));
            let prefix = prefix(table);
            all.extend(moved.map(|(node, batch)| (format!("{prefix}{node}"), *batch)));
        }
        all
    }
}

/// The store's position as cursors.
pub(crate) fn cursors(of: &Position) -> Cursors {
    let all: &BTreeMap<String, i64> = &of.cursors;
    let nodes = all
        .iter()
        .filter_map(|(n, b)| Some((NodeId::new(n).ok()?, *b)));
    nodes.collect()
}
