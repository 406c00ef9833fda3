//! Giving rows to a sink again that it had refused.
//!
//! A sink has settled the batch that the rows were of, and may take anything of it for a replay that
//! stores nothing. So the rows are sealed anew: under a name that stands for what this node replays
//! and the next number of their dataset at that sink, which the note remembers before the sink sees
//! it. Offered twice, they are stored once, as any batch is.

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;
use sha2::{Digest, Sha256};
use weir_model::{Batch, BatchId, Dataset, NodeId};

use super::letter::Note;
use super::{DeadError, DeadLetter, DeadLetters, LetterId, disk, letter};
use crate::lake;

/// The name under which rows that `node` had set aside are stored when they are replayed.
pub fn replay_node(node: &NodeId) -> NodeId {
    let digest = Sha256::digest(format!("weir replays of {node}"));
    let bits = digest
        .iter()
        .take(8)
        .fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
    NodeId::from_bits(bits)
}

impl DeadLetters {
    /// The rows of a letter as a batch of their own, to be offered to its sink until that takes or
    /// refuses them; the number is durable. Other letters of the dataset wait until then, since a
    /// sink settles numbers in their order.
    ///
    /// # Errors
    ///
    /// [`DeadError::Missing`] where the letter has no rows; [`DeadError::Unfinished`] names the
    /// letter that has to be replayed to its end first; [`DeadError::Damaged`] where they are
    /// not in the dataset's schema.
    pub fn replay(&self, id: &LetterId) -> Result<Batch, DeadError> {
        let (mut found, pieces) = self.show(id)?;
        let folder = self.of(&id.sink)?;
        let _numbering = self.numbering.lock();
        let dataset = id.part.dataset;
        let letters = letter::all(&id.sink, &folder)?;
        let of = |l: &&DeadLetter| {
            l.id.part.dataset == dataset && l.id.part.node == id.part.node && l.id != *id
        };
        let open = letters
            .iter()
            .filter(of)
            .find(|l| l.replay.is_some() && l.has_rows());
        if let Some(open) = open {
            return Err(DeadError::Unfinished {
                id: open.id.clone(),
            });
        }
        let number = match found.replay {
            Some(number) => number,
            None => {
                let letters = letter::all(&id.sink, &folder)?;
                let ours = letters
                    .iter()
                    .filter(|l| l.id.part.dataset == dataset && l.id.part.node == id.part.node);
                ours.filter_map(|l| l.replay).max().unwrap_or(0) + 1
            }
        };
        found.replay = Some(number);
        disk::write_json(&folder.join(id.note_file()), &Note::of(&found))?;
        let name = BatchId {
            node: replay_node(&id.part.node),
            dataset,
            number,
        };
        sealed(name, &pieces).map_err(|e| DeadError::Damaged {
            path: folder.join(id.rows_file()),
            reason: e.to_string(),
        })
    }

    /// Notes that the sink took the rows of a letter, and deletes them here; those of the lake stay,
    /// for sinks that are filled from it and want them in their old places.
    ///
    /// # Errors
    ///
    /// Where the disk fails; the rows may then be replayed again, which stores nothing.
    pub fn replayed(&self, id: &LetterId) -> Result<DeadLetter, DeadError> {
        let folder = self.of(&id.sink)?;
        let found = letter::find(&folder, id)?;
        let mut found = found.ok_or_else(|| DeadError::Missing { id: id.to_string() })?;
        found.replayed_us.get_or_insert(self.clock.now_us());
        disk::write_json(&folder.join(id.note_file()), &Note::of(&found))?;
        if id.sink != lake::NAME {
            disk::remove(&folder.join(id.rows_file()))?;
        }
        Ok(found)
    }

    /// Notes that the sink still refuses the rows of a letter, which stored nothing: its number is
    /// free, and the next replay takes another if later letters have gone through meanwhile.
    ///
    /// # Errors
    ///
    /// Where the disk fails; the letter then keeps its number.
    pub fn refused_again(&self, id: &LetterId, reason: &str) -> Result<DeadLetter, DeadError> {
        let folder = self.of(&id.sink)?;
        let found = letter::find(&folder, id)?;
        let mut found = found.ok_or_else(|| DeadError::Missing { id: id.to_string() })?;
        found.replay = None;
        reason.clone_into(&mut found.reason);
        disk::write_json(&folder.join(id.note_file()), &Note::of(&found))?;
        Ok(found)
    }

    /// The nodes of which letters of `sink` were replayed, by the names under which they are
    /// stored.
    ///
    /// # Errors
    ///
    /// Where a note cannot be read.
    pub fn replay_nodes(&self, sink: &str, dataset: Dataset) -> Result<Vec<NodeId>, DeadError> {
        let letters = letter::all(sink, &self.of(sink)?)?;
        let ours = letters
            .iter()
            .filter(|l| l.is_replayed() && l.id.part.dataset == dataset);
        let mut nodes: Vec<NodeId> = ours.map(|l| replay_node(&l.id.part.node)).collect();
        nodes.sort();
        nodes.dedup();
        Ok(nodes)
    }
}

/// Rows that were sealed once, sealed as `name`.
fn sealed(name: BatchId, pieces: &[RecordBatch]) -> Result<Batch, ArrowError> {
    let schema = name.dataset.accepted_schema();
    let fitted = pieces
        .iter()
        .map(|piece| crate::refill::fitted(&schema, piece));
    let fitted = fitted.collect::<Result<Vec<_>, _>>()?;
    Batch::seal(name, &concat_batches(&schema, &fitted)?)
}
