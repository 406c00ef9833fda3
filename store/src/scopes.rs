//! What a key may be used for.

use std::fmt;
use std::str::FromStr;

/// A kind of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Scope {
    /// Send records.
    Ingest = 1,
    /// Ask in SQL and look at what arrives.
    Query = 2,
    /// Change what the tenant owns, and see the node's account.
    Admin = 4,
}

/// All scopes, in the order in which they are written.
const ALL: [(Scope, &str); 3] = [
    (Scope::Ingest, "ingest"),
    (Scope::Query, "query"),
    (Scope::Admin, "admin"),
];

/// A set of scopes, never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

/// The text names a scope that does not exist, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scopes are a comma-separated list of ingest, query and admin, or all")]
pub struct UnknownScope;

impl Scopes {
    /// All there are.
    pub fn all() -> Self {
        Self(ALL.iter().fold(0, |set, (scope, _)| set | *scope as u8))
    }

    /// Whether `scope` is among them.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & scope as u8 != 0
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self(scope as u8)
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    /// Reads what [`Display`](fmt::Display) writes; `all` is all.
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        if text.trim() == "all" {
            return Ok(Self::all());
        }
        text.split(',').try_fold(Self(0), |set, word| {
            let scope = ALL.iter().find(|(_, name)| *name == word.trim());
            scope
                .map(|(scope, _)| Self(set.0 | *scope as u8))
                .ok_or(UnknownScope)
        })
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = ALL.iter().filter(|(scope, _)| self.allow(*scope));
        for (i, (_, name)) in held.enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{name}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written() {
        for bits in 1..8 {
            let scopes = Scopes(bits);
            assert_eq!(scopes.to_string().parse(), Ok(scopes));
        }
        assert_eq!("all".parse(), Ok(Scopes::all()));
        assert_eq!(
            " query , ingest".parse::<Scopes>().map(|s| s.to_string()),
            Ok("ingest,query".into())
        );
        for wrong in ["", "ingest,", "root", "Ingest", "ingest;query"] {
            assert_eq!(wrong.parse::<Scopes>(), Err(UnknownScope), "{wrong:?}");
        }
    }

    #[test]
    fn a_set_allows_only_its_own() {
        let ingest = Scopes::from(Scope::Ingest);
        assert!(ingest.allow(Scope::Ingest));
        assert!(!ingest.allow(Scope::Query) && !ingest.allow(Scope::Admin));
    }
}
