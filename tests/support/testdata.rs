//! Where the captured requests and the goldens lie.

use std::path::{Path, PathBuf};

/// A folder or file of the test data.
pub(crate) fn path(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("testdata").join(name)
}

/// The files of a folder, by name.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let entries = path(folder).read_dir().unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
