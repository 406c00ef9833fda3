//! Which version the state database carries, read without opening it where that is possible: to
//! open a SQLite database can already change files beside it.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use weir_model::FoundLayout;

use crate::StoreError;
use crate::sqlite::{FILE, LAYOUT};

/// Where SQLite's file format keeps `user_version`: 4 bytes, big-endian.
const USER_VERSION_AT: usize = 60;

/// What every SQLite database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Looks at the state database in `data_dir`; `None` where there is none.
///
/// # Errors
///
/// Where it cannot be read.
pub fn layout(data_dir: &Path) -> Result<Option<FoundLayout>, StoreError> {
    let path = data_dir.join(FILE);
    let failed = |source| StoreError::File {
        path: path.clone(),
        source,
    };
    let mut head = Vec::new();
    match File::open(&path) {
        Ok(file) => {
            let wanted = u64::try_from(USER_VERSION_AT + 4).unwrap_or(u64::MAX);
            file.take(wanted).read_to_end(&mut head).map_err(failed)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let journal = path.with_extension("db-wal");
    let is_open = std::fs::metadata(&journal).is_ok_and(|found| found.len() > 0);
    let found = if is_open {
        // What counts stands in the journal, which is there already.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let database = Connection::open_with_flags(&path, flags)?;
        let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
        u64::try_from(version).ok()
    } else {
        in_header(&head)
    };
    let known = u64::try_from(LAYOUT).unwrap_or(0);
    Ok(Some(FoundLayout::of("state database", FILE, found, known)))
}

fn in_header(head: &[u8]) -> Option<u64> {
    if !head.starts_with(MAGIC) {
        return None;
    }
    let bytes = head.get(USER_VERSION_AT..USER_VERSION_AT + 4)?;
    let bytes: [u8; 4] = bytes.try_into().ok()?;
    Some(u64::from(u32::from_be_bytes(bytes)))
}
