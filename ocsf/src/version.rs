//! Versions of the schema, ordered as releases are.

/// A version: three numbers, and what stands before its release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version<'t> {
    numbers: (u64, u64, u64),
    before: Option<&'t str>,
}

impl<'t> Version<'t> {
    /// Reads `1.8.0` or `1.0.0-rc.2`.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        let (numbers, before) = match text.split_once('-') {
            Some((_, "")) => return None,
            Some((numbers, before)) => (numbers, Some(before)),
            None => (text, None),
        };
        let mut parts = numbers.split('.').map(number);
        let version = Self {
            numbers: (parts.next()??, parts.next()??, parts.next()??),
            before,
        };
        parts.next().is_none().then_some(version)
    }

    /// The three numbers.
    pub(crate) fn numbers(self) -> (u64, u64, u64) {
        self.numbers
    }

    /// Whether it stands before a release.
    pub(crate) fn is_prerelease(self) -> bool {
        self.before.is_some()
    }

    /// Whether it stands before 1.0.0.
    pub(crate) fn is_initial(self) -> bool {
        self.numbers.0 == 0
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that no version has counts as the greatest.
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let rank = |version: &Self| (version.numbers, version.before.is_none());
        rank(self)
            .cmp(&rank(other))
            .then_with(|| self.before.cmp(&other.before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_releases_are() {
        let sorted = [
            "0.1.0",
            "1.0.0-rc.2",
            "1.0.0-rc.3",
            "1.0.0",
            "1.2.0",
            "1.10.0",
        ];
        let read: Vec<_> = sorted.iter().filter_map(|t| Version::parse(t)).collect();
        assert_eq!(read.len(), sorted.len());
        assert!(read.is_sorted());
        for bad in [
            "", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.3-", "1..2", "-1.2.3",
        ] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
