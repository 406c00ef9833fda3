//! `node.json`: who this node is, and which numbers it must never give again.
//!
//! The numbers in it are a floor: what the frames say counts where it is higher. They are written
//! whenever a segment is begun and before one is deleted, so that deleting never lets a number
//! start again.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use weir_model::{Dataset, NodeId};

use super::rows::Era;
use super::small_files;

/// The file's name in the data directory.
pub(crate) const NODE_FILE: &str = "node.json";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeFile {
    /// The node's names, the present one last.
    pub(crate) eras: Vec<Era>,
    /// The run that wrote it.
    pub(crate) incarnation: u128,
    /// The accounts below hold all frames up to this number, exclusive.
    pub(crate) next_seq: u64,
    /// All frames below this number were deleted, or are about to be.
    pub(crate) kept_from: u64,
    pub(crate) next_segment: u64,
    /// The number of the next batch that is not begun yet.
    pub(crate) next_batch: BTreeMap<Dataset, i64>,
    /// Rows accepted in all frames below `next_seq`.
    pub(crate) accepted_rows: BTreeMap<Dataset, u64>,
}

impl NodeFile {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("layout".to_owned(), small_files::LAYOUT.into());
        let node = self.eras.last().map_or("", |era| era.node.as_str());
        body.insert("node".to_owned(), node.into());
        body.insert(
            "incarnation".to_owned(),
            format!("{:032x}", self.incarnation).into(),
        );
        body.insert("next_seq".to_owned(), self.next_seq.into());
        body.insert("kept_from".to_owned(), self.kept_from.into());
        body.insert("next_segment".to_owned(), self.next_segment.into());
        let mut batches = Map::new();
        for (dataset, next) in &self.next_batch {
            batches.insert(dataset.name().to_owned(), (*next).into());
        }
        body.insert("next_batch".to_owned(), batches.into());
        let mut accepted = Map::new();
        for (dataset, rows) in &self.accepted_rows {
            accepted.insert(dataset.name().to_owned(), (*rows).into());
        }
        body.insert("accepted_rows".to_owned(), accepted.into());
        let eras: Vec<Value> = self.eras.iter().map(encode_era).collect();
        body.insert("names".to_owned(), eras.into());
        small_files::encode(body)
    }

    /// Reads the file back; `None` where it is damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let body = small_files::decode(bytes)?;
        let names = body.get("names")?.as_array()?;
        let eras = names.iter().map(decode_era).collect::<Option<Vec<_>>>()?;
        if eras.is_empty() {
            return None;
        }
        Some(Self {
            eras,
            incarnation: u128::from_str_radix(body.get("incarnation")?.as_str()?, 16).ok()?,
            next_seq: body.get("next_seq")?.as_u64()?,
            kept_from: body.get("kept_from")?.as_u64()?,
            next_segment: body.get("next_segment")?.as_u64()?,
            next_batch: numbers(body.get("next_batch")?, Value::as_i64)?,
            accepted_rows: numbers(body.get("accepted_rows")?, Value::as_u64)?,
        })
    }
}

fn encode_era(era: &Era) -> Value {
    let mut from = Map::new();
    for (dataset, first) in &era.from {
        from.insert(dataset.name().to_owned(), (*first).into());
    }
    let mut out = Map::new();
    out.insert("node".to_owned(), era.node.as_str().into());
    out.insert("from".to_owned(), from.into());
    out.into()
}

fn decode_era(value: &Value) -> Option<Era> {
    Some(Era {
        node: NodeId::new(value.get("node")?.as_str()?).ok()?,
        from: numbers(value.get("from")?, Value::as_i64)?,
    })
}

/// Numbers by dataset; names that this program does not know are left out.
fn numbers<T>(value: &Value, read: fn(&Value) -> Option<T>) -> Option<BTreeMap<Dataset, T>> {
    let entries = value.as_object()?.iter();
    let known = entries.filter_map(|(name, v)| Some((Dataset::from_name(name)?, read(v)?)));
    Some(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back() {
        let file = NodeFile {
            eras: vec![
                Era {
                    node: NodeId::from_bits(1),
                    from: BTreeMap::new(),
                },
                Era {
                    node: NodeId::from_bits(2),
                    from: [(Dataset::Spans, 9)].into(),
                },
            ],
            incarnation: u128::MAX,
            next_seq: 5,
            kept_from: 4,
            next_segment: 6,
            next_batch: [(Dataset::Spans, 10)].into(),
            accepted_rows: [(Dataset::OcsfEvents, 77)].into(),
        };
        assert_eq!(NodeFile::decode(&file.encode()), Some(file));
    }
}
