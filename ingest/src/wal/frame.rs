//! Frames: one group commit each, under one checksum. The layout is in the [module](super).

use super::bytes::{Fields, Malformed, size32};

/// What a frame begins with.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"WFR1";
/// The length of a frame's header, in bytes.
pub(crate) const FRAME_HEADER_BYTES: usize = 40;
/// Frames begin at multiples of this.
pub(crate) const FRAME_ALIGN: usize = 8;
/// The one kind so far: requests, their rows, and seals.
pub(crate) const KIND_COMMIT: u8 = 1;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes after the header.
    pub(crate) payload_bytes: u32,
    pub(crate) crc: u32,
    pub(crate) salt: u32,
    pub(crate) seq: u64,
    pub(crate) kind: u8,
    /// The version of the datasets' schemas.
    pub(crate) schema_version: u16,
    /// The manifest is the last so many bytes of the payload.
    pub(crate) manifest_bytes: u32,
    /// When the group was committed, microseconds since the epoch.
    pub(crate) time_us: i64,
}

impl FrameHeader {
    /// Reads a header; `None` where it cannot be one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        if fields.array::<4>().ok()? != FRAME_MAGIC {
            return None;
        }
        Self::parse_rest(&mut fields).ok()
    }

    fn parse_rest(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        let payload_bytes = fields.u32()?;
        let crc = fields.u32()?;
        let salt = fields.u32()?;
        let seq = fields.u64()?;
        let kind = fields.u8()?;
        let _flags = fields.u8()?;
        let schema_version = fields.u16()?;
        let manifest_bytes = fields.u32()?;
        let time_us = fields.i64()?;
        if manifest_bytes > payload_bytes {
            return Err(Malformed("a manifest longer than its frame"));
        }
        Ok(Self {
            payload_bytes,
            crc,
            salt,
            seq,
            kind,
            schema_version,
            manifest_bytes,
            time_us,
        })
    }

    /// The length of the whole frame, in bytes.
    pub(crate) fn frame_bytes(&self) -> u64 {
        FRAME_HEADER_BYTES as u64 + u64::from(self.payload_bytes)
    }

    /// The manifest's bytes within the frame's payload.
    pub(crate) fn manifest<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let len = usize::try_from(self.manifest_bytes).ok()?;
        payload.get(payload.len().checked_sub(len)?..)
    }
}

/// The checksum of a frame: all of it but the checksum's own four bytes.
pub(crate) fn checksum(frame: &[u8]) -> u32 {
    let head = frame.get(..8).unwrap_or_default();
    let rest = frame.get(12..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(head), rest)
}

/// Fills in the header of a frame whose payload stands behind [`FRAME_HEADER_BYTES`] of room.
pub(crate) fn finish(frame: &mut [u8], header: &FrameHeader) {
    let Some((head, payload)) = frame.split_first_chunk_mut::<FRAME_HEADER_BYTES>() else {
        return;
    };
    let mut out = Vec::with_capacity(FRAME_HEADER_BYTES);
    out.extend_from_slice(&FRAME_MAGIC);
    out.extend_from_slice(&size32(payload.len()).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.salt.to_le_bytes());
    out.extend_from_slice(&header.seq.to_le_bytes());
    out.extend_from_slice(&[header.kind, 0]);
    out.extend_from_slice(&header.schema_version.to_le_bytes());
    out.extend_from_slice(&header.manifest_bytes.to_le_bytes());
    out.extend_from_slice(&header.time_us.to_le_bytes());
    head.copy_from_slice(&out);
    let crc = checksum(frame);
    if let Some(place) = frame.get_mut(8..12) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_a_frame_is_under_its_checksum() {
        let mut frame = vec![0_u8; FRAME_HEADER_BYTES];
        frame.extend_from_slice(&[7; 24]);
        let header = FrameHeader {
            payload_bytes: 24,
            crc: 0,
            salt: 5,
            seq: 9,
            kind: KIND_COMMIT,
            schema_version: 1,
            manifest_bytes: 8,
            time_us: -3,
        };
        finish(&mut frame, &header);
        let read = FrameHeader::parse(&frame).unwrap();
        assert_eq!(
            read,
            FrameHeader {
                crc: checksum(&frame),
                ..header
            }
        );
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let told = FrameHeader::parse(&bad).is_none_or(|h| h.crc != checksum(&bad));
            assert!(told, "bit {bit}");
        }
    }
}
