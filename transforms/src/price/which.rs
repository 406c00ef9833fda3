//! Which calls an entry of one's own is for, and the faults of what is written.

use chrono::{DateTime, NaiveDate, NaiveTime};
use fancy_regex::Regex;

/// What is wrong with an entry; with one fault none of the entries is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideFault {
    /// Which entry, from 0.
    pub index: usize,
    /// Which of its fields.
    pub field: &'static str,
    /// What is wrong, and what is wanted.
    pub why: String,
}

/// Which calls, as it is written; all that is said must hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls<'a> {
    pub(super) provider: Option<&'a str>,
    pub(super) model: Option<&'a str>,
    pub(super) model_prefix: Option<&'a str>,
    pub(super) model_regex: Option<&'a str>,
    pub(super) from: Option<&'a str>,
    pub(super) until: Option<&'a str>,
}

/// Which models.
#[derive(Debug)]
enum Models {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Pattern(Box<Regex>),
}

/// Which calls, compiled.
#[derive(Debug)]
pub(super) struct Which {
    provider: Option<Box<str>>,
    models: Models,
    /// Microseconds since 1970 UTC, included.
    pub(super) from_us: Option<i64>,
    /// Microseconds since 1970 UTC, excluded.
    pub(super) until_us: Option<i64>,
}

impl Which {
    /// Whether it can be for a model of these names by one of these providers, which are in lower
    /// case; when is asked by [`Which::is_at`].
    pub(super) fn names(&self, providers: [Option<&str>; 2], model: &str) -> bool {
        let provider = self.provider.as_deref();
        let by = provider.is_none_or(|p| providers.into_iter().flatten().any(|q| q == p));
        by && match &self.models {
            Models::Any => true,
            Models::Exact(name) => **name == model.to_lowercase(),
            Models::Prefix(start) => model.to_lowercase().starts_with(&**start),
            Models::Pattern(regex) => regex.is_match(model).unwrap_or(false),
        }
    }

    /// Whether it is for calls that began then.
    pub(super) fn is_at(&self, start_us: i64) -> bool {
        self.from_us.is_none_or(|from| start_us >= from)
            && self.until_us.is_none_or(|until| start_us < until)
    }

    /// Whether it names neither model nor provider.
    pub(super) fn is_any(&self) -> bool {
        matches!(self.models, Models::Any) && self.provider.is_none()
    }
}

/// Compiles entries, each by `read`.
///
/// # Errors
///
/// All faults of all entries.
pub(super) fn compile_each<W, C>(
    entries: &[W],
    read: impl Fn(&mut Reader<'_>, &W) -> Option<C>,
) -> Result<Vec<C>, Vec<OverrideFault>> {
    let mut faults = Vec::new();
    let mut compiled = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut reader = Reader {
            index,
            faults: &mut faults,
        };
        compiled.extend(read(&mut reader, entry));
    }
    if faults.is_empty() {
        Ok(compiled)
    } else {
        Err(faults)
    }
}

/// Reads one entry and notes what is wrong with it.
pub(super) struct Reader<'f> {
    index: usize,
    faults: &'f mut Vec<OverrideFault>,
}

impl Reader<'_> {
    /// How many faults were found until now.
    pub(super) fn faults(&self) -> usize {
        self.faults.len()
    }

    pub(super) fn fault(&mut self, field: &'static str, why: impl Into<String>) {
        self.faults.push(OverrideFault {
            index: self.index,
            field,
            why: why.into(),
        });
    }

    /// Its name, or its number from 1.
    pub(super) fn name(&mut self, given: Option<&str>) -> Box<str> {
        let Some(name) = given else {
            return (self.index + 1).to_string().into();
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            self.fault(
                "name",
                "letters, digits, `_`, `-` and `.` are wanted, at most 64",
            );
        }
        name.into()
    }

    pub(super) fn which(&mut self, calls: &Calls<'_>) -> Which {
        let models = self.models(calls);
        let from_us = self.time("from", calls.from);
        let until_us = self.time("until", calls.until);
        if let (Some(from), Some(until)) = (from_us, until_us)
            && from >= until
        {
            self.fault("until", "it must lie after `from`");
        }
        Which {
            provider: calls.provider.map(lower),
            models,
            from_us,
            until_us,
        }
    }

    fn models(&mut self, calls: &Calls<'_>) -> Models {
        let mut given = Vec::new();
        given.extend(calls.model.map(|m| Models::Exact(lower(m))));
        given.extend(calls.model_prefix.map(|m| Models::Prefix(lower(m))));
        if let Some(pattern) = calls.model_regex {
            match Regex::new(pattern) {
                Ok(regex) => given.push(Models::Pattern(Box::new(regex))),
                Err(error) => self.fault("model_regex", format!("it is no pattern: {error}")),
            }
        }
        if given.len() > 1 {
            let why = "one of `model`, `model_prefix` and `model_regex` is wanted";
            self.fault("model", why);
        }
        given.pop().unwrap_or(Models::Any)
    }

    fn time(&mut self, field: &'static str, text: Option<&str>) -> Option<i64> {
        let text = text?.trim();
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let midnight = date.map(|d| d.and_time(NaiveTime::MIN).and_utc());
        let time = midnight.or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()));
        if time.is_none() {
            let why = "a date as `2026-01-31` or a time as `2026-01-31T12:00:00Z` is wanted";
            self.fault(field, why);
        }
        time.map(|t| t.timestamp_micros())
    }
}

fn lower(text: &str) -> Box<str> {
    text.trim().to_lowercase().into()
}
