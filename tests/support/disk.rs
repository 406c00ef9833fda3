//! File systems of a test's own: small ones to fill, and one whose disk can be copied as a power
//! cut would leave it. Both need root.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program of the system; an error says what it printed.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|fault| format!("{program}: {fault}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{program} {}: {}",
        arguments.join(" "),
        said.trim()
    ))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A mounted file system; unmounted on drop.
#[derive(Debug)]
pub(crate) struct Mounted {
    path: PathBuf,
}

impl Mounted {
    /// An empty file system in memory.
    ///
    /// # Errors
    /// Where this process may not mount.
    pub(crate) fn memory(path: &Path, mebibytes: u32) -> Result<Self, String> {
        let size = format!("size={mebibytes}m");
        Self::mount(&["-t", "tmpfs", "-o", &size, "weir-test"], path)
    }

    /// The ext4 file system in the file `image`.
    ///
    /// # Errors
    /// Where this process may not mount, or has no loop devices.
    pub(crate) fn image(image: &Path, path: &Path) -> Result<Self, String> {
        Self::mount(&["-t", "ext4", "-o", "loop,noatime", text(image)], path)
    }

    fn mount(arguments: &[&str], path: &Path) -> Result<Self, String> {
        fs::create_dir_all(path).map_err(|fault| fault.to_string())?;
        let mut arguments = arguments.to_vec();
        arguments.push(text(path));
        run("mount", &arguments)?;
        Ok(Self {
            path: path.to_path_buf(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let path = text(&self.path);
        if run("umount", &[path]).is_err() {
            // A process that was killed a moment ago may still hold it.
            drop(run("umount", &["--lazy", path]));
        }
    }
}

/// A disk that can be copied while it is written to.
///
/// ```text
/// weir -> ext4 (page cache, journal) -> loop device -> disk.img -> ext4 without journal -> ...
///         what is not synced is here                   the "platter"      frozen for the copy
/// ```
///
/// What weir wrote and did not sync is in the page cache of the upper file system and so not in the
/// copy. The lower file system is frozen while it is copied: its writers wait, so that the copy is
/// the platter at one moment, and no later write is in it before an earlier one.
#[derive(Debug)]
pub(crate) struct Disk {
    // Unmounted in this order.
    upper: Mounted,
    lower: Mounted,
}

impl Disk {
    /// Makes one in `folder`.
    ///
    /// # Errors
    /// Where this process may not mount, or a tool is missing.
    pub(crate) fn create(folder: &Path, mebibytes: u64) -> Result<Self, String> {
        let outer = folder.join("outer.img");
        // Without a journal of its own, so that freezing is only a pause.
        format_ext4(&outer, mebibytes + 64, &["-O", "^has_journal"])?;
        let lower = Mounted::image(&outer, &folder.join("outer"))?;
        let image = lower.path().join("disk.img");
        format_ext4(&image, mebibytes, &[])?;
        let upper = Mounted::image(&image, &folder.join("disk"))?;
        Ok(Self { upper, lower })
    }

    pub(crate) fn path(&self) -> &Path {
        self.upper.path()
    }

    /// Copies the platter to the file `to`.
    pub(crate) fn copy(&self, to: &Path) {
        let frozen = Frozen::freeze(self.lower.path());
        let image = self.lower.path().join("disk.img");
        run("cp", &["--sparse=always", text(&image), text(to)]).unwrap();
        drop(frozen);
    }
}

fn format_ext4(image: &Path, mebibytes: u64, options: &[&str]) -> Result<(), String> {
    let file = File::create(image).map_err(|fault| fault.to_string())?;
    file.set_len(mebibytes << 20)
        .map_err(|fault| fault.to_string())?;
    let mut arguments = vec!["-q", "-F"];
    arguments.extend_from_slice(options);
    arguments.push(text(image));
    run("mkfs.ext4", &arguments)
}

/// A frozen file system; thawed on drop, also by a panic, since nothing could unmount it otherwise.
struct Frozen<'a>(&'a Path);

impl<'a> Frozen<'a> {
    fn freeze(path: &'a Path) -> Self {
        run("fsfreeze", &["--freeze", text(path)]).unwrap();
        Self(path)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        drop(run("fsfreeze", &["--unfreeze", text(self.0)]));
    }
}

/// Writes a file until nothing more fits; it is there until it is removed.
pub(crate) fn fill(path: &Path) {
    drop(File::create(path).unwrap());
    append(path);
}

/// Takes what has become free since [`fill`].
pub(crate) fn append(path: &Path) {
    let mut file = File::options().append(true).open(path).unwrap();
    for size in [1 << 20, 64 << 10, 4 << 10, 1] {
        let block = vec![0x55; size];
        while file.write_all(&block).is_ok() {}
    }
}
