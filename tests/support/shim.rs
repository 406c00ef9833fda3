//! A library that is loaded before libc and makes `fsync` lie; see `shim.c`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::server::Settings;

/// The library, compiled into `folder`; `None` where there is no C compiler.
pub(crate) fn compile(folder: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/shim.c");
    let library = folder.join("shim.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()
        .ok()?;
    assert!(status.success(), "the shim does not compile");
    Some(library)
}

/// Every fsync succeeds and does nothing.
pub(crate) fn skip_fsync(settings: Settings, library: &Path) -> Settings {
    settings
        .with("LD_PRELOAD", &library.to_string_lossy())
        .with("FSYNC_SHIM", "skip")
}

/// The first fsync on the write-ahead log after the file `armed` was made succeeds, and the process is
/// killed before it learns of that.
pub(crate) fn kill_after_fsync(settings: Settings, library: &Path, armed: &Path) -> Settings {
    settings
        .with("LD_PRELOAD", &library.to_string_lossy())
        .with("FSYNC_SHIM", "kill")
        .with("FSYNC_SHIM_MARK", &armed.to_string_lossy())
}

/// The fsync number `at` on the write-ahead log fails once, and the file `mark` is then there.
pub(crate) fn fail_fsync(settings: Settings, library: &Path, at: u32, mark: &Path) -> Settings {
    settings
        .with("LD_PRELOAD", &library.to_string_lossy())
        .with("FSYNC_SHIM", "fail")
        .with("FSYNC_SHIM_AT", &at.to_string())
        .with("FSYNC_SHIM_MARK", &mark.to_string_lossy())
}
