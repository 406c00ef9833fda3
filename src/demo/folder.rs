//! Where the demo's data lies, and whether it goes when the demo ends.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

/// A data directory.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// The directory `wanted`, which must be new or empty; or a fresh one.
    ///
    /// # Errors
    ///
    /// Where it holds something, since the demo would mix with it, or cannot be made.
    pub(super) fn open(wanted: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = wanted.is_none();
        let path = wanted.unwrap_or_else(|| {
            let name = format!("weir-demo-{:08x}", rand::random::<u32>());
            std::env::temp_dir().join(name)
        });
        let path = std::path::absolute(path)?;
        std::fs::create_dir_all(&path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        let mut held = path.read_dir()?;
        ensure!(
            held.next().is_none(),
            "{} is not empty, and the demo wants a fresh directory: name another with --data-dir, \
             or none",
            path.display()
        );
        Ok(Self { path, temporary })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes when the demo ends.
    pub(super) fn is_temporary(&self) -> bool {
        self.temporary
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // What stays is in the system's folder for temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
