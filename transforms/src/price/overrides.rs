//! Prices of one's own, before the list's: negotiated, self-hosted, discounted.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime};
use fancy_regex::Regex;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::rates::{FACTOR_ONE, Rate, Rates, Unit};
use crate::money;

/// Digits behind the point of a factor.
const FACTOR_SCALE: i32 = 9;

/// The highest factor.
const FACTOR_MAX: i128 = 1000 * FACTOR_ONE;

/// What a million of has a rate, by the names of the file.
const PER_MILLION: [(&str, Unit); 10] = [
    ("input", Unit::Input),
    ("output", Unit::Output),
    ("cache_read", Unit::CacheRead),
    ("cache_write", Unit::CacheWrite),
    ("cache_write_1h", Unit::CacheWrite1h),
    ("reasoning", Unit::Reasoning),
    ("audio_input", Unit::AudioInput),
    ("audio_output", Unit::AudioOutput),
    ("image_input", Unit::ImageInput),
    ("image_output", Unit::ImageOutput),
];

/// What a thousand of has a rate.
const PER_THOUSAND: [(&str, Unit); 2] = [
    ("requests", Unit::Requests),
    ("web_searches", Unit::WebSearches),
];

/// One entry as it is written; amounts are decimal text, so that they are exact.
///
/// It says for which calls it is (all that it says must hold), and what they cost: rates, or a
/// factor on the list's price.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    /// What `price_ref` calls it; without one it is its number in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only calls of this tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Only calls to this provider, by its common name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Only this model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Only models whose names start so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_prefix: Option<String>,
    /// Only models in whose names this pattern is found; unlike the others it tells case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_regex: Option<String>,
    /// Only calls of this service tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Only batch calls, or only others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<bool>,
    /// Only calls that began then or later: a date (its midnight in UTC) or an RFC 3339 time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Only calls that began before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// US dollars for a million tokens, by their kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_million: BTreeMap<String, OverrideRate>,
    /// US dollars for a thousand requests or web searches.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_thousand: BTreeMap<String, OverrideRate>,
    /// What the list's price is multiplied by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<String>,
}

/// A rate as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OverrideRate {
    /// One rate.
    Flat(String),
    /// Rates by the size of the whole input: a cliff, as in the list.
    Tiered {
        /// Up to the first tier.
        base: String,
        /// Beyond so many input tokens, for all tokens.
        above: BTreeMap<i64, String>,
    },
}

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

/// Which models.
#[derive(Debug)]
enum Models {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Pattern(Box<Regex>),
}

/// What the calls cost.
#[derive(Debug)]
pub(super) enum Terms {
    /// So much.
    Rates(Rates),
    /// The list's price times this, in 10^-9.
    Factor(i128),
}

/// An entry, compiled.
#[derive(Debug)]
pub(super) struct Rule {
    /// What `price_ref` calls it.
    pub(super) name: Box<str>,
    provider: Option<Box<str>>,
    models: Models,
    tier: Option<Box<str>>,
    batch: Option<bool>,
    from_us: Option<i64>,
    until_us: Option<i64>,
    pub(super) terms: Terms,
}

impl Rule {
    /// Whether it can be for a model of these names by one of these providers, both in lower case
    /// but for `model`; when, and how, is asked by [`Rule::fits`].
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

    /// Whether it is for calls of that time and kind.
    pub(super) fn fits(&self, call: &Call<'_>) -> bool {
        self.from_us.is_none_or(|from| call.start_us >= from)
            && self.until_us.is_none_or(|until| call.start_us < until)
            && self.tier.as_deref().is_none_or(|t| call.tier == Some(t))
            && self
                .batch
                .is_none_or(|b| call.context("processing").is_some() == b)
    }
}

/// Compiles entries.
///
/// # Errors
///
/// All faults of all entries.
pub(super) fn compile(entries: &[Override]) -> Result<Vec<Rule>, Vec<OverrideFault>> {
    let mut faults = Vec::new();
    let mut rules = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut reader = Reader {
            index,
            faults: &mut faults,
        };
        rules.extend(reader.rule(entry));
    }
    if faults.is_empty() {
        Ok(rules)
    } else {
        Err(faults)
    }
}

/// Looks for the faults of overrides without using them.
///
/// # Errors
///
/// All of them.
pub fn check_overrides(entries: &[Override]) -> Result<(), Vec<OverrideFault>> {
    compile(entries).map(|_| ())
}

struct Reader<'f> {
    index: usize,
    faults: &'f mut Vec<OverrideFault>,
}

impl Reader<'_> {
    fn fault(&mut self, field: &'static str, why: impl Into<String>) {
        self.faults.push(OverrideFault {
            index: self.index,
            field,
            why: why.into(),
        });
    }

    fn rule(&mut self, entry: &Override) -> Option<Rule> {
        let before = self.faults.len();
        let name = self.name(entry);
        let models = self.models(entry);
        let from_us = self.time("from", entry.from.as_deref());
        let until_us = self.time("until", entry.until.as_deref());
        if let (Some(from), Some(until)) = (from_us, until_us)
            && from >= until
        {
            self.fault("until", "it must lie after `from`");
        }
        if matches!(models, Models::Any) && entry.provider.is_none() && entry.factor.is_none() {
            let why = "rates need a `model`, `model_prefix`, `model_regex` or `provider`";
            self.fault("model", why);
        }
        let terms = self.terms(entry);
        let lower = |text: &String| text.trim().to_lowercase().into();
        (self.faults.len() == before).then_some(Rule {
            name,
            provider: entry.provider.as_ref().map(lower),
            models,
            tier: entry.service_tier.as_deref().map(Into::into),
            batch: entry.batch,
            from_us,
            until_us,
            terms: terms?,
        })
    }

    fn name(&mut self, entry: &Override) -> Box<str> {
        let Some(name) = &entry.name else {
            return (self.index + 1).to_string().into();
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
            self.fault(
                "name",
                "letters, digits, `_`, `-` and `.` are wanted, at most 64",
            );
        }
        name.as_str().into()
    }

    fn models(&mut self, entry: &Override) -> Models {
        let lower = |text: &String| text.trim().to_lowercase().into();
        let mut given = Vec::new();
        given.extend(entry.model.as_ref().map(|m| Models::Exact(lower(m))));
        given.extend(
            entry
                .model_prefix
                .as_ref()
                .map(|m| Models::Prefix(lower(m))),
        );
        if let Some(pattern) = &entry.model_regex {
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

    fn terms(&mut self, entry: &Override) -> Option<Terms> {
        let has_rates = !entry.per_million.is_empty() || !entry.per_thousand.is_empty();
        match (&entry.factor, has_rates) {
            (Some(_), true) => {
                let why = "a factor is on the list's price; give it or rates, not both";
                self.fault("factor", why);
                None
            }
            (None, false) => {
                let why = "`per_million`, `per_thousand` or `factor` is wanted";
                self.fault("per_million", why);
                None
            }
            (Some(text), false) => {
                let factor = money::decimal(text, FACTOR_SCALE);
                let factor = factor.filter(|f| (0..=FACTOR_MAX).contains(f));
                if factor.is_none() {
                    self.fault("factor", "a number from 0 to 1000 is wanted, as `0.85`");
                }
                factor.map(Terms::Factor)
            }
            (None, true) => {
                let mut rates = Vec::new();
                self.rates("per_million", &entry.per_million, &PER_MILLION, &mut rates);
                self.rates(
                    "per_thousand",
                    &entry.per_thousand,
                    &PER_THOUSAND,
                    &mut rates,
                );
                Some(Terms::Rates(Rates::new(rates)))
            }
        }
    }

    fn rates(
        &mut self,
        field: &'static str,
        written: &BTreeMap<String, OverrideRate>,
        units: &[(&str, Unit)],
        into: &mut Vec<(Unit, Rate)>,
    ) {
        for (name, rate) in written {
            let Some((_, unit)) = units.iter().find(|(known, _)| known == name) else {
                let known: Vec<&str> = units.iter().map(|(known, _)| *known).collect();
                self.fault(field, format!("`{name}` is none of {}", known.join(", ")));
                continue;
            };
            match read(rate) {
                Some(rate) => into.push((*unit, rate)),
                None => self.fault(field, format!("`{name}`: dollars are wanted, as `2.50`")),
            }
        }
    }
}

fn read(rate: &OverrideRate) -> Option<Rate> {
    match rate {
        OverrideRate::Flat(text) => Some(Rate::new(Rate::dollars(text)?, Vec::new())),
        OverrideRate::Tiered { base, above } => {
            let tiers = above.iter();
            let tiers = tiers.map(|(start, text)| Some((*start, Rate::dollars(text)?)));
            Some(Rate::new(
                Rate::dollars(base)?,
                tiers.collect::<Option<_>>()?,
            ))
        }
    }
}
