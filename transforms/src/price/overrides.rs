//! Prices of one's own, before the list's: negotiated, self-hosted, discounted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::rates::{FACTOR_ONE, Rate, Rates, Unit};
use super::which::{Calls, OverrideFault, Reader, Which, compile_each};
use crate::money;

/// Digits behind the point of a factor.
const FACTOR_SCALE: i32 = 9;

/// Digits behind the point of a percentage: a hundredth of it is a factor, to the last digit.
const PERCENT_SCALE: i32 = FACTOR_SCALE - 2;

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
/// factor on the list's price or a discount off it.
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
    /// How many percent a discount takes off the list's price: 15 is a factor of 0.85.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent_off: Option<String>,
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
    pub(super) which: Which,
    tier: Option<Box<str>>,
    batch: Option<bool>,
    pub(super) terms: Terms,
}

impl Rule {
    /// Whether it is for calls of that time and kind.
    pub(super) fn fits(&self, call: &Call<'_>) -> bool {
        self.which.is_at(call.start_us)
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
    compile_each(entries, |reader, one| reader.rule(one))
}

/// Looks for the faults of overrides without using them.
///
/// # Errors
///
/// All of them.
pub fn check_overrides(entries: &[Override]) -> Result<(), Vec<OverrideFault>> {
    compile(entries).map(|_| ())
}

impl Reader<'_> {
    fn rule(&mut self, entry: &Override) -> Option<Rule> {
        let before = self.faults();
        let name = self.name(entry.name.as_deref());
        let which = self.which(&Calls {
            provider: entry.provider.as_deref(),
            model: entry.model.as_deref(),
            model_prefix: entry.model_prefix.as_deref(),
            model_regex: entry.model_regex.as_deref(),
            from: entry.from.as_deref(),
            until: entry.until.as_deref(),
        });
        let of_list = entry.factor.is_some() || entry.percent_off.is_some();
        if which.is_any() && !of_list {
            let why = "rates need a `model`, `model_prefix`, `model_regex` or `provider`";
            self.fault("model", why);
        }
        let terms = self.terms(entry);
        (self.faults() == before).then_some(Rule {
            name,
            which,
            tier: entry.service_tier.as_deref().map(Into::into),
            batch: entry.batch,
            terms: terms?,
        })
    }

    fn terms(&mut self, entry: &Override) -> Option<Terms> {
        let has_rates = !entry.per_million.is_empty() || !entry.per_thousand.is_empty();
        match (&entry.factor, &entry.percent_off, has_rates) {
            (Some(_), Some(_), _) => {
                let why = "a discount is a factor already; give one of them";
                self.fault("percent_off", why);
                None
            }
            (Some(_), None, true) => {
                let why = "a factor is on the list's price; give it or rates, not both";
                self.fault("factor", why);
                None
            }
            (None, Some(_), true) => {
                let why = "a discount is off the list's price; give it or rates, not both";
                self.fault("percent_off", why);
                None
            }
            (None, None, false) => {
                let why = "`per_million`, `per_thousand`, `factor` or `percent_off` is wanted";
                self.fault("per_million", why);
                None
            }
            (Some(text), None, false) => {
                let factor = money::decimal(text, FACTOR_SCALE);
                let factor = factor.filter(|f| (0..=FACTOR_MAX).contains(f));
                if factor.is_none() {
                    self.fault("factor", "a number from 0 to 1000 is wanted, as `0.85`");
                }
                factor.map(Terms::Factor)
            }
            (None, Some(text), false) => {
                let off = money::decimal(text, PERCENT_SCALE);
                let left = off.map(|off| FACTOR_ONE - off);
                let left = left.filter(|left| (0..=FACTOR_ONE).contains(left));
                if left.is_none() {
                    self.fault("percent_off", "a number from 0 to 100 is wanted, as `12.5`");
                }
                left.map(Terms::Factor)
            }
            (None, None, true) => {
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
