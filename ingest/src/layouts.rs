//! Which versions the log's files carry, read without changing or checking anything else.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use weir_model::FoundLayout;
use weir_model::schema;

use crate::log::{CURSOR_DIR, NODE_FILE, SMALL_LAYOUT, decode_small};
use crate::wal::{
    FRAME_HEADER_BYTES, FrameHeader, LAYOUT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, WAL_DIR,
    size64,
};

/// Looks at the segments, `node.json` and the cursors in `data_dir`; none where there is no log.
///
/// Of rows it reads the headers alone: whether frames are whole is for [`check`](crate::wal::check).
///
/// # Errors
///
/// Where a folder or file cannot be read.
pub fn layouts(data_dir: &Path) -> io::Result<Vec<FoundLayout>> {
    let mut all = Vec::new();
    for name in names(&data_dir.join(WAL_DIR), ".wal")? {
        let path = format!("{WAL_DIR}/{name}");
        let (layout, rows) = segment(&File::open(data_dir.join(&path))?)?;
        let known = u64::from(LAYOUT_VERSION);
        let found = FoundLayout::of("log segment", path.clone(), layout, known);
        FoundLayout::gather(&mut all, found);
        for version in rows {
            let known = u64::from(schema::VERSION);
            let found = FoundLayout::of("schema of rows in the log", &path, Some(version), known);
            FoundLayout::gather(&mut all, found);
        }
    }
    let node = data_dir.join(NODE_FILE);
    if node.try_exists()? {
        all.push(small("node file", NODE_FILE, &node)?);
    }
    for name in names(&data_dir.join(CURSOR_DIR), ".json")? {
        let path = format!("{CURSOR_DIR}/{name}");
        let found = small("cursor", &path, &data_dir.join(&path))?;
        FoundLayout::gather(&mut all, found);
    }
    Ok(all)
}

/// The names in `folder` that end so, in order; none where it is not there.
fn names(folder: &Path, ending: &str) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && name.ends_with(ending)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn small(format: &'static str, name: &str, path: &Path) -> io::Result<FoundLayout> {
    let body = decode_small(&std::fs::read(path)?);
    let layout = body.and_then(|body| body.get("layout")?.as_u64());
    Ok(FoundLayout::of(format, name, layout, SMALL_LAYOUT))
}

/// The version of a segment, and those of the rows in its frames.
fn segment(file: &File) -> io::Result<(Option<u64>, Vec<u64>)> {
    let header = read(file, 0, SEGMENT_HEADER_BYTES)?;
    let Some(header) = SegmentHeader::parse(&header) else {
        return Ok((None, Vec::new()));
    };
    let layout = Some(u64::from(header.version));
    let mut rows = Vec::new();
    if header.version > LAYOUT_VERSION {
        return Ok((layout, rows));
    }
    let mut at = size64(SEGMENT_HEADER_BYTES);
    while let Some(frame) = FrameHeader::parse(&read(file, at, FRAME_HEADER_BYTES)?) {
        if frame.salt != header.salt {
            break;
        }
        let version = u64::from(frame.schema_version);
        if !rows.contains(&version) {
            rows.push(version);
        }
        at += frame.frame_bytes();
    }
    Ok((layout, rows))
}

/// Up to `bytes` bytes from `at` on.
fn read(file: &File, at: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut out = vec![0; bytes];
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + size64(filled))? {
            0 => break,
            n => filled += n,
        }
    }
    out.truncate(filled);
    Ok(out)
}
