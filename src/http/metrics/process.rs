//! What the system knows of this process, by the names that every dashboard has.

use std::fs;
use std::path::Path;

/// Where Linux tells it; elsewhere nothing is shown.
const SELF: &str = "/proc/self";

/// Processor time in seconds.
pub(super) fn cpu_seconds() -> Option<f64> {
    let (user, system) = (stat(11)?, stat(12)?);
    let ticks = rustix::param::clock_ticks_per_second();
    Some(super::text::float(user + system) / super::text::float(ticks))
}

/// Memory in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    let pages = stat(21)?;
    let page = u64::try_from(rustix::param::page_size()).ok()?;
    pages.checked_mul(page)
}

/// File descriptors open.
pub(super) fn open_fds() -> Option<usize> {
    Some(fs::read_dir(format!("{SELF}/fd")).ok()?.count())
}

/// Bytes that are free where `folder` lies, to whoever is not root.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    found.f_bavail.checked_mul(found.f_frsize)
}

/// A field of `stat`, counted from the one behind the program's name, which may hold spaces.
fn stat(field: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("{SELF}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_tells_of_this_process() {
        let resident = resident_bytes().unwrap();
        assert!((1 << 20..1 << 36).contains(&resident), "{resident}");
        assert!(cpu_seconds().unwrap() < 1e6);
        assert!(open_fds().unwrap() >= 3);
        assert!(free_bytes(Path::new("/")).is_some());
    }
}
