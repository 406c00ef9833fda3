//! Reads single frames back, each under its checksum.

use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;

use super::block::{self, BlockError};
use super::frame::{FRAME_HEADER_BYTES, FrameHeader, checksum};
use super::manifest::BlockEntry;
use super::segment::segment_name;
use super::storage::{Storage, StorageFile, join};
use super::walk::WAL_DIR;
use super::writer::Place;

/// A frame could not be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The system refused.
    #[error("frame {seq} could not be read")]
    Io {
        seq: u64,
        #[source]
        source: io::Error,
    },
    /// It is not what was written there.
    #[error("frame {seq} is damaged")]
    Damaged { seq: u64 },
    /// Its rows make no sense.
    #[error("rows of frame {seq} could not be read")]
    Block {
        seq: u64,
        #[source]
        source: BlockError,
    },
}

/// Reads frames, mostly of one segment after the other.
#[derive(Debug)]
pub(crate) struct FrameReader {
    storage: Arc<dyn Storage>,
    open: Option<(u64, Arc<dyn StorageFile>)>,
    bytes: Vec<u8>,
}

impl FrameReader {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            open: None,
            bytes: Vec::new(),
        }
    }

    /// The rows of a block.
    pub(crate) fn rows(
        &mut self,
        place: &Place,
        entry: &BlockEntry,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        let seq = place.seq;
        self.load(place)
            .map_err(|source| ReadError::Io { seq, source })?;
        let header = FrameHeader::parse(&self.bytes).ok_or(ReadError::Damaged { seq })?;
        if header.seq != seq || header.crc != checksum(&self.bytes) {
            return Err(ReadError::Damaged { seq });
        }
        let payload = self.bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
        let stored = entry.stored(payload).ok_or(ReadError::Damaged { seq })?;
        block::decode(entry.dataset, stored, entry.raw_bytes)
            .map_err(|source| ReadError::Block { seq, source })
    }

    fn load(&mut self, place: &Place) -> io::Result<()> {
        let file = match &self.open {
            Some((segment, file)) if *segment == place.segment => Arc::clone(file),
            Some(_) | None => {
                let path = join(WAL_DIR, &segment_name(place.segment));
                let file = self.storage.open(&path)?;
                self.open = Some((place.segment, Arc::clone(&file)));
                file
            }
        };
        let len = usize::try_from(place.bytes).map_err(io::Error::other)?;
        self.bytes.resize(len, 0);
        let read = file.read_at(&mut self.bytes, place.offset)?;
        self.bytes.truncate(read);
        Ok(())
    }
}
