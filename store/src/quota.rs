//! How much a tenant or a key may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One ceiling: whatever the node's configuration says, none at all, or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Ceiling {
    /// What the configuration gives to everybody.
    #[default]
    Default,
    /// No ceiling, whatever the configuration says.
    Unlimited,
    /// This much.
    At(u64),
}

/// The text is none of `default`, `unlimited` and a whole number above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a whole number above 0, `unlimited` or `default` is wanted")]
pub struct UnknownCeiling;

impl Ceiling {
    /// The number in force where the configuration says `default`; `None` is no ceiling.
    pub fn or(self, default: Option<u64>) -> Option<u64> {
        match self {
            Self::Default => default,
            Self::Unlimited => None,
            Self::At(most) => Some(most),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

impl fmt::Display for Ceiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Unlimited => f.write_str("unlimited"),
            Self::At(most) => write!(f, "{most}"),
        }
    }
}

impl FromStr for Ceiling {
    type Err = UnknownCeiling;

    fn from_str(text: &str) -> Result<Self, UnknownCeiling> {
        match text {
            "default" => Ok(Self::Default),
            "unlimited" => Ok(Self::Unlimited),
            number => match number.parse() {
                Ok(most) if most > 0 => Ok(Self::At(most)),
                _ => Err(UnknownCeiling),
            },
        }
    }
}

impl From<Ceiling> for String {
    fn from(ceiling: Ceiling) -> Self {
        ceiling.to_string()
    }
}

impl TryFrom<String> for Ceiling {
    type Error = UnknownCeiling;

    fn try_from(text: String) -> Result<Self, UnknownCeiling> {
        text.parse()
    }
}

/// The ceilings of a tenant or of a key; both hold where both are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Bytes of request bodies a second, as they are sent.
    #[serde(skip_serializing_if = "Ceiling::is_default")]
    pub bytes_per_second: Ceiling,
    /// Rows (spans, events) a second.
    #[serde(skip_serializing_if = "Ceiling::is_default")]
    pub rows_per_second: Ceiling,
    /// Queries a minute.
    #[serde(skip_serializing_if = "Ceiling::is_default")]
    pub queries_per_minute: Ceiling,
    /// Queries at once.
    #[serde(skip_serializing_if = "Ceiling::is_default")]
    pub queries_at_once: Ceiling,
    /// Bytes in the lake; of a tenant only.
    #[serde(skip_serializing_if = "Ceiling::is_default")]
    pub storage_bytes: Ceiling,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceilings_are_read_as_they_are_written_and_nothing_else_is() {
        for ceiling in [
            Ceiling::Default,
            Ceiling::Unlimited,
            Ceiling::At(1),
            Ceiling::At(u64::MAX),
        ] {
            assert_eq!(ceiling.to_string().parse(), Ok(ceiling));
        }
        for wrong in ["", "0", "-1", "1.5", "10MiB", "Unlimited"] {
            assert_eq!(wrong.parse::<Ceiling>(), Err(UnknownCeiling), "{wrong:?}");
        }
    }

    #[test]
    fn only_what_differs_from_the_default_is_stored() {
        let quotas = Quotas {
            rows_per_second: Ceiling::At(5),
            storage_bytes: Ceiling::Unlimited,
            ..Quotas::default()
        };
        let text = serde_json::to_string(&quotas).unwrap();
        assert_eq!(
            text,
            r#"{"rows_per_second":"5","storage_bytes":"unlimited"}"#
        );
        assert_eq!(serde_json::from_str::<Quotas>(&text).unwrap(), quotas);
        assert!(serde_json::from_str::<Quotas>(r#"{"rows":"5"}"#).is_err());
    }

    #[test]
    fn the_configuration_fills_only_what_is_left_to_it() {
        assert_eq!(Ceiling::Default.or(Some(7)), Some(7));
        assert_eq!(Ceiling::Unlimited.or(Some(7)), None);
        assert_eq!(Ceiling::At(3).or(Some(7)), Some(3));
    }
}
