//! Which rows of a table are new: by node and batch, never by the table's versions.
//!
//! A file that a compaction has written again holds batches that were read before, and its
//! statistics say so. Where they cannot say it, since the file mixes nodes, it is read once, and its
//! path is remembered as one without news.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use weir_lake::{Bounds, Lake, LakeError, LakeFile, Snapshot};
use weir_model::{Dataset, NodeId};

/// How far each node's batches have been read.
pub(crate) type Cursors = BTreeMap<NodeId, i64>;

/// How many paths without news are remembered; then they are read once more.
const REMEMBERED_MAX: usize = 100_000;

/// The rows of each node above one batch and up to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    ranges: BTreeMap<NodeId, (i64, i64)>,
}

/// What there is to read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) window: Window,
    pub(crate) files: Vec<Arc<LakeFile>>,
    /// Whether the table has more than this.
    pub(crate) more: bool,
}

fn at(cursors: &Cursors, node: &NodeId) -> i64 {
    cursors.get(node).copied().unwrap_or(0)
}

/// The least and the greatest batch in a file; everything where that is not known.
fn batches(file: &LakeFile) -> (i64, i64) {
    match file.stats.get("_batch").and_then(|s| s.bounds.as_ref()) {
        Some(Bounds::Int { min, max }) => (*min, *max),
        Some(Bounds::Time { .. } | Bounds::Text { .. }) | None => (i64::MIN, i64::MAX),
    }
}

/// Whether the file may hold rows of `node`.
fn may_be_of(file: &LakeFile, node: &NodeId) -> bool {
    match file.stats.get("_node").and_then(|s| s.bounds.as_ref()) {
        Some(Bounds::Text { min, max }) => {
            min.as_str() <= node.as_str() && node.as_str() <= max.as_str()
        }
        Some(Bounds::Time { .. } | Bounds::Int { .. }) | None => true,
    }
}

/// The one node whose rows the file holds, where it is of one.
fn only_node(file: &LakeFile) -> Option<&str> {
    match file.stats.get("_node").and_then(|s| s.bounds.as_ref()) {
        Some(Bounds::Text { min, max }) if min == max => Some(min),
        Some(Bounds::Text { .. } | Bounds::Time { .. } | Bounds::Int { .. }) | None => None,
    }
}

impl Window {
    /// The rows above `from` and up to `to`.
    pub(crate) fn between(from: &Cursors, to: &Cursors) -> Self {
        let ranges = to
            .iter()
            .map(|(node, to)| (node.clone(), (at(from, node), *to)));
        Self {
            ranges: ranges.filter(|(_, (from, to))| from < to).collect(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The part of the window that lies before all that the files `left` hold.
    fn before(&self, left: &[&Arc<LakeFile>]) -> Self {
        let mut window = self.clone();
        for (node, range) in &mut window.ranges {
            let left = left.iter().filter(|f| may_be_of(f, node));
            let first = left.map(|f| batches(f).0).min().unwrap_or(i64::MAX);
            range.1 = range.1.min(first.saturating_sub(1));
        }
        window.ranges.retain(|_, (from, to)| from < to);
        window
    }

    /// Takes fewer batches where `files` hold more than about `rows_max` rows of the window: a file
    /// that a compaction has made holds thousands of batches.
    fn narrow(&mut self, files: &[&Arc<LakeFile>], rows_max: u64) {
        loop {
            let rows: u64 = files.iter().map(|f| self.rows_in(f)).sum();
            let long = self.ranges.values().any(|(from, to)| to - from > 1);
            if rows <= rows_max.saturating_mul(2) || !long {
                return;
            }
            for (from, to) in self.ranges.values_mut() {
                *to = *from + (*to - *from + 1) / 2;
            }
        }
    }

    /// How many rows of the file are of the window, if its batches are of about the same size.
    fn rows_in(&self, file: &LakeFile) -> u64 {
        let (min, max) = batches(file);
        let ours = self.ranges.iter().filter(|(node, _)| may_be_of(file, node));
        let overlap: i128 = ours
            .map(|(_, (from, to))| {
                let first = i128::from(min).max(i128::from(*from) + 1);
                (i128::from(max).min(i128::from(*to)) - first + 1).max(0)
            })
            .sum();
        let all = i128::from(max) - i128::from(min) + 1;
        let rows = i128::from(file.rows) * overlap.min(all) / all.max(1);
        // A file without statistics may hold all of it.
        let known = min != i64::MIN;
        u64::try_from(rows)
            .ok()
            .filter(|_| known)
            .unwrap_or(file.rows)
    }

    /// How many batches there are.
    pub(crate) fn batches(&self) -> u64 {
        self.ranges
            .values()
            .map(|(from, to)| from.abs_diff(*to))
            .sum()
    }

    /// Where each node stands once the window is read.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (&NodeId, i64)> {
        self.ranges.iter().map(|(node, (_, to))| (node, *to))
    }

    /// Whether the file may hold rows of the window.
    pub(crate) fn may_hold(&self, file: &LakeFile) -> bool {
        let (min, max) = batches(file);
        let mut ranges = self.ranges.iter();
        ranges.any(|(node, (from, to))| max > *from && min <= *to && may_be_of(file, node))
    }

    /// Whether all rows of the file are of the window.
    fn holds_all(&self, file: &LakeFile) -> bool {
        let (min, max) = batches(file);
        let node = only_node(file).and_then(|node| NodeId::new(node).ok());
        let range = node.and_then(|node| self.ranges.get(&node));
        range.is_some_and(|(from, to)| min > *from && max <= *to)
    }

    /// The rows of `piece` that are of the window, and whether any lies above its beginning, in it
    /// or behind it.
    pub(crate) fn of(&self, piece: &RecordBatch) -> Result<(RecordBatch, bool), LakeError> {
        let nodes = piece
            .column_by_name("_node")
            .and_then(|c| c.as_string_opt::<i32>());
        let batches = piece
            .column_by_name("_batch")
            .and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (Some(nodes), Some(batches)) = (nodes, batches) else {
            return Ok((piece.slice(0, 0), false));
        };
        let (mut last, mut news) = (None, false);
        let mut mask = Vec::with_capacity(piece.num_rows());
        for row in 0..piece.num_rows() {
            let node = nodes.value(row);
            let range = match last {
                Some((known, range)) if known == node => range,
                _ => {
                    let id = NodeId::new(node).ok();
                    let range = id.and_then(|id| self.ranges.get(&id)).copied();
                    last = Some((node, range));
                    range
                }
            };
            let batch = batches.value(row);
            news |= range.is_some_and(|(from, _)| batch > from);
            mask.push(range.is_some_and(|(from, to)| batch > from && batch <= to));
        }
        let kept = filter_record_batch(piece, &BooleanArray::from(mask));
        let fault = |source: arrow_schema::ArrowError| LakeError::Rows {
            dataset: Dataset::Spans,
            reason: source.to_string(),
        };
        Ok((kept.map_err(fault)?, news))
    }
}

/// Finds new rows of one table.
#[derive(Debug)]
pub(crate) struct Reader {
    dataset: Dataset,
    columns: Vec<&'static str>,
    /// Paths of files that hold nothing new, though their statistics leave room for it.
    old: HashSet<String>,
}

impl Reader {
    /// A reader of these columns, to which those are added that it needs itself.
    pub(crate) fn new(dataset: Dataset, columns: impl Iterator<Item = &'static str>) -> Self {
        let mut columns: Vec<&'static str> = columns.collect();
        for own in ["_node", "_batch"] {
            if !columns.contains(&own) {
                columns.push(own);
            }
        }
        Self {
            dataset,
            columns,
            old: HashSet::new(),
        }
    }

    /// What is new in `snapshot` since `cursors`, up to about `rows_max` rows; `None` where nothing
    /// is.
    pub(crate) fn plan(
        &self,
        snapshot: &Snapshot,
        cursors: &Cursors,
        rows_max: u64,
    ) -> Option<Plan> {
        let to: Cursors = snapshot.nodes().map(|(n, b)| (n.clone(), b)).collect();
        let all = Window::between(cursors, &to);
        if all.is_empty() {
            return None;
        }
        let files = snapshot.files().iter();
        let mut files: Vec<_> = files.filter(|f| self.may_have_news(&all, f)).collect();
        files.sort_by_key(|f| (batches(f).1, batches(f).0));
        let mut rows = 0;
        let mut taken = 0;
        for file in &files {
            if taken > 0 && rows + file.rows > rows_max {
                break;
            }
            rows += file.rows;
            taken += 1;
        }
        // Batches lie across each other where a commit has several files: more until a cut is clean.
        let mut window = all.before(files.get(taken..).unwrap_or_default());
        while window.is_empty() {
            taken += 1;
            window = all.before(files.get(taken..).unwrap_or_default());
        }
        window.narrow(&files, rows_max);
        let files = files.into_iter().filter(|f| window.may_hold(f));
        Some(Plan {
            files: files.map(Arc::clone).collect(),
            more: window != all,
            window,
        })
    }

    fn may_have_news(&self, window: &Window, file: &LakeFile) -> bool {
        window.may_hold(file) && !self.old.contains(&file.path)
    }

    /// Gives each piece of the file's rows that are of the window to `each`.
    pub(crate) async fn each<E: From<LakeError>>(
        &mut self,
        lake: &Lake,
        file: &LakeFile,
        window: &Window,
        mut each: impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = window.holds_all(file);
        let mut pieces = self.pieces(lake, file).await?;
        let mut news = all;
        while let Some(piece) = pieces.try_next().await? {
            if all {
                each(piece)?;
                continue;
            }
            let (piece, above) = window.of(&piece)?;
            news |= above;
            if piece.num_rows() > 0 {
                each(piece)?;
            }
        }
        if !news {
            if self.old.len() >= REMEMBERED_MAX {
                self.old.clear();
            }
            self.old.insert(file.path.clone());
        }
        Ok(())
    }

    async fn pieces(
        &self,
        lake: &Lake,
        file: &LakeFile,
    ) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
        lake.read_file(self.dataset, file, &self.columns, None)
            .await
    }

    /// The columns that it reads.
    pub(crate) fn columns(&self) -> &[&'static str] {
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_lake::ColumnStats;

    fn file(node: &NodeId, (min, max): (i64, i64), rows: u64) -> Arc<LakeFile> {
        let stats = |bounds| ColumnStats {
            bounds: Some(bounds),
            nulls: Some(0),
        };
        let text = node.as_str().to_owned();
        let node = Bounds::Text {
            min: text.clone(),
            max: text,
        };
        Arc::new(LakeFile {
            path: format!("{min}-{max}.parquet"),
            size: 1,
            rows,
            tenant: None,
            part_date: None,
            time_min_us: None,
            time_max_us: None,
            stats: [
                ("_batch".to_owned(), stats(Bounds::Int { min, max })),
                ("_node".to_owned(), stats(node)),
            ]
            .into(),
        })
    }

    #[test]
    fn a_file_of_many_batches_is_read_in_parts_that_follow_one_another() {
        let node = NodeId::from_bits(1);
        let (large, small) = (
            file(&node, (1, 1_000), 1_000_000),
            file(&node, (1_001, 1_001), 10),
        );
        let files = [&large, &small];
        let to = Cursors::from([(node.clone(), 1_001)]);
        let (mut cursors, mut parts) = (Cursors::new(), 0);
        while at(&cursors, &node) < 1_001 {
            let mut window = Window::between(&cursors, &to);
            window.narrow(&files, 10_000);
            assert!(window.rows_in(&large) <= 20_000, "{window:?}");
            assert!(window.batches() > 0);
            cursors.extend(window.ends().map(|(n, b)| (n.clone(), b)));
            parts += 1;
        }
        assert!((50..200).contains(&parts), "{parts}");
    }

    #[test]
    fn a_file_whose_batches_were_all_read_is_not_looked_at() {
        let (one, two) = (NodeId::from_bits(1), NodeId::from_bits(2));
        let cursors = Cursors::from([(one.clone(), 50)]);
        let to = Cursors::from([(one.clone(), 60), (two, 5)]);
        let window = Window::between(&cursors, &to);
        assert!(!window.may_hold(&file(&one, (1, 50), 10)));
        assert!(window.may_hold(&file(&one, (40, 51), 10)));
        assert!(!window.may_hold(&file(&one, (61, 70), 10)));
    }
}
