//! Flags and texts of quotas, for tenants and keys alike.

use serde_json::{Map, Value as Json};
use weir_store::{Ceiling, Quotas};

use crate::config::setting::{Kind, Value, size_text};

/// The quotas that a tenant and a key can have.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct QuotaArgs {
    /// Bytes of request bodies a second, as sent: `500kB`, `10MiB`, `unlimited` or `default`.
    #[arg(long, value_name = "BYTES", value_parser = ceiling)]
    bytes_per_second: Option<Ceiling>,
    /// Rows (spans, events) a second.
    #[arg(long, value_name = "ROWS", value_parser = ceiling)]
    rows_per_second: Option<Ceiling>,
    /// Queries a minute.
    #[arg(long, value_name = "QUERIES", value_parser = ceiling)]
    queries_per_minute: Option<Ceiling>,
    /// Queries that run at once.
    #[arg(long, value_name = "QUERIES", value_parser = ceiling)]
    queries_at_once: Option<Ceiling>,
}

impl QuotaArgs {
    /// `before` with what the flags say; what they do not name stays.
    pub(crate) fn over(&self, before: Quotas) -> Quotas {
        Quotas {
            bytes_per_second: self.bytes_per_second.unwrap_or(before.bytes_per_second),
            rows_per_second: self.rows_per_second.unwrap_or(before.rows_per_second),
            queries_per_minute: self.queries_per_minute.unwrap_or(before.queries_per_minute),
            queries_at_once: self.queries_at_once.unwrap_or(before.queries_at_once),
            storage_bytes: before.storage_bytes,
        }
    }

    /// Whether no flag was given.
    pub(crate) fn is_empty(&self) -> bool {
        let all = [
            self.bytes_per_second,
            self.rows_per_second,
            self.queries_per_minute,
            self.queries_at_once,
        ];
        all.iter().all(Option::is_none)
    }
}

/// Reads a ceiling.
///
/// # Errors
///
/// A sentence that says what is wanted.
pub(crate) fn ceiling(text: &str) -> Result<Ceiling, String> {
    if text == "default" {
        return Ok(Ceiling::Default);
    }
    match Kind::Ceiling.read(text) {
        Ok(Value::Ceiling(Some(most))) => Ok(Ceiling::At(most)),
        Ok(_) => Ok(Ceiling::Unlimited),
        Err(why) => Err(format!(
            "{why}; or `default`, for what the configuration says"
        )),
    }
}

/// Each quota with its name and whether it counts bytes.
fn named(quotas: &Quotas) -> [(&'static str, Ceiling, bool); 5] {
    [
        ("bytes_per_second", quotas.bytes_per_second, true),
        ("rows_per_second", quotas.rows_per_second, false),
        ("queries_per_minute", quotas.queries_per_minute, false),
        ("queries_at_once", quotas.queries_at_once, false),
        ("storage_bytes", quotas.storage_bytes, true),
    ]
}

/// The quotas that were set, for people; `-` where none was.
pub(crate) fn text(quotas: &Quotas) -> String {
    let shown = |(name, ceiling, bytes): (&str, Ceiling, bool)| match ceiling {
        Ceiling::Default => None,
        Ceiling::At(most) if bytes => Some(format!("{name}={}", size_text(most))),
        Ceiling::At(_) | Ceiling::Unlimited => Some(format!("{name}={ceiling}")),
    };
    let all: Vec<String> = named(quotas).into_iter().filter_map(shown).collect();
    if all.is_empty() {
        "-".to_owned()
    } else {
        all.join(" ")
    }
}

/// The quotas that were set, for programs: numbers, or `"unlimited"`.
pub(crate) fn json(quotas: &Quotas) -> Json {
    let mut all = Map::new();
    for (name, ceiling, _) in named(quotas) {
        match ceiling {
            Ceiling::Default => {}
            Ceiling::Unlimited => {
                all.insert(name.to_owned(), "unlimited".into());
            }
            Ceiling::At(most) => {
                all.insert(name.to_owned(), most.into());
            }
        }
    }
    Json::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_change_only_what_they_name() {
        let before = Quotas {
            rows_per_second: Ceiling::At(5),
            storage_bytes: Ceiling::At(1 << 30),
            ..Quotas::default()
        };
        let flags = QuotaArgs {
            bytes_per_second: Some(ceiling("10MiB").unwrap()),
            rows_per_second: Some(ceiling("default").unwrap()),
            queries_at_once: Some(ceiling("unlimited").unwrap()),
            ..QuotaArgs::default()
        };
        let after = flags.over(before);
        assert_eq!(
            text(&after),
            "bytes_per_second=10MiB queries_at_once=unlimited storage_bytes=1GiB"
        );
        assert_eq!(json(&after)["bytes_per_second"], 10 << 20);
        assert_eq!(text(&Quotas::default()), "-");
        assert!(ceiling("many").unwrap_err().contains("default"));
    }
}
