//! Versions of what lies on disk, as an upgrade looks at them before it is made.

/// Files of one format and one version, as they were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLayout {
    /// The format, in words.
    pub format: &'static str,
    /// One of the files, relative to the data directory, or a table's address.
    pub file: String,
    /// How many there are.
    pub files: usize,
    /// The version that they carry; `None` where it cannot be read.
    pub found: Option<u64>,
    /// The newest version that this program reads, and the one that it writes.
    pub known: u64,
    /// What starting this program would change, where it would.
    pub change: Option<String>,
}

/// What a version means to this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one that this program writes.
    Current,
    /// It is older, and read.
    Older,
    /// It is newer than this program reads.
    Newer,
    /// It cannot be told.
    Unreadable,
}

impl FoundLayout {
    /// One file of a format.
    pub fn of(
        format: &'static str,
        file: impl Into<String>,
        found: Option<u64>,
        known: u64,
    ) -> Self {
        Self {
            format,
            file: file.into(),
            files: 1,
            found,
            known,
            change: None,
        }
    }

    /// What its version means to this program.
    pub fn verdict(&self) -> Verdict {
        match self.found {
            None => Verdict::Unreadable,
            Some(found) if found > self.known => Verdict::Newer,
            Some(found) if found < self.known => Verdict::Older,
            Some(_) => Verdict::Current,
        }
    }

    /// Adds `one` to `all`, together with those of its format and version.
    pub fn gather(all: &mut Vec<Self>, one: Self) {
        let same = |other: &&mut Self| other.format == one.format && other.found == one.found;
        match all.iter_mut().find(same) {
            Some(group) => group.files += one.files,
            None => all.push(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_format_and_version_only() {
        let mut all = Vec::new();
        for (file, version) in [("a", 1), ("b", 2), ("c", 1)] {
            FoundLayout::gather(&mut all, FoundLayout::of("note", file, Some(version), 1));
        }
        let seen: Vec<_> = all
            .iter()
            .map(|l| (l.file.as_str(), l.files, l.verdict()))
            .collect();
        assert_eq!(seen, [("a", 2, Verdict::Current), ("b", 1, Verdict::Newer)]);
    }
}
