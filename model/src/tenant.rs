//! Whose rows these are.

use std::fmt;
use std::sync::Arc;

/// The longest tenant id, in bytes.
pub const TENANT_BYTES_MAX: usize = 63;

/// A tenant's id: `[a-z0-9][a-z0-9_-]{0,62}`.
///
/// It becomes a folder name in the lake and a literal in scans, so nothing but this alphabet can
/// be constructed. It comes from the caller's credential, never from a request's body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(Arc<str>);

/// The text is not a tenant id; it is not repeated here, since it may be anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tenant id is 1 to 63 of a-z, 0-9, `_` and `-`, and begins with a letter or a digit")]
pub struct InvalidTenant;

impl TenantId {
    /// Checks `text` and takes it as an id.
    ///
    /// # Errors
    ///
    /// [`InvalidTenant`] where it is outside the alphabet or the length.
    pub fn new(text: &str) -> Result<Self, InvalidTenant> {
        let mut bytes = text.bytes();
        let first = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest =
            bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
        if first && rest && text.len() <= TENANT_BYTES_MAX {
            Ok(Self(Arc::from(text)))
        } else {
            Err(InvalidTenant)
        }
    }

    /// The tenant of a node that has no keys configured and listens on loopback only.
    pub fn local() -> Self {
        Self(Arc::from("default"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_alphabet_names_a_tenant() {
        for good in ["a", "0", "acme", "acme-prod_2", &"x".repeat(63)] {
            assert!(TenantId::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(64);
        for bad in [
            "", "-a", "_a", "A", "a b", "a/b", "..", "a'", "\u{e4}", "a\0", &long,
        ] {
            assert_eq!(TenantId::new(bad), Err(InvalidTenant), "{bad:?}");
        }
    }
}
