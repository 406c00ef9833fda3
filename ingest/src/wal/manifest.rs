//! What a frame holds: seals, blocks of rows, and the requests that brought them.

use weir_model::{Dataset, TenantId};

use super::bytes::{Fields, Malformed, pad, size32};
use super::frame::FRAME_ALIGN;
use crate::log::Route;

/// The rows of one dataset in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEntry {
    pub(crate) dataset: Dataset,
    /// The batch that the rows belong to, fixed here.
    pub(crate) batch: i64,
    /// The place of the first row in its batch.
    pub(crate) first_row: u32,
    pub(crate) rows: u32,
    /// Where the block begins in the payload.
    pub(crate) offset: u32,
    /// Its compressed length.
    pub(crate) stored_bytes: u32,
    /// Its length when decompressed.
    pub(crate) raw_bytes: u32,
}

/// A batch is complete, and from now on immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub(crate) dataset: Dataset,
    pub(crate) number: i64,
    /// Which table of routes was in force.
    pub(crate) route_epoch: u32,
    /// The frames that hold its rows, in order, and how many rows each.
    pub(crate) frames: Vec<(u64, u32)>,
}

impl Seal {
    /// How many rows the batch has.
    pub(crate) fn rows(&self) -> u64 {
        self.frames.iter().map(|(_, rows)| u64::from(*rows)).sum()
    }
}

/// A request's rows within the frame's block of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowRange {
    pub(crate) dataset: Dataset,
    pub(crate) first: u32,
    pub(crate) rows: u32,
}

/// A request that the frame makes durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestEntry {
    pub(crate) tenant: TenantId,
    pub(crate) route: Route,
    pub(crate) digest: Option<[u8; 16]>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) answer: Vec<u8>,
    pub(crate) ranges: Vec<RowRange>,
}

/// The manifest of a frame. Its seals apply before its blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) seals: Vec<Seal>,
    pub(crate) blocks: Vec<BlockEntry>,
    pub(crate) requests: Vec<RequestEntry>,
}

/// A request has one digest (bit 0) or none, one key (bit 1) or none.
const HAS_DIGEST: u8 = 1;
const HAS_KEY: u8 = 2;
/// The last byte of a manifest, and so of a frame.
const END: u8 = 0xa5;

impl Manifest {
    /// Appends the manifest to a frame's payload and gives its length, padding included.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        out.extend_from_slice(&size32(self.seals.len()).to_le_bytes());
        out.extend_from_slice(&size32(self.blocks.len()).to_le_bytes());
        out.extend_from_slice(&size32(self.requests.len()).to_le_bytes());
        for seal in &self.seals {
            encode_seal(seal, out);
        }
        for block in &self.blocks {
            encode_block(block, out);
        }
        for request in &self.requests {
            encode_request(request, out);
        }
        // The last byte is not zero: a write that a full disk cut short never makes a whole frame.
        out.push(END);
        pad(out, FRAME_ALIGN);
        if let Some(last) = out.last_mut() {
            *last = END;
        }
        size32(out.len() - start)
    }

    /// Reads a manifest back.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        let seals = fields.u32()?;
        let blocks = fields.u32()?;
        let requests = fields.u32()?;
        // Nothing is reserved by these counts: each item must really be there.
        let seals = (0..seals)
            .map(|_| decode_seal(&mut fields))
            .collect::<Result<_, _>>()?;
        let blocks = (0..blocks)
            .map(|_| decode_block(&mut fields))
            .collect::<Result<_, _>>()?;
        let requests = (0..requests)
            .map(|_| decode_request(&mut fields))
            .collect::<Result<_, _>>()?;
        if fields.0.len() > FRAME_ALIGN || fields.0.last() != Some(&END) {
            return Err(Malformed("bytes behind the manifest"));
        }
        Ok(Self {
            seals,
            blocks,
            requests,
        })
    }
}

fn dataset(fields: &mut Fields<'_>) -> Result<Dataset, Malformed> {
    Dataset::from_code(fields.u8()?).ok_or(Malformed("a dataset that is not known"))
}

fn encode_seal(seal: &Seal, out: &mut Vec<u8>) {
    out.push(seal.dataset.code());
    out.extend_from_slice(&seal.number.to_le_bytes());
    out.extend_from_slice(&seal.route_epoch.to_le_bytes());
    // Parts, for sinks that need rows in fixed ranges: none yet.
    out.extend_from_slice(&0_u32.to_le_bytes());
    out.extend_from_slice(&size32(seal.frames.len()).to_le_bytes());
    for (seq, rows) in &seal.frames {
        out.extend_from_slice(&seq.to_le_bytes());
        out.extend_from_slice(&rows.to_le_bytes());
    }
}

fn decode_seal(fields: &mut Fields<'_>) -> Result<Seal, Malformed> {
    let dataset = dataset(fields)?;
    let number = fields.i64()?;
    let route_epoch = fields.u32()?;
    let parts = fields.u32()?;
    for _ in 0..parts {
        fields.take(8)?;
    }
    let frames = fields.u32()?;
    let frames = (0..frames)
        .map(|_| Ok((fields.u64()?, fields.u32()?)))
        .collect::<Result<_, _>>()?;
    Ok(Seal {
        dataset,
        number,
        route_epoch,
        frames,
    })
}

fn encode_block(block: &BlockEntry, out: &mut Vec<u8>) {
    out.push(block.dataset.code());
    out.extend_from_slice(&block.batch.to_le_bytes());
    for field in [
        block.first_row,
        block.rows,
        block.offset,
        block.stored_bytes,
        block.raw_bytes,
    ] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

fn decode_block(fields: &mut Fields<'_>) -> Result<BlockEntry, Malformed> {
    Ok(BlockEntry {
        dataset: dataset(fields)?,
        batch: fields.i64()?,
        first_row: fields.u32()?,
        rows: fields.u32()?,
        offset: fields.u32()?,
        stored_bytes: fields.u32()?,
        raw_bytes: fields.u32()?,
    })
}

fn encode_request(request: &RequestEntry, out: &mut Vec<u8>) {
    let digest = if request.digest.is_some() {
        HAS_DIGEST
    } else {
        0
    };
    let key = if request.idempotency_key.is_some() {
        HAS_KEY
    } else {
        0
    };
    out.extend_from_slice(&[request.route.code(), digest | key]);
    encode_text(request.tenant.as_str(), out);
    if let Some(digest) = &request.digest {
        out.extend_from_slice(digest);
    }
    if let Some(key) = &request.idempotency_key {
        encode_text(key, out);
    }
    out.extend_from_slice(&size32(request.answer.len()).to_le_bytes());
    out.extend_from_slice(&request.answer);
    out.extend_from_slice(&size32(request.ranges.len()).to_le_bytes());
    for range in &request.ranges {
        out.push(range.dataset.code());
        out.extend_from_slice(&range.first.to_le_bytes());
        out.extend_from_slice(&range.rows.to_le_bytes());
    }
}

fn decode_request(fields: &mut Fields<'_>) -> Result<RequestEntry, Malformed> {
    let route = Route::from_code(fields.u8()?).ok_or(Malformed("a route that is not known"))?;
    let has = fields.u8()?;
    let tenant =
        TenantId::new(fields.text()?).map_err(|_| Malformed("a tenant that is no tenant"))?;
    let digest = if has & HAS_DIGEST != 0 {
        Some(fields.array()?)
    } else {
        None
    };
    let idempotency_key = if has & HAS_KEY != 0 {
        Some(fields.text()?.to_owned())
    } else {
        None
    };
    let len = fields.size()?;
    let answer = fields.take(len)?.to_vec();
    let ranges = fields.u32()?;
    let ranges = (0..ranges)
        .map(|_| {
            Ok(RowRange {
                dataset: dataset(fields)?,
                first: fields.u32()?,
                rows: fields.u32()?,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(RequestEntry {
        tenant,
        route,
        digest,
        idempotency_key,
        answer,
        ranges,
    })
}

/// Texts are at most 65,535 bytes here; `append` sees to it.
fn encode_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

impl BlockEntry {
    /// The block's bytes within its frame's payload.
    pub(crate) fn stored<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let from = usize::try_from(self.offset).ok()?;
        let len = usize::try_from(self.stored_bytes).ok()?;
        payload.get(from..from.checked_add(len)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_back_and_no_cut_of_it_does() {
        let manifest = Manifest {
            seals: vec![Seal {
                dataset: Dataset::Spans,
                number: 7,
                route_epoch: 3,
                frames: vec![(1, 10), (4, 20)],
            }],
            blocks: vec![BlockEntry {
                dataset: Dataset::OcsfEvents,
                batch: 8,
                first_row: 2,
                rows: 3,
                offset: 0,
                stored_bytes: 64,
                raw_bytes: 128,
            }],
            requests: vec![RequestEntry {
                tenant: TenantId::local(),
                route: Route::Ocsf,
                digest: Some([9; 16]),
                idempotency_key: Some("k".into()),
                answer: b"{}".to_vec(),
                ranges: vec![RowRange {
                    dataset: Dataset::OcsfEvents,
                    first: 0,
                    rows: 3,
                }],
            }],
        };
        let mut bytes = Vec::new();
        let len = manifest.encode(&mut bytes);
        assert_eq!(bytes.len(), len as usize);
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
