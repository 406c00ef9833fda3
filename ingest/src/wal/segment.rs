//! Segment files: their names, their header, and the search for frames in them.

use std::io;

use super::bytes::{Fields, size64};
use super::frame::{FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, FrameHeader, checksum};
use super::storage::StorageFile;
use super::{Bug, Planted};

/// What a segment begins with.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"WEIRWAL1";
/// The layout that this program writes, and the newest that it reads.
pub(crate) const LAYOUT_VERSION: u16 = 2;
/// The length of a segment's header, in bytes; the first frame follows.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 128;
const CRC_AT: usize = SEGMENT_HEADER_BYTES - 4;

/// What a segment's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u16,
    /// Every frame of this life of the file carries it.
    pub(crate) salt: u32,
    pub(crate) id: u64,
    /// The number of its first frame. Frames from here on in older segments do not count: they
    /// were given up.
    pub(crate) base_seq: u64,
    pub(crate) created_us: i64,
    /// The run of the program that made it.
    pub(crate) incarnation: u128,
    /// The node at that time, as 64 bits.
    pub(crate) node: u64,
    /// The file's length when it was made.
    pub(crate) file_bytes: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.base_seq.to_le_bytes());
        out.extend_from_slice(&self.created_us.to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.file_bytes.to_le_bytes());
        out.resize(CRC_AT, 0);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// Reads a header; `None` where it is not one or is damaged.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes
            .get(..SEGMENT_HEADER_BYTES)?
            .split_at_checked(CRC_AT)?;
        if crc32c::crc32c(body).to_le_bytes() != crc {
            return None;
        }
        let mut fields = Fields(body);
        if fields.array::<8>().ok()? != SEGMENT_MAGIC {
            return None;
        }
        let version = fields.u16().ok()?;
        fields.u16().ok()?;
        Some(Self {
            version,
            salt: fields.u32().ok()?,
            id: fields.u64().ok()?,
            base_seq: fields.u64().ok()?,
            created_us: fields.i64().ok()?,
            incarnation: u128::from_le_bytes(fields.array().ok()?),
            node: fields.u64().ok()?,
            file_bytes: fields.u64().ok()?,
        })
    }
}

/// The file name of segment `id`; names sort as the numbers do.
pub(crate) fn segment_name(id: u64) -> String {
    format!("{id:016x}.wal")
}

/// The number in a segment's file name.
pub(crate) fn segment_id(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// A stretch of a segment that is no frame but has frames behind it, or bytes that are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins, in bytes from the start of the file.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
}

/// What the search of one segment found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Where the last good frame ends.
    pub(crate) end: u64,
    /// What lies between good frames and is none.
    pub(crate) damage: Vec<Damage>,
    /// Bytes that are not zero behind the last good frame.
    pub(crate) tail: Option<Damage>,
    /// Good frames.
    pub(crate) frames: u64,
}

/// A good frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameView<'a> {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) payload: &'a [u8],
}

/// What a frame must agree with to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expect {
    /// The segment's salt; `None` where its header is lost, then the first good frame tells.
    pub(crate) salt: Option<u32>,
    /// Older numbers are of another life of the blocks.
    pub(crate) seq_min: u64,
    /// Numbers from here on were given up.
    pub(crate) seq_end: u64,
    pub(crate) planted: Planted,
}

/// Reads a file through a window; frames are looked at whole.
struct Window<'a> {
    file: &'a dyn StorageFile,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// How much is read at once.
const WINDOW_BYTES: usize = 1024 * 1024;

impl<'a> Window<'a> {
    /// The bytes from `offset`: `want` of them or what the file has.
    fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let have_end = self.start + size64(self.bytes.len());
        let want = want.min(usize::try_from(self.len.saturating_sub(offset)).unwrap_or(want));
        if offset < self.start || offset + size64(want) > have_end {
            let mut read = want.max(WINDOW_BYTES);
            let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(read);
            read = read.min(left);
            self.bytes.resize(read, 0);
            let got = self.file.read_at(&mut self.bytes, offset)?;
            self.bytes.truncate(got);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let rest = self.bytes.get(from..).unwrap_or_default();
        Ok(rest.get(..want).unwrap_or(rest))
    }
}

/// Looks for frames from the header to the file's end and shows each good one to `visit`.
///
/// It never gives up at a bad place: it goes on at the next good frame, so that damage costs no
/// more than what it hit. It holds one frame or window in memory.
pub(crate) fn scan<E: From<io::Error>>(
    file: &dyn StorageFile,
    expect: Expect,
    visit: &mut dyn FnMut(FrameView<'_>) -> Result<(), E>,
) -> Result<Scanned, E> {
    let len = file.size()?;
    let mut window = Window {
        file,
        len,
        start: 0,
        bytes: Vec::new(),
    };
    let mut expect = expect;
    let mut at = size64(SEGMENT_HEADER_BYTES).min(len);
    let mut found = Scanned {
        end: at,
        ..Scanned::default()
    };
    while at < len {
        if let Some(header) = frame_at(&mut window, at, &expect)? {
            let size = usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
            let bytes = window.at(at, size)?;
            let payload = bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default();
            if header.seq < expect.seq_end || expect.planted.has(Bug::KeepAbandoned) {
                visit(FrameView {
                    offset: at,
                    header,
                    payload,
                })?;
                found.frames += 1;
            }
            expect.salt = Some(header.salt);
            expect.seq_min = header.seq + 1;
            at += header.frame_bytes();
            found.end = at;
            continue;
        }
        let next = if expect.planted.has(Bug::StopAtDamage) {
            None
        } else {
            next_frame(&mut window, at, &expect)?
        };
        match next {
            Some(next) => {
                found.damage.push(Damage { from: at, to: next });
                at = next;
            }
            None => {
                found.tail = not_zero(&mut window, at)?;
                break;
            }
        }
    }
    Ok(found)
}

/// The header of the frame at `at`, if there is a good one.
fn frame_at(window: &mut Window<'_>, at: u64, expect: &Expect) -> io::Result<Option<FrameHeader>> {
    let left = window.len.saturating_sub(at);
    let Some(header) = FrameHeader::parse(window.at(at, FRAME_HEADER_BYTES)?) else {
        return Ok(None);
    };
    let planted = expect.planted;
    let salted =
        expect.salt.is_none_or(|salt| salt == header.salt) || planted.has(Bug::NoSaltCheck);
    let ordered = header.seq >= expect.seq_min || planted.has(Bug::NoSaltCheck);
    if !salted || !ordered || header.frame_bytes() > left {
        return Ok(None);
    }
    let size = usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
    let good = planted.has(Bug::NoChecksum) || checksum(window.at(at, size)?) == header.crc;
    Ok(good.then_some(header))
}

/// Where the next good frame behind `at` begins.
fn next_frame(window: &mut Window<'_>, at: u64, expect: &Expect) -> io::Result<Option<u64>> {
    let align = size64(FRAME_ALIGN);
    let mut from = at + align;
    while from < window.len {
        let bytes = window.at(from, WINDOW_BYTES)?;
        let step = size64(bytes.len()).max(1);
        let places: Vec<u64> = memchr::memmem::find_iter(bytes, &FRAME_MAGIC)
            .map(|place| from + size64(place))
            .filter(|place| (place - at).is_multiple_of(align))
            .collect();
        for place in places {
            if frame_at(window, place, expect)?.is_some() {
                return Ok(Some(place));
            }
        }
        // The magic may lie across two windows.
        from += if step > 4 { step - 3 } else { step };
    }
    Ok(None)
}

/// The stretch from the first to the last byte behind `at` that is not zero.
fn not_zero(window: &mut Window<'_>, at: u64) -> io::Result<Option<Damage>> {
    let mut from = at;
    let mut found: Option<Damage> = None;
    while from < window.len {
        let bytes = window.at(from, WINDOW_BYTES)?;
        if bytes.is_empty() {
            break;
        }
        // An empty stretch is found a slice at a time: most tails are megabytes of zeros.
        if bytes.iter().any(|b| *b != 0) {
            let first = bytes.iter().position(|b| *b != 0).unwrap_or(0);
            let last = bytes.iter().rposition(|b| *b != 0).unwrap_or(0);
            let to = from + size64(last) + 1;
            let start = found.map_or(from + size64(first), |d| d.from);
            found = Some(Damage { from: start, to });
        }
        from += size64(bytes.len());
    }
    Ok(found)
}
