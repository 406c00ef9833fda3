//! Clauses of the price list: which names of providers and models an entry is meant for.
//!
//! Names are compared in lower case, patterns as they are written (domain rule 3 of matching).

use std::sync::OnceLock;

use fancy_regex::Regex;
use serde::Deserialize;

/// Which names are meant. A kind of clause that is not here fails the load of the list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Clause {
    /// All of these hold.
    And(Box<[Clause]>),
    /// One of these holds.
    Or(Box<[Clause]>),
    /// The name has this in it.
    Contains(Literal),
    /// The name ends so.
    EndsWith(Literal),
    /// The name is this.
    Equals(Literal),
    /// The name starts so.
    StartsWith(Literal),
    /// The pattern is found in the name.
    Regex(Pattern),
}

impl Clause {
    /// Whether `name`, which is in lower case, is meant.
    pub(super) fn holds(&self, name: &str) -> bool {
        match self {
            Self::And(all) => all.iter().all(|c| c.holds(name)),
            Self::Or(any) => any.iter().any(|c| c.holds(name)),
            Self::Contains(text) => name.contains(&*text.0),
            Self::EndsWith(text) => name.ends_with(&*text.0),
            Self::Equals(text) => name == &*text.0,
            Self::StartsWith(text) => name.starts_with(&*text.0),
            Self::Regex(pattern) => pattern.is_in(name),
        }
    }

    /// All patterns in it.
    #[cfg(test)]
    pub(super) fn patterns<'a>(&'a self, into: &mut Vec<&'a Pattern>) {
        match self {
            Self::And(clauses) | Self::Or(clauses) => {
                clauses.iter().for_each(|c| c.patterns(into));
            }
            Self::Regex(pattern) => into.push(pattern),
            Self::Contains(_) | Self::EndsWith(_) | Self::Equals(_) | Self::StartsWith(_) => {}
        }
    }
}

/// A text in lower case.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(super) struct Literal(Box<str>);

impl From<String> for Literal {
    fn from(text: String) -> Self {
        Self(text.to_lowercase().into())
    }
}

/// A pattern that is compiled on first use: a compiled one takes a hundred times the memory of its
/// text, and most providers are never asked for.
#[derive(Debug, Deserialize)]
#[serde(from = "Box<str>")]
pub(super) struct Pattern {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl From<Box<str>> for Pattern {
    fn from(text: Box<str>) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }
}

impl Pattern {
    /// Whether it can be compiled; patterns of the list that is built in can.
    #[cfg(test)]
    pub(super) fn is_good(&self) -> bool {
        self.regex().is_some()
    }

    fn regex(&self) -> Option<&Regex> {
        let compiled = self.compiled.get_or_init(|| Regex::new(&self.text).ok());
        compiled.as_ref()
    }

    /// Whether it is found in `text`; one that cannot be compiled, or takes too long, is not.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.regex()
            .is_some_and(|regex| regex.is_match(text).unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clause(json: &str) -> Clause {
        serde_json::from_str(json).expect("a clause")
    }

    #[test]
    fn every_kind_of_clause_holds_where_it_should() {
        let cases = [
            (r#"{"equals": "GPT-4o"}"#, "gpt-4o", "gpt-4o-mini"),
            (r#"{"starts_with": "gpt"}"#, "gpt-4o", "my-gpt"),
            (r#"{"ends_with": "-mini"}"#, "gpt-mini", "gpt-mini-2"),
            (r#"{"contains": "claude"}"#, "us.claude-3", "clade"),
            (r#"{"regex": "^(?!x/)o[134]"}"#, "o3-mini", "x/o3"),
            (
                r#"{"and": [{"contains": "a"}, {"contains": "b"}]}"#,
                "ab",
                "a",
            ),
            (r#"{"or": [{"equals": "a"}, {"equals": "b"}]}"#, "b", "c"),
        ];
        for (json, meant, other) in cases {
            assert!(clause(json).holds(meant), "{json} {meant}");
            assert!(!clause(json).holds(other), "{json} {other}");
        }
    }

    #[test]
    fn an_unknown_kind_of_clause_fails_the_load() {
        assert!(serde_json::from_str::<Clause>(r#"{"sounds_like": "x"}"#).is_err());
    }
}
